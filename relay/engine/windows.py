"""The maintenance windows in use: those of the files, those made over the API, and what their calendars tell."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from relay.config.document import Place
from relay.incident.maintenance import Windows
from relay.incident.window import Window
from relay.store.window_log import ADDED, AMENDED, REMOVED, WindowAct

log = structlog.get_logger()

FORGOTTEN_AFTER = timedelta(days=7)
"""How long a window made over the API is known after its last end."""

KNOWN_AHEAD = timedelta(days=3660)


class Refused(Exception):
    """What somebody wants of a window cannot be done. The message says why."""


def read_window(body: Mapping[str, Any], by: str) -> Window:
    """Read a window that came over the API. Raises `Refused` with everything that is wrong."""
    try:
        window = Window.model_validate({**body, "__place__": Place(f"made by {by}", 0)})
    except ValidationError as invalid:
        wrong = (f"{'.'.join(map(str, e['loc'])) or 'window'}: {e['msg']}" for e in invalid.errors())
        raise Refused("; ".join(said.replace("Value error, ", "") for said in wrong)) from None
    if window.calendar is not None:
        raise Refused("calendar: a window with a calendar can only be written in the rule files")
    return window


def join_windows(
    of_files: Iterable[Window], acts: Iterable[WindowAct], calendars: Mapping[str, str], now: datetime
) -> tuple[Window, ...]:
    """All windows as they stand: files first, then what people did, in order. `calendars` has texts by window."""
    windows = {window.name: _with_times(window, calendars) for window in of_files}
    of_people: dict[str, Window] = {}
    for act in acts:
        known = windows.get(act.name) or of_people.get(act.name)
        if act.kind == ADDED:
            if made := _made(act):
                of_people[act.name] = made
        elif act.kind == AMENDED and known is not None:
            group = windows if act.name in windows else of_people
            group[act.name] = known.amended(act.at, datetime.fromisoformat(act.body["ends"]))
        elif act.kind == REMOVED:
            of_people.pop(act.name, None)
    coming = [window for window in of_people.values() if _is_to_come(window, now)]
    return (*windows.values(), *(window for window in coming if window.name not in windows))


def _made(act: WindowAct) -> Window | None:
    try:
        return read_window(act.body, act.by)
    except Refused as error:  # it was sound for the Relay that took it
        log.error("a window made over the API cannot be used, and holds nothing", window=act.name, because=str(error))
        return None


def _is_to_come(window: Window, now: datetime) -> bool:
    return bool(window.occasions(now - FORGOTTEN_AFTER, now + KNOWN_AHEAD))


def _with_times(window: Window, calendars: Mapping[str, str]) -> Window:
    text = calendars.get(window.name)
    if window.calendar is None or text is None:
        return window
    try:
        return window.with_calendar(text)
    except ValueError as error:
        log.error("a calendar cannot be used, and its window holds nothing", window=window.name, because=str(error))
        return window


def ending(windows: Windows, name: str, ends: datetime, now: datetime) -> tuple[Window, bool]:
    """Find the window that somebody wants to end at a time, and whether it is open. Raises `Refused`."""
    window = next((window for window in windows if window.name == name), None)
    if window is None:
        raise Refused(f'there is no window "{name}"')
    open_until = next((until for one, until in windows.open(now) if one is window), None)
    if open_until is not None and ends <= window_start(window, now):
        raise Refused("a window cannot end before it has begun")
    return window, open_until is not None


def window_start(window: Window, now: datetime) -> datetime:
    """When the time that a window is open at has begun."""
    return min((starts for starts, _ in window.occasions(now, now + timedelta(microseconds=1))), default=now)
