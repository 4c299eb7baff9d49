"""Since when the conditions behind incidents are true: Prometheus knows, and alerts tell only when they fired."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
import structlog

from relay.clock import Clock
from relay.engine.metrics import Metrics
from relay.engine.submit import submit
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.incident.events import ConditionDated
from relay.incident.incident import Incident
from relay.integrations.courier import Again, Never
from relay.integrations.prometheus_alerts import Active, PrometheusAlerts
from relay.store.failures import StoreUnavailable
from relay.store.reading import list_incidents
from relay.store.transaction import Transaction, happening

log = structlog.get_logger()

PHASES = ("held", "triggered", "acknowledged")
MOST_INCIDENTS = 500


@dataclass(frozen=True, slots=True)
class Dated:
    """A source whose Prometheis can be asked."""

    apis: Sequence[PrometheusAlerts]
    every: timedelta = timedelta(minutes=1)


class Conditions:
    """Asks about open incidents of which it is not known. Its owner runs it in a task."""

    def __init__(
        self, sources: Mapping[str, Dated], writer: Writer, rules: Callable[[], Rules], clock: Clock, metrics: Metrics
    ) -> None:
        self._sources = sources
        self._writer = writer
        self._rules = rules
        self._clock = clock
        self._metrics = metrics

    async def run(self) -> None:
        """Ask until cancelled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for name, source in self._sources.items():
                tasks.create_task(self._follow(name, source, session))

    async def _follow(self, name: str, source: Dated, session: aiohttp.ClientSession) -> None:
        while True:
            await asyncio.sleep(source.every.total_seconds())
            try:
                await self._ask(name, source, session)
            except StoreUnavailable as trouble:
                log.warning("conditions cannot be dated", source=name, because=str(trouble))

    async def _ask(self, name: str, source: Dated, session: aiohttp.ClientSession) -> None:
        listed = await self._writer.read(lambda connection: list_incidents(connection, PHASES, MOST_INCIDENTS, None))
        unknown = [one for one in listed if not one.condition_since and any(key[0] == name for key in one.alerts)]
        if not unknown:
            return
        active: list[Active] = []
        for api in source.apis:
            try:
                active += await api.ask(session)
            except (Again, Never) as trouble:
                self._metrics.reconcile_failures.labels(name).inc()
                log.warning(
                    "Prometheus cannot be asked since when alerts are active", source=name, because=str(trouble)
                )
        if dated := date(unknown, name, active):
            await self._tell(dated)

    async def _tell(self, dated: Mapping[str, datetime]) -> None:
        rules, now = self._rules(), self._clock.now()

        def work(transaction: Transaction) -> None:
            transaction.incidents.load(sorted(dated))
            for id_, since in dated.items():
                incident = transaction.incidents.get(id_)
                if incident and incident.phase in PHASES:
                    submit(transaction, id_, ConditionDated(since), rules, now)

        self._metrics.happened(await self._writer.transact(happening(work, now)))


def date(incidents: Iterable[Incident], source: str, active: Iterable[Active]) -> dict[str, datetime]:
    """Say since when the first condition of each incident is true, where Prometheus knows it.

    Alerts have the labels that Prometheus shows, and `external_labels` besides. Where several would do, the one with
    the most labels in common is meant.
    """
    by_name: dict[str, list[Active]] = {}
    for one in active:
        by_name.setdefault(one.labels.get("alertname", ""), []).append(one)
    found: dict[str, datetime] = {}
    for incident in incidents:
        since = [
            min(one.since for one in best)
            for alert in incident.alerts.values()
            if alert.source == source and (best := _best(alert.labels, by_name.get(alert.name, [])))
        ]
        if since:
            found[incident.id] = min(since)
    return found


def _best(labels: Mapping[str, str], active: Sequence[Active]) -> list[Active]:
    possible = [one for one in active if one.labels.items() <= labels.items()]
    most = max((len(one.labels) for one in possible), default=0)
    return [one for one in possible if len(one.labels) == most]
