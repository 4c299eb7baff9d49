"""Asking each source from time to time what fires; differences come in through the same door as its messages."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp
import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.engine.intake import Intake
from relay.engine.metrics import Metrics
from relay.engine.submit import submit
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.incident.events import AlertsMuted, Event
from relay.incident.reconcile import Differences, Found, Patience, Seen, reconcile
from relay.integrations.alertmanager import read_webhook
from relay.integrations.alertmanager_api import AlertmanagerApi, Told, body, tell
from relay.integrations.courier import Again, Never
from relay.store.database import StoreUnavailable
from relay.store.reading import alerts_of, firing_of, list_incidents
from relay.store.transaction import Transaction

log = structlog.get_logger()

BELIEVED_FOR = timedelta(minutes=10)
"""How long a source that cannot be asked is believed to keep alerts to itself; then they page."""
MOST_HELD = 10_000
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
    answered_at: datetime | None = None
    muted: set[str] | None = None
    """Incidents that it keeps alerts of to itself; None before it was first asked."""


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
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for name, asked in self._sources.items():
                tasks.create_task(self._follow(name, asked, session))

    async def _follow(self, name: str, asked: Asked, session: aiohttp.ClientSession) -> None:
        asked.answered_at = self._clock.now()
        while True:
            try:
                await self._ask(name, asked, session)
            except (StoreUnavailable, Again, Never) as trouble:
                self._failed(name, trouble)
            except Exception:  # what is odd about one answer must not end the asking
                log.exception("a source cannot be reconciled", source=name)
                self._metrics.reconcile_failures.labels(name).inc()
            await asyncio.sleep(asked.every.total_seconds())

    def _failed(self, name: str, trouble: Exception) -> None:
        self._metrics.reconcile_failures.labels(name).inc()
        log.warning("a source cannot be asked", source=name, because=str(trouble))

    async def _ask(self, name: str, asked: Asked, session: aiohttp.ClientSession) -> None:
        answers = await asyncio.gather(*(api.ask(session) for api in asked.apis), return_exceptions=True)
        told = [answer for answer in answers if isinstance(answer, Told)]
        for trouble in (answer for answer in answers if isinstance(answer, BaseException)):
            if not isinstance(trouble, Again | Never):
                raise trouble
            self._failed(name, trouble)
        now = self._clock.now()
        if told:
            asked.answered_at = now
            self._metrics.reconciled_at.labels(name).set(now.timestamp())
            await self._compare(name, asked, told, now)
        else:
            asked.lasting.forget()
            if asked.answered_at is not None and now - asked.answered_at >= BELIEVED_FOR:
                await self._mute(name, asked, {}, now)

    async def _compare(self, name: str, asked: Asked, told: Sequence[Told], now: datetime) -> None:
        firing = await self._writer.read(lambda connection: firing_of(connection, name))
        young = any(answer.up_for < asked.patience.absent for answer in told)
        found = reconcile(
            firing.keys(),
            _together(told),
            asked.lasting,
            asked.patience,
            now,
            proves_absence=len(told) == len(asked.apis) and not young,
        )
        await self._tell(name, found, now)
        muted: dict[str, dict[str, str]] = defaultdict(dict)
        for fingerprint, by in found.muted.items():
            muted[firing[fingerprint]][fingerprint] = by
        await self._mute(name, asked, muted, now)

    async def _tell(self, name: str, found: Found, now: datetime) -> None:
        """Tell of what was missed, and of what is gone, as a webhook would: durable, and decided like any other."""
        gone = await self._writer.read(lambda connection: alerts_of(connection, name, found.absent))
        for what, bodies in (
            ("missed", [tell(alert) for alert in found.missed]),
            ("absent", [tell(alert, now) for alert in gone]),
        ):
            for start in range(0, len(bodies), MOST_TOGETHER):
                text = body("firing" if what == "missed" else "resolved", bodies[start : start + MOST_TOGETHER])
                await self._intake.accept(name, text, read_webhook(text, name, now), now)
            if bodies:
                self._metrics.reconciled.labels(name, what).inc(len(bodies))
                log.warning("a source shows what no message has told", source=name, what=what, alerts=len(bodies))

    async def _mute(self, name: str, asked: Asked, muted: Mapping[str, Mapping[str, str]], now: datetime) -> None:
        rules = self._rules()
        if asked.muted is None:
            held = await self._writer.read(lambda connection: list_incidents(connection, ("held",), MOST_HELD, None))
            asked.muted = {incident.id for incident in held if name in incident.muted}
        if not (concerned := sorted(muted.keys() | asked.muted)):
            return

        def work(connection: Connection) -> list[tuple[str, Event]]:
            transaction = Transaction(connection)
            transaction.incidents.load(concerned)
            for id_ in concerned:
                incident, wanted = transaction.incidents.get(id_), muted.get(id_, {})
                if incident and incident.phase not in ("resolved", "closed") and incident.muted.get(name, {}) != wanted:
                    submit(transaction, id_, AlertsMuted(name, wanted), rules, now)
            transaction.write(now)
            return transaction.happened

        happened = await self._writer.transact(work)
        asked.muted = set(muted)
        if happened:
            self._metrics.happened(happened)
            self._look()


def _together(told: Sequence[Told]) -> dict[str, Seen]:
    """What a cluster shows: an alert that one of its Alertmanagers would tell of is not kept back."""
    seen: dict[str, Seen] = {}
    for answer in told:
        for fingerprint, one in answer.seen.items():
            if fingerprint not in seen or not one.muted_by:
                seen[fingerprint] = one
    return seen
