"""The maintenance windows in use: those of the files, those made over the API, and what their calendars tell."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from relay.config.complaints import in_words, suggest
from relay.config.document import Place
from relay.config.types import in_our_time
from relay.incident.occasions import Amendment
from relay.incident.window import Window
from relay.store.window_log import ADDED, AMENDED, REMOVED, WindowAct

log = structlog.get_logger()

Dated = dict[str, tuple[Window, str, Window]]
"""Windows as they were written, the texts of their calendars, and both together: by name. A calendar is read once."""

FORGOTTEN_AFTER = timedelta(days=7)
"""How long a window made over the API is known after its last end."""

ANNOUNCES = ("email", "webhook")
"""Types of targets that can tell people something without ringing them."""


class Refused(Exception):
    """What somebody wants of a window cannot be done. The message says why."""


def read_window(body: Mapping[str, Any], by: str) -> Window:
    """Read a window that came over the API. Raises `Refused` with everything that is wrong."""
    try:
        window = Window.model_validate({**body, "__place__": Place(f"made by {by}", 0)})
    except ValidationError as invalid:
        raise Refused(in_words(invalid, Window, "window")) from None
    if window.calendar is not None:
        raise Refused("calendar: a window with a calendar can only be written in the rule files")
    return window


def join_windows(
    of_files: Iterable[Window], acts: Iterable[WindowAct], calendars: Mapping[str, str], now: datetime, dated: Dated
) -> tuple[Window, ...]:
    """All windows as they stand: files first, then what people did, in order.

    `calendars` has texts by window; what was read of them is kept in `dated`.
    """
    windows = {window.name: _with_times(window, calendars, dated) for window in of_files}
    of_people: dict[str, Window] = {}
    amendments: dict[str, list[Amendment]] = {}
    for act in acts:
        if act.kind == ADDED:
            if made := _made(act):
                of_people[act.name] = made
        elif act.kind == AMENDED:
            if amendment := _amendment(act, windows.get(act.name) or of_people.get(act.name)):
                amendments.setdefault(act.name, []).append(amendment)
        elif act.kind == REMOVED:
            of_people.pop(act.name, None)
            amendments.pop(act.name, None)
    joined = {
        name: window.amended(amendments[name]) if name in amendments else window
        for name, window in (of_people | windows).items()
    }
    coming = [w for name, w in joined.items() if name not in windows and w.opens_after(now - FORGOTTEN_AFTER)]
    return (*(joined[name] for name in windows), *coming)


def _amendment(act: WindowAct, window: Window | None) -> Amendment | None:
    """What somebody has made of the time that a window was open at; at once means without its grace, too."""
    grace = window.grace if window and act.body.get("at_once") else timedelta()
    try:
        return Amendment(act.at, in_our_time(datetime.fromisoformat(act.body["ends"])) - grace)
    except ValueError as error:  # an older Relay took it
        log.error("an end made over the API cannot be used", window=act.name, because=str(error))
        return None


def _made(act: WindowAct) -> Window | None:
    try:
        return read_window(act.body, act.by)
    except Refused as error:  # it was sound for the Relay that took it
        log.error("a window made over the API cannot be used, and holds nothing", window=act.name, because=str(error))
        return None


def _with_times(window: Window, calendars: Mapping[str, str], dated: Dated) -> Window:
    text = calendars.get(window.name)
    if window.calendar is None or text is None:
        return window
    written, its_text, known = dated.get(window.name, (None, "", window))
    if written is window and its_text == text:
        return known
    try:
        known = window.with_calendar(text)
        dated[window.name] = window, text, known
        return known
    except ValueError as error:
        log.error("a calendar cannot be used, and its window holds nothing", window=window.name, because=str(error))
        return window


def refuse_targets(window: Window, types: Mapping[str, str]) -> None:
    """Refuse targets that there are not, or that cannot do what is wanted. `types` are by name. Raises `Refused`."""
    told = window.announce.to if window.announce else ()
    wrong = [
        f'{key}: there is no target "{name}": {suggest(name, types)}'
        for key, name in (("redirect", window.redirect), *(("announce", name) for name in told))
        if name and name not in types
    ]
    only_ring = [name for name in told if name in types and types[name] not in ANNOUNCES]
    wrong += [f"announce: {cannot_tell(name, types[name])}" for name in only_ring]
    if wrong:
        raise Refused("; ".join(wrong))


def cannot_tell(name: str, type_: str) -> str:
    """Say why nothing can be announced through a target."""
    return f'"{name}" is a target of the type {type_}, which only rings people'
