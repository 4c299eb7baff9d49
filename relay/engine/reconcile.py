"""Asking each source from time to time what fires; differences come in through the same door as its messages."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp
import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.engine.intake import Intake
from relay.engine.metrics import Metrics
from relay.engine.set_back import SET
from relay.engine.submit import submit
from relay.engine.writer import Writer
from relay.incident.alert import OWN_SOURCE, Alert
from relay.incident.decide import Rules
from relay.incident.events import AlertsMuted
from relay.incident.incident import Incident
from relay.incident.reconcile import Differences, Firing, Found, Patience, Seen, reconcile
from relay.integrations.alertmanager import Webhook, read_webhook
from relay.integrations.alertmanager_api import AlertmanagerApi, Told, body, tell
from relay.integrations.courier import Again, Never
from relay.store.failures import StoreUnavailable
from relay.store.reading import alert_told_at, alerts_of, firing_of, incidents_muted
from relay.store.transaction import Transaction, happening

log = structlog.get_logger()

MOST_TOGETHER = 5_000
"""Alerts in one message of Relay's own."""


@dataclass(slots=True)
class Asked:
    """A source that can be asked, and what is remembered of its answers."""

    apis: Sequence[AlertmanagerApi]
    """All Alertmanagers of one cluster."""
    every: timedelta = timedelta(minutes=1)
    patience: Patience = field(default_factory=Patience)
    lasting: Differences = field(default_factory=Differences)
    since: timedelta | None = None
    """Since when it is asked, by time that only passes."""


class Reconcile:
    """Asks sources. Its owner runs it in a task. `look` is called when something was changed."""

    def __init__(
        self,
        sources: Mapping[str, Asked],
        writer: Writer,
        intake: Intake,
        rules: Callable[[], Rules],
        clock: Clock,
        metrics: Metrics,
        look: Callable[[], None],
    ) -> None:
        self._sources = sources
        self._writer = writer
        self._intake = intake
        self._rules = rules
        self._clock = clock
        self._metrics = metrics
        self._look = look

    async def run(self) -> None:
        """Ask every source, each at its own pace, until cancelled."""
        await self._forget()
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for name, asked in self._sources.items():
                tasks.create_task(self._follow(name, asked, session))

    async def _forget(self) -> None:
        """What a source has muted that is asked no more is muted no more: nobody would hear that it has ended."""

        def loud(incident: Incident) -> list[AlertsMuted]:
            return [AlertsMuted(name, {}) for name in incident.muted if name not in self._sources]

        await self._submit((), loud, self._clock.now())

    async def _follow(self, name: str, asked: Asked, session: aiohttp.ClientSession) -> None:
        asked.since = self._passed
        while True:
            try:
                await self.ask(name, asked, session)
            except (StoreUnavailable, Again, Never) as trouble:
                self._failed(name, trouble)
            except Exception:  # what is odd about one answer must not end the asking
                log.exception("a source cannot be reconciled", source=name)
                self._metrics.reconcile_failures.labels(name).inc()
            await asyncio.sleep(asked.every.total_seconds())

    @property
    def _passed(self) -> timedelta:
        return timedelta(seconds=self._clock.monotonic())

    def _failed(self, name: str, trouble: Exception) -> None:
        self._metrics.reconcile_failures.labels(name).inc()
        log.warning("a source cannot be asked", source=name, because=str(trouble))

    async def ask(self, name: str, asked: Asked, session: aiohttp.ClientSession) -> None:
        """Ask a source once. Raises `StoreUnavailable`."""
        before, began = await self._writer.read(lambda connection: firing_of(connection, name)), self._passed
        answers = await asyncio.gather(*(api.ask(session) for api in asked.apis), return_exceptions=True)
        told = [answer for answer in answers if isinstance(answer, Told)]
        for trouble in (answer for answer in answers if isinstance(answer, BaseException)):
            if not isinstance(trouble, Again | Never):
                raise trouble
            self._failed(name, trouble)
        for answer in told:
            if answer.unusable:
                self._failed(name, Again(f"{answer.unusable} of its alerts cannot be used: nothing is taken as ended"))
        now = self._clock.now()
        if told:
            self._metrics.reconciled_at.labels(name).set(now.timestamp())
            await self._compare(name, asked, before, began, told, now)
            await self._writer.transact(lambda connection: _note_answer(connection, name, now))
        else:
            asked.lasting.forget()
            await self._doubt(name, asked, now)

    async def _doubt(self, name: str, asked: Asked, now: datetime) -> None:
        """What has answered no replica for long is no longer believed to keep anything to itself."""
        answered = await self._writer.read(lambda connection: alert_told_at(connection, _answered(name).key))
        silent = answered is None or answered >= now + SET or now - answered >= asked.patience.believed
        if silent and (asked.since is None or self._passed - asked.since >= asked.patience.believed):
            await self._mute(name, {}, (), now)

    async def _compare(
        self,
        name: str,
        asked: Asked,
        before: Mapping[str, Firing],
        began: timedelta,
        told: Sequence[Told],
        now: datetime,
    ) -> None:
        firing = await self._writer.read(lambda connection: firing_of(connection, name))
        found, newer = await asyncio.to_thread(_found, asked, told, before, firing, began, self._passed)
        await self._tell(name, found.missed, {one: firing[one].told_at for one in found.absent}, now)
        muted: dict[str, dict[str, str]] = defaultdict(dict)
        for fingerprint, by in found.muted.items():
            muted[firing[fingerprint].incident][fingerprint] = by
        await self._mute(name, muted, found.unseen | newer, now)
        self._metrics.quiet.labels(name).set(found.quiet)

    async def _tell(self, name: str, missed: Sequence[Alert], absent: Mapping[str, datetime], now: datetime) -> None:
        """Tell of what was missed, and of what is gone, as a webhook would: durable, and decided like any other."""
        gone = await self._writer.read(lambda connection: alerts_of(connection, name, absent))
        for what, alerts in (("missed", missed), ("absent", gone)):
            ends_at = now if what == "absent" else None
            for start in range(0, len(alerts), MOST_TOGETHER):
                text, webhook = await asyncio.to_thread(
                    _message, alerts[start : start + MOST_TOGETHER], name, now, ends_at
                )
                await self._intake.accept(name, text, webhook, now)
            if alerts:
                self._metrics.reconciled.labels(name, what).inc(len(alerts))
                log.warning("a source shows what no message has told", source=name, what=what, alerts=len(alerts))

    async def _mute(
        self, name: str, muted: Mapping[str, Mapping[str, str]], unseen: Collection[str], now: datetime
    ) -> None:
        """Tell incidents what the source keeps to itself; of what is `unseen`, what it was last known to."""

        def news(incident: Incident) -> list[AlertsMuted]:
            was = incident.muted.get(name, {})
            kept = {fingerprint: by for fingerprint, by in was.items() if fingerprint in unseen}
            now_muted = {**kept, **muted.get(incident.id, {})}
            told = {fingerprint: by for fingerprint, by in now_muted.items() if (name, fingerprint) in incident.alerts}
            return [AlertsMuted(name, told)] if told != was else []

        await self._submit(muted.keys(), news, now)

    async def _submit(self, ids: Collection[str], news: Callable[[Incident], list[AlertsMuted]], now: datetime) -> None:
        """Tell incidents, and those of which something is muted so far, what is new to them."""
        if not (concerned := sorted({*ids, *await self._writer.read(incidents_muted)})):
            return
        rules = self._rules()

        def work(transaction: Transaction) -> None:
            transaction.incidents.load(concerned)
            for id_ in concerned:
                incident = transaction.incidents.get(id_)
                if incident is not None and incident.phase != "closed":
                    for event in news(incident):
                        submit(transaction, id_, event, rules, now)

        if happened := await self._writer.transact(happening(work, now)):
            self._metrics.happened(happened)
            self._look()


def _message(alerts: Sequence[Alert], name: str, now: datetime, ends_at: datetime | None) -> tuple[bytes, Webhook]:
    """A webhook of alerts that fire, or have ended."""
    text = body("resolved" if ends_at else "firing", [tell(alert, ends_at) for alert in alerts])
    return text, read_webhook(text, name, now)


def _answered(name: str) -> Alert:
    """That a source has answered is kept as a watchdog is: an alert of Relay's own that is of no incident."""
    return Alert(OWN_SOURCE, f"answered-{name}", {"alertname": "RelaySourceAnswered", "source": name})


def _note_answer(connection: Connection, name: str, now: datetime) -> None:
    transaction = Transaction(connection)
    transaction.incidents.known([_answered(name).key])
    transaction.incidents.tell(_answered(name), "", now)
    transaction.write(now)


def _found(
    asked: Asked,
    told: Sequence[Told],
    before: Mapping[str, Firing],
    after: Mapping[str, Firing],
    began: timedelta,
    answered: timedelta,
) -> tuple[Found, set[str]]:
    """Hold what was told against what fired before the question and still does; also gives what is newer than that."""
    newer = {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}
    doubtful = any(answer.unusable or answer.up_for < asked.patience.absent for answer in told)
    found = reconcile(
        after.keys() - newer,
        {fingerprint: one for fingerprint, one in _together(told).items() if fingerprint not in newer},
        asked.lasting,
        asked.patience,
        began,
        answered,
        proves_absence=len(told) == len(asked.apis) and not doubtful,
    )
    return found, newer


def _together(told: Sequence[Told]) -> dict[str, Seen]:
    """What a cluster shows: an alert that one of its Alertmanagers would tell of is not kept back."""
    seen: dict[str, Seen] = {}
    for answer in told:
        for fingerprint, one in answer.seen.items():
            if fingerprint not in seen or not one.muted_by:
                seen[fingerprint] = one
    return seen
