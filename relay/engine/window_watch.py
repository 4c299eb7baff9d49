"""Keeping windows up to date: what other replicas' users have done to them, and what calendars' addresses tell."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
import structlog

from relay.clock import Clock
from relay.config.secrets import SecretMissing, read_secret
from relay.config.types import spell
from relay.engine.metrics import Metrics
from relay.engine.rules_in_use import RulesInUse
from relay.engine.writer import Writer
from relay.incident.window import Window
from relay.integrations.courier import Again, Never
from relay.integrations.download import download
from relay.store.calendars import Told, digest, keep_calendar, read_calendars
from relay.store.failures import StoreUnavailable
from relay.store.window_log import newest_act, read_acts

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between two looks."""
AFTER_FAILURE = timedelta(minutes=1)


@dataclass(slots=True)
class _Known:
    """What is known of one calendar."""

    address: str
    """A digest of where it is."""
    due: float = 0.0
    """When it is to be read, in seconds that pass: the time may be set meanwhile."""
    answered_at: datetime | None = None
    text: str | None = None


class WindowWatch:
    """Takes windows anew when they have changed elsewhere. Its owner runs it in a task."""

    def __init__(
        self,
        rules: RulesInUse,
        writer: Writer,
        clock: Clock,
        metrics: Metrics,
        changed: Callable[[], None],
    ) -> None:
        self._rules = rules
        self._writer = writer
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        """Called when windows have changed: what is held is to be looked at again."""
        self._newest = 0
        self._calendars: dict[str, _Known] = {}

    async def begin(self) -> None:
        """Take in what is known of windows, before anything is decided."""
        try:
            await self.remember()
            await self.look()
        except StoreUnavailable as trouble:
            log.warning("windows cannot be looked after", because=str(trouble))

    async def run(self) -> None:
        """Watch until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    await self.look()
                except StoreUnavailable as trouble:
                    log.warning("windows cannot be looked after", because=str(trouble))
                await self.refresh(session)
                await asyncio.sleep(EVERY)

    async def remember(self) -> None:
        """Take in what calendars told before the start: it holds until they are read again, or for as long as stale."""
        for name, told in (await self._writer.read(read_calendars)).items():
            window = next((window for window in self._fetched() if window.name == name), None)
            if window is not None and told.digest == _digest(window):
                self._calendars[name] = _Known(told.digest, 0.0, told.at, told.text)
                await self._rules.take_calendar(name, told.text)
                self._changed()

    async def look(self) -> None:
        """Take in what was done to windows since the last look. Raises `StoreUnavailable`."""
        newest = await self._writer.read(newest_act)
        if newest != self._newest:
            acts = await self._writer.read(read_acts)
            await self._rules.take_acts(acts)
            self._newest = newest
            self._changed()

    async def refresh(self, session: aiohttp.ClientSession) -> None:
        """Read every calendar that is due."""
        for window in self._fetched():
            known, address = self._calendars.get(window.name), _digest(window)
            if known is None or (address and known.address != address):  # of what another has told, nothing holds
                if known and known.text is not None:
                    await self._take(window, known, None)
                known = self._calendars[window.name] = _Known(address)
            if self._clock.monotonic() >= known.due:
                await self._read(window, known, session)

    def _fetched(self) -> list[Window]:
        return [one for one in self._rules.rules.windows if one.calendar and not one.calendar.file]

    async def _read(self, window: Window, known: _Known, session: aiohttp.ClientSession) -> None:
        assert window.calendar is not None
        now = self._clock.now()
        try:
            address = _address(window)
            text = await download(address, session)
            read = window if text == known.text else await asyncio.to_thread(window.with_calendar, text)
        except (Again, Never, ValueError, SecretMissing) as trouble:
            known.due = self._clock.monotonic() + min(AFTER_FAILURE, window.calendar.refresh).total_seconds()
            await self._failed(window, known, str(trouble), now)
            return
        if read.unread:
            log.warning("events of a calendar are left out", window=window.name, because=read.unread[:5])
        known.address, known.answered_at = digest(address), now
        known.due = self._clock.monotonic() + window.calendar.refresh.total_seconds()
        self._metrics.calendar_at.labels(window.name).set(now.timestamp())
        if text != known.text:
            await self._take(window, known, text)
        told = Told(known.address, now, text)
        try:
            await self._writer.transact(lambda connection: keep_calendar(connection, window.name, told))
        except StoreUnavailable as trouble:
            log.warning("a calendar cannot be kept", window=window.name, because=str(trouble))

    async def _take(self, window: Window, known: _Known, text: str | None) -> None:
        await self._rules.take_calendar(window.name, text)
        known.text = text
        self._changed()

    async def _failed(self, window: Window, known: _Known, because: str, now: datetime) -> None:
        """What is known stays in use; after `stale_after` it is forgotten, where the window says so."""
        assert window.calendar is not None
        self._metrics.calendar_failures.labels(window.name).inc()
        silent = now - known.answered_at if known.answered_at else None
        log.warning(
            "a calendar cannot be read",
            window=window.name,
            because=because,
            known=f"as of {spell(silent)} ago" if silent is not None else "nothing: the window holds nothing",
        )
        stale = silent is not None and silent > window.calendar.stale_after
        if stale and window.calendar.stale == "ignore":
            known.answered_at = None
            await self._take(window, known, None)


def _address(window: Window) -> str:
    """Where its calendar is. Raises `SecretMissing`."""
    assert window.calendar is not None
    return window.calendar.url or read_secret(window.calendar.url_file, "")


def _digest(window: Window) -> str:
    """A digest of the address; empty when the file that holds it is missing."""
    try:
        return digest(_address(window))
    except SecretMissing:
        return ""
