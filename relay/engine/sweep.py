"""The sweep: a slice of old rows at a time, while nobody waits for anything."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.engine.intake import Intake
from relay.engine.metrics import Metrics
from relay.engine.writer import Writer
from relay.store.failures import StoreUnavailable
from relay.store.retention import PRUNES, compress_inbox

log = structlog.get_logger()

EVERY = 60.0
"""Seconds between two sweeps."""
PAUSE = 0.05
"""Seconds between two slices."""
COMPRESS_AFTER = timedelta(hours=1)


class Sweep:
    """Removes what is older than `ages` say, by the names of `PRUNES`. Its owner runs it in a task."""

    def __init__(
        self, ages: Mapping[str, timedelta], writer: Writer, intake: Intake, clock: Clock, metrics: Metrics
    ) -> None:
        self._ages = ages
        self._writer = writer
        self._intake = intake
        self._clock = clock
        self._metrics = metrics
        self._compressed = 0
        """The id up to which the inbox was looked through."""

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except StoreUnavailable as trouble:
                log.warning("the sweep is put off", because=str(trouble))
            await asyncio.sleep(EVERY)

    async def sweep(self) -> None:
        """Sweep everything once."""
        now = self._clock.now()
        for name, age in self._ages.items():
            while removed := await self._slice(partial(_prune, name, now - age)):
                self._metrics.swept.labels(name).inc(removed)
        while seen := await self._slice(partial(compress_inbox, before=now - COMPRESS_AFTER, after=self._compressed)):
            self._compressed = seen

    async def _slice(self, work: Callable[[Connection], int]) -> int:
        """Do a slice; none while somebody waits for an answer: the next sweep goes on."""
        if not self._intake.empty:
            return 0
        done = await self._writer.transact(work)
        await asyncio.sleep(PAUSE)
        return done


def _prune(name: str, before: datetime, connection: Connection) -> int:
    return PRUNES[name](connection, before)
