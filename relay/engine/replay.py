"""Replaying what was recorded through other rules: the production engine, its webhooks, and what people did then."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from heapq import merge

from sqlalchemy import select

from relay.engine.rehearsal import Rehearsal, accept, scratch_database
from relay.engine.settle import Said
from relay.incident.decide import Rules
from relay.incident.effects import Effect, Measure
from relay.incident.events import Acknowledged, Event
from relay.incident.incident import Incident
from relay.incident.lifecycle import NotNow
from relay.reports.comparison import Story, summarise
from relay.store import tables
from relay.store.inbox import Received
from relay.store.recording import Deed

AFTERWARDS = timedelta(hours=1)
"""How long time goes on after the last webhook: what is due then is still seen."""

Measuring = Callable[[Measure, datetime], Said]
"""What Prometheus knew at a time."""


def replay(
    webhooks: Iterable[Received],
    deeds: Sequence[Deed],
    rules: Rules,
    start: datetime,
    measuring: Measuring | None = None,
    told: Callable[[Received], None] = lambda received: None,
) -> list[Story]:
    """Let everything happen again under some rules; gives what became of each incident.

    Pagers take every page. Facts are unknown, unless `measuring` answers for Prometheus. What people did then they do
    again, to whichever incident then has one of the same alerts.
    """
    with scratch_database() as database:
        stage = Rehearsal(database, rules, start)
        if measuring is not None:
            stage.vendor = lambda effect: _answer(effect, measuring, stage.clock.now())
        early: list[Deed] = []
        for at, what in merge(_timed(webhooks), _timed(deeds), key=lambda pair: pair[0]):
            _pass(stage, max(at, stage.clock.now()), early)
            if isinstance(what, Received):
                stage.receive(what.body, what.source)
                told(what)
            elif not _do(stage, what):
                early.append(what)
            stage.settle()
        _pass(stage, stage.clock.now() + AFTERWARDS, early)
        return [summarise(one, _events(stage, one)) for one in reversed(stage.incidents())]


def _timed(things: Iterable[Received | Deed]) -> Iterator[tuple[datetime, Received | Deed]]:
    for one in things:
        yield (one.received_at if isinstance(one, Received) else one.at), one


def _answer(effect: Effect, measuring: Measuring, now: datetime) -> Said:
    return measuring(effect, now) if isinstance(effect, Measure) else accept(effect)


def _pass(stage: Rehearsal, until: datetime, early: list[Deed]) -> None:
    """Let time pass; who has answered a page that comes later under these rules answers when it comes."""
    while early and stage.next_moment is not None and stage.next_moment < until:
        stage.wait(stage.next_moment)
        early[:] = [deed for deed in early if not _do(stage, deed)]
        stage.settle()
    stage.wait(until)


def _do(stage: Rehearsal, deed: Deed) -> bool:
    """Let somebody do again what they did; gives whether it could be done: nobody answers a page that was not sent."""
    keys = [f"{source}/{fingerprint}" for source, fingerprint in deed.alerts]
    row = tables.alert.c
    found = stage.database.read(
        lambda connection: connection.execute(select(row.incident).where(row.key.in_(keys)).distinct()).scalars().all()
    )
    phases = {incident.id: incident.phase for incident in stage.incidents("held", "triggered", "acknowledged")}
    is_answer = isinstance(deed.event, Acknowledged)
    open_ = [id_ for id_ in sorted(found) if id_ in phases]
    if is_answer and "held" in (phases[id_] for id_ in open_):
        return False
    for id_ in open_:
        with suppress(NotNow):  # it went another way here
            stage.submit(id_, deed.event)
    return True


def _events(stage: Rehearsal, incident: Incident) -> list[tuple[datetime, Event]]:
    return [(entry.recorded_at, entry.event) for entry in stage.timeline(incident.id) if entry.event]
