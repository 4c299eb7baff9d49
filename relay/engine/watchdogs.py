"""The dead man's switch: a source whose watchdog falls silent can no longer tell of anything, and somebody is paged.

The alert is Relay's own, of the source `relay`, and takes the same path as any other; hearing the watchdog ends it.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from relay.clock import Clock
from relay.config.types import spell
from relay.engine.intake import Intake
from relay.engine.writer import Writer
from relay.incident.alert import OWN_SOURCE, Alert
from relay.integrations.alertmanager import read_webhook
from relay.integrations.alertmanager_api import body, tell
from relay.store.failures import StoreUnavailable
from relay.store.reading import firing_of, watchdogs_told_at

log = structlog.get_logger()

EVERY = 1.0
"""Seconds between two looks."""


class Watchdogs:
    """Watches sources. `limits` says how long each may be silent. Its owner runs it in a task."""

    def __init__(
        self,
        limits: Mapping[str, timedelta],
        writer: Writer,
        intake: Intake,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._writer = writer
        self._intake = intake
        self._clock = clock
        self._began = clock.monotonic()
        self._told: dict[str, set[datetime]] = {}
        """When each source has told of its watchdogs, as the database had it at the last look."""
        self._asked: dict[str, float] = {}
        """When it was asked, by the monotonic clock, as all that follows: the time may be set meanwhile."""
        self._heard: dict[str, float] = {}
        self._raised: set[str] = set()
        """Sources whose silence was told of, even if somebody has resolved its incident since."""

    async def run(self) -> None:
        """Watch until cancelled."""
        while self._limits:
            try:
                for source in self._limits:
                    await self.look(source)
            except StoreUnavailable as trouble:
                log.warning("watchdogs cannot be looked after", because=str(trouble))
            await asyncio.sleep(EVERY)

    async def look(self, source: str) -> None:
        """Raise the alarm about a silent source, and end it when the source is heard. Raises `StoreUnavailable`."""
        name, limit, asked = f"watchdog-{source}", self._limits[source], self._clock.monotonic()
        told = await self._writer.read(lambda connection: watchdogs_told_at(connection, source))
        firing = name in await self._writer.read(lambda connection: firing_of(connection, OWN_SOURCE))
        heard = self._hear(source, told, asked)
        if heard is not None and self._silent_for(heard) < limit:
            self._raised.discard(source)
            if firing:
                await self._tell(_alert(name, source, None, limit, told), self._clock.now())
        elif firing:
            self._raised.add(source)
        elif source not in self._raised and self._silent_for(max(self._began, heard or 0.0)) >= limit:
            # a start, before which nothing could be heard, puts the alarm off; it proves no watchdog
            self._raised.add(source)
            await self._tell(_alert(name, source, self._clock.now(), limit, told), None)

    def _hear(self, source: str, told: set[datetime], asked: float) -> float | None:
        """When the source was last heard: as the wall clock says, but not before the database was last asked."""
        before, passed = self._told.get(source, set()), self._clock.monotonic()
        if new := told - before:
            ago = max((self._clock.now() - max(new)).total_seconds(), 0.0)
            self._heard[source] = max(passed - ago, self._asked.get(source, passed - ago))
        self._told[source], self._asked[source] = told, asked
        return self._heard.get(source)

    def _silent_for(self, since: float) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - since)

    async def _tell(self, alert: Alert, ends_at: datetime | None) -> None:
        log.warning("watchdog", source=alert.labels["source"], silent=ends_at is None)
        text, now = body("resolved" if ends_at else "firing", [tell(alert, ends_at)]), self._clock.now()
        await self._intake.accept(OWN_SOURCE, text, read_webhook(text, OWN_SOURCE, now), now)


def _alert(name: str, source: str, starts_at: datetime | None, limit: timedelta, told: set[datetime]) -> Alert:
    labels = {"alertname": "RelayWatchdogSilent", "source": source, "severity": "critical", "service": "alerting"}
    last = f"last heard {max(told):%Y-%m-%d %H:%M:%S} UTC" if told else "never heard"
    summary = (
        f"The watchdog of {source} is silent for more than {spell(limit)} ({last}): alerts of {source} may not reach "
        "anybody. Is its Prometheus up, its Alertmanager, and the way from there to Relay?"
    )
    return Alert(OWN_SOURCE, name, labels, {"summary": summary}, starts_at)
