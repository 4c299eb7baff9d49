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
from relay.store.database import StoreUnavailable
from relay.store.reading import firing_of, watchdog_told_at

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
        every: float = EVERY,
    ) -> None:
        self._limits = limits
        self._writer = writer
        self._intake = intake
        self._clock = clock
        self._every = every
        self._raised: set[str] = set()
        """Sources whose silence was told of, even if somebody has resolved its incident since."""

    async def run(self) -> None:
        """Watch until cancelled."""
        began = self._clock.now()
        while self._limits:
            try:
                for source, limit in self._limits.items():
                    await self._look(source, limit, began)
            except StoreUnavailable as trouble:
                log.warning("watchdogs cannot be looked after", because=str(trouble))
            await asyncio.sleep(self._every)

    async def _look(self, source: str, limit: timedelta, began: datetime) -> None:
        name = f"watchdog-{source}"
        heard = await self._writer.read(lambda connection: watchdog_told_at(connection, source))
        firing = name in await self._writer.read(lambda connection: firing_of(connection, OWN_SOURCE))
        now = self._clock.now()
        silent_since = max(heard or began, began)
        if now - silent_since < limit:
            self._raised.discard(source)
            if firing:
                await self._tell(_alert(name, source, silent_since, limit, heard), now)
        elif not firing and source not in self._raised:
            self._raised.add(source)
            await self._tell(_alert(name, source, silent_since, limit, heard), None)

    async def _tell(self, alert: Alert, ends_at: datetime | None) -> None:
        log.warning("watchdog", source=alert.labels["source"], silent=ends_at is None)
        text, now = body("resolved" if ends_at else "firing", [tell(alert, ends_at)]), self._clock.now()
        await self._intake.accept(OWN_SOURCE, text, read_webhook(text, OWN_SOURCE, now), now)


def _alert(name: str, source: str, silent_since: datetime, limit: timedelta, heard: datetime | None) -> Alert:
    labels = {"alertname": "RelayWatchdogSilent", "source": source, "severity": "critical", "service": "alerting"}
    last = f"last heard {silent_since:%Y-%m-%d %H:%M:%S} UTC" if heard else "never heard"
    summary = (
        f"The watchdog of {source} is silent for more than {spell(limit)} ({last}): alerts of {source} may not reach "
        "anybody. Is its Prometheus up, its Alertmanager, and the way from there to Relay?"
    )
    return Alert(OWN_SOURCE, name, labels, {"summary": summary}, silent_since + limit)
