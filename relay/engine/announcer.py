"""Announcing maintenance: before it, when it begins, when it ends; each once, by whichever replica is first."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.config.types import spell
from relay.engine.writer import Writer
from relay.incident.effects import Announce
from relay.incident.maintenance import Windows
from relay.incident.occasions import Occasion
from relay.incident.window import Window
from relay.store.failures import StoreUnavailable
from relay.store.transaction import Transaction
from relay.store.window_log import ANNOUNCED, WindowAct, append_act, lock_acts, was_announced

log = structlog.get_logger()

EVERY = 5.0
"""Seconds between two looks."""
LATE = timedelta(minutes=10)
"""How late an announcement still helps anybody; one that is later is left out."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing to tell of one time that a window is open."""

    window: Window
    occasion: Occasion
    what: str
    at: datetime

    @property
    def body(self) -> dict[str, str]:
        """What tells it from every other announcement of the window."""
        return {"what": self.what, "starts": self.occasion.starts.isoformat()}

    def effects(self) -> Iterator[Announce]:
        """The messages."""
        window = self.window
        starts, ends = (at.astimezone(window.zone) for at in self.occasion)
        title = f"Maintenance {self.what}: {window.name}"
        times = f"{starts:%a %d %b %Y %H:%M} to {ends:%a %d %b %H:%M} ({window.zone})"
        covers = " or ".join(", ".join(map(str, one)) for one in window.any_of or (window.matchers or (),))
        text = f"{window.reason}\n\nWhen: {times}\nCovers: {covers}\nOwner: {window.owner}\nRule: {window.place}\n"
        assert window.announce is not None
        for target in window.announce.to:
            key = f"window {window.name}/{self.occasion.starts.isoformat()}/{self.what}/{target}"
            yield Announce(target, key, title, text)


def due(windows: Windows, now: datetime) -> list[Announcement]:
    """Announcements whose time has come, and is not long past."""
    found = []
    for window in windows:
        if window.announce is None or window.mode == "shadow":
            continue
        ahead = max(window.announce.before, default=timedelta())
        for occasion in window.occasions(now - LATE, now + ahead + timedelta(seconds=1)):
            found += [one for one in _of(window, occasion) if now - LATE < one.at <= now]
    return found


def _of(window: Window, occasion: Occasion) -> Iterator[Announcement]:
    assert window.announce is not None
    for span in window.announce.before:
        yield Announcement(window, occasion, f"in {spell(span)}", occasion.starts - span)
    if window.announce.at_start:
        yield Announcement(window, occasion, "begins", occasion.starts)
    if window.announce.at_end:
        yield Announcement(window, occasion, "has ended", occasion.ends)


class Announcer:
    """Looks for announcements that are due. Its owner runs it in a task."""

    def __init__(self, windows: Callable[[], Windows], writer: Writer, clock: Clock, look: Callable[[], None]) -> None:
        self._windows = windows
        self._writer = writer
        self._clock = clock
        self._look = look
        self._told: dict[str, datetime] = {}
        """Keys of what was told, so that the database is asked once for each."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.announce()
            except StoreUnavailable as trouble:
                log.warning("maintenance cannot be announced", because=str(trouble))
            await asyncio.sleep(EVERY)

    async def announce(self) -> None:
        """Ask for everything that is due to be told. Raises `StoreUnavailable`."""
        now = self._clock.now()
        self._told = {key: at for key, at in self._told.items() if now - at <= 2 * LATE}
        for one in due(self._windows(), now):
            key = f"{one.window.name}/{one.body}"
            if key not in self._told:
                await self._writer.transact(lambda connection, one=one: _tell(connection, one, now))  # type: ignore[misc]
                self._told[key] = now
                self._look()


def _tell(connection: Connection, announcement: Announcement, now: datetime) -> None:
    name, body = announcement.window.name, announcement.body
    lock_acts(connection)
    if was_announced(connection, name, body):
        return
    append_act(connection, WindowAct(name, ANNOUNCED, "relay", now, body))
    transaction = Transaction(connection)
    for effect in announcement.effects():
        transaction.ask(effect)
    transaction.write(now)
