"""Keeping schedules that PagerDuty or Opsgenie own up to date."""

import asyncio
from datetime import datetime, timedelta

import aiohttp
import structlog

from relay.clock import Clock
from relay.config.secrets import SecretMissing, read_secret
from relay.config.types import spell
from relay.engine.metrics import Metrics
from relay.engine.rules_in_use import RulesInUse
from relay.engine.set_back import SET
from relay.engine.writer import Writer
from relay.incident.schedule import Provider, Told
from relay.integrations.courier import Again, Never
from relay.integrations.schedules import ScheduleApi
from relay.store.failures import StoreUnavailable
from relay.store.schedules import keep_told, read_told

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between two looks at which schedules are due."""
AFTER_FAILURE = timedelta(minutes=1)


class ScheduleWatch:
    """Reads each schedule as often as its rules say. Its owner runs it in a task."""

    def __init__(self, rules: RulesInUse, writer: Writer, clock: Clock, metrics: Metrics) -> None:
        self._rules = rules
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._due: dict[str, tuple[Provider, float]] = {}
        """When each is to be read of its provider, in seconds that pass: the time may be set meanwhile."""
        self._begun = False

    async def begin(self) -> None:
        """Take in what was told before the start, before anything is decided; as soon as the database can be read."""
        try:
            for name, told in (await self._writer.read(read_told)).items():
                if name not in self._rules.rules.roster.told:
                    self._rules.take_told(name, told)
        except StoreUnavailable as trouble:
            log.warning("what schedules told before the start is not known", because=str(trouble))
        else:
            self._begun = True

    async def run(self) -> None:
        """Watch until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                if not self._begun:
                    await self.begin()
                await self.look(session)
                await asyncio.sleep(EVERY)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Read every schedule that is due."""
        now, roster = self._clock.now(), self._rules.rules.roster
        for name, schedule in roster.schedules.items():
            told = roster.told.get(name)
            of_the_future = told is not None and told.at >= now + SET  # it says nothing of now
            if schedule.provider and (of_the_future or self._is_due(name, schedule.provider)):
                await self._read(name, schedule.provider, session, now)

    def _is_due(self, name: str, provider: Provider) -> bool:
        asked, due = self._due.get(name, (None, 0.0))
        return provider != asked or self._clock.monotonic() >= due

    def _wait(self, name: str, provider: Provider, span: timedelta) -> None:
        self._due[name] = provider, self._clock.monotonic() + span.total_seconds()

    async def _read(self, name: str, provider: Provider, session: aiohttp.ClientSession, now: datetime) -> None:
        try:
            api = ScheduleApi(provider, read_secret(provider.api_key_file, provider.api_key_env), self._clock)
            told = Told(now, await api.read(now, now + provider.stale_after + provider.refresh, session))
            await self._writer.transact(lambda connection: keep_told(connection, name, told))
        except (Again, Never, SecretMissing, StoreUnavailable) as trouble:
            self._wait(name, provider, min(AFTER_FAILURE, provider.refresh))
            self._metrics.schedule_failures.labels(name).inc()
            known = self._rules.rules.roster.told.get(name)
            log.warning(
                "a schedule cannot be read",
                schedule=name,
                because=str(trouble),
                known=f"as of {spell(now - known.at)} ago" if known else "nothing: nobody is on call in it",
            )
            return
        self._wait(name, provider, provider.refresh)
        self._metrics.schedule_at.labels(name).set(now.timestamp())
        self._rules.take_told(name, told)
