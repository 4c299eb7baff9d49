"""The API of maintenance windows: see them all, and add, extend and end them."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy import Connection

from relay.config.types import Moment, spell
from relay.engine.windows import Refused, join_windows, read_window, refuse_targets
from relay.http.access import Caller, require
from relay.http.alertmanager import CLOCK
from relay.http.api import LOOP, RULES, WRITER, answer, read_asked
from relay.http.routes import Route
from relay.incident.maintenance import Windows
from relay.incident.occasions import Occasion
from relay.incident.window import Window
from relay.store.failures import StoreUnavailable
from relay.store.window_log import ADDED, AMENDED, REMOVED, WindowAct, append_act, lock_acts, newest_acts, read_acts

AHEAD = timedelta(days=90)
MOST_OCCASIONS = 5
MOST_ACTS = 1_000


class OccasionView(BaseModel):
    """Once that a window is open."""

    starts: datetime
    ends: datetime


class WindowView(BaseModel):
    """A maintenance window."""

    name: str
    reason: str
    owner: str
    place: str
    """Where it stands: a file and line, or who has made it."""
    mode: str
    matchers: list[list[str]]
    open_until: datetime | None
    """When it lets go of what it holds: its grace is over then."""
    ends: datetime | None
    """When the time that it is open at ends; in its grace, when it has ended."""
    occasions: list[OccasionView]
    """The open and the next times, of the next 90 days."""
    next: OccasionView | None
    """The next time that it opens, also where that is later than in 90 days; within ten years."""
    over: bool
    """Whether it opens no more; of a calendar nobody knows."""


class WindowList(BaseModel):
    """Windows, those that are open first."""

    windows: list[WindowView]


class NewWindow(BaseModel):
    """A window, with the keys of the section `windows:` of a rule file."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    force: bool = False
    """Whether it may cover alerts of every name."""


class WindowEnd(BaseModel):
    """When the time that a window is open at ends instead; now, when it is left out."""

    model_config = ConfigDict(extra="forbid")

    ends: Moment | None = None

    @field_validator("ends")
    @classmethod
    def _has_a_zone(cls, ends: datetime | None) -> datetime | None:
        if ends is not None and ends.tzinfo is None:
            raise ValueError("write a time with Z or an offset, such as 2026-10-24T23:00+02:00")
        return ends.astimezone(UTC) if ends else None


class WindowSaid(BaseModel):
    """What came of it."""

    said: str
    window: WindowView | None


class ActView(BaseModel):
    """What somebody has done to a window."""

    at: datetime
    by: str
    name: str
    kind: str
    body: dict[str, Any]


class ActList(BaseModel):
    """What people have done to windows, the newest first."""

    acts: list[ActView]


async def list_(request: web.Request) -> web.Response:
    """List windows."""
    require(request, "viewer")
    windows, now = request.app[RULES].rules.windows, request.app[CLOCK].now()
    views = await asyncio.to_thread(lambda: [_view(window, windows, now) for window in windows])  # hundreds take long
    return answer(WindowList(windows=sorted(views, key=lambda view: _order(view, now))))


def _order(view: WindowView, now: datetime) -> tuple[bool, bool, bool, datetime]:
    """Those that are open come first, then those that open next; what is over comes last."""
    return view.open_until is None, view.over, view.next is None, view.next.starts if view.next else now


async def acts(request: web.Request) -> web.Response:
    """List what people have done."""
    require(request, "viewer")
    try:
        found = await request.app[WRITER].show(lambda connection: newest_acts(connection, MOST_ACTS))
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from None
    listed = [ActView(at=act.at, by=act.by, name=act.name, kind=act.kind, body=dict(act.body)) for act in found]
    return answer(ActList(acts=listed))


async def add(request: web.Request) -> web.Response:
    """Add a window."""
    caller, asked = await read_asked(request, NewWindow)
    body, now = asked.model_dump(exclude={"force"}), request.app[CLOCK].now()
    try:
        window = read_window(body, caller.name)
        refuse_targets(window, request.app[RULES].types())
        if window.covers_any_name() and not asked.force:
            raise Refused("these matchers cover nearly every alert there is: make them narrower, or say force")
        first = _first(window, now)
        if first is None:
            raise Refused("this time is over: the window would never be open")
    except Refused as refused:
        raise web.HTTPUnprocessableEntity(text=str(refused)) from None
    there = next((known for known in request.app[RULES].rules.windows if known.name == window.name), None)
    if there is not None:
        raise _is_taken(there)
    return await _do(request, window.name, ADDED, caller, body, f"window {window.name} added: {_when(first, now)}")


async def end(request: web.Request) -> web.Response:
    """End a window earlier or later than planned."""
    caller, asked = await read_asked(request, WindowEnd)
    name, now = request.match_info["name"], request.app[CLOCK].now()
    window = next((window for window in request.app[RULES].rules.windows if window.name == name), None)
    if window is None:
        raise web.HTTPNotFound(text=f'there is no window "{name}"')
    if occasion := window.open_occasion(now):
        ends = asked.ends or now
        if ends < now:
            raise web.HTTPUnprocessableEntity(text="this time is over: leave it out to end the window now")
        at_once = asked.ends is None and occasion.ends <= now
        body = {"ends": ends.isoformat(), **({"at_once": True} if at_once else {})}
        return await _do(request, name, AMENDED, caller, body, _said(window, ends, at_once=at_once))
    if window.place.line:
        raise web.HTTPConflict(text=f'window "{name}" is not open now: it stands in {window.place}, change it there')
    if asked.ends:
        raise web.HTTPConflict(text=f'window "{name}" is not open now: end it without a time, and add another')
    return await _do(request, name, REMOVED, caller, {}, f"window {name} removed")


def _first(window: Window, now: datetime) -> Occasion | None:
    """The time that it is open at, else the next; not one of which only the grace is left."""
    occasion = window.open_occasion(now)
    return occasion if occasion and occasion.ends > now else window.next_occasion(now)


def _when(occasion: Occasion, now: datetime) -> str:
    open_, span = occasion.starts <= now, occasion.ends - max(occasion.starts, now)
    opens = "is open now" if open_ else f"opens at {occasion.starts:%Y-%m-%d %H:%M} UTC"
    minutes = timedelta(minutes=round(span / timedelta(minutes=1)))
    return f"it {opens}, until {occasion.ends:%Y-%m-%d %H:%M} UTC ({spell(minutes or span)})"


def _is_taken(there: Window) -> web.HTTPConflict:
    return web.HTTPConflict(text=f'there is a window "{there.name}" already ({there.place}): choose another name')


def _said(window: Window, ends: datetime, *, at_once: bool) -> str:
    if at_once:
        return f"window {window.name} lets go of what it holds"
    grace = f", and lets go of what began before {spell(window.grace)} later" if window.grace else ""
    return f"window {window.name} ends at {ends:%Y-%m-%d %H:%M:%S} UTC{grace}"


async def _do(
    request: web.Request, name: str, kind: str, caller: Caller, body: Mapping[str, Any], said: str
) -> web.Response:
    now, rules = request.app[CLOCK].now(), request.app[RULES]

    def work(connection: Connection) -> Window | None:
        """Write it down, unless it is a window whose name somebody else has given another one meanwhile."""
        lock_acts(connection)
        standing = join_windows((), read_acts(connection, name), {}, now, {}) if kind == ADDED else ()
        if standing:
            return standing[0]
        append_act(connection, WindowAct(name, kind, caller.name, now, body))
        return None

    try:
        there = await request.app[WRITER].transact(work)
        await rules.take_acts(await request.app[WRITER].read(read_acts))
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from None
    if there is not None:
        raise _is_taken(there)
    request.app[LOOP].reconsider()
    windows = rules.rules.windows
    window = next((window for window in windows if window.name == name), None)
    return answer(WindowSaid(said=said, window=_view(window, windows, now) if window else None))


def _view(window: Window, windows: Windows, now: datetime) -> WindowView:
    open_until = next((until for one, until in windows.open(now) if one is window), None)
    occasion, coming = window.open_occasion(now), window.next_occasion(now)
    return WindowView(
        name=window.name,
        reason=window.reason,
        owner=window.owner,
        place=str(window.place),
        mode=window.mode,
        matchers=[[str(matcher) for matcher in one] for one in window.any_of or (window.matchers or (),)],
        open_until=open_until,
        ends=occasion.ends if occasion else None,
        occasions=[
            OccasionView(starts=starts, ends=ends)
            for starts, ends in window.occasions(now, now + AHEAD)[:MOST_OCCASIONS]
        ],
        next=OccasionView(starts=coming.starts, ends=coming.ends) if coming else None,
        over=not (occasion or coming or window.calendar),
    )


ROUTES = (
    Route(
        "GET",
        "/api/v1/windows",
        list_,
        "List maintenance windows, those that are open first",
        role="viewer",
        gives=WindowList,
    ),
    Route(
        "POST",
        "/api/v1/windows",
        add,
        "Add a maintenance window",
        role="responder",
        takes=NewWindow,
        gives=WindowSaid,
        refusals=(409,),
    ),
    Route(
        "POST",
        "/api/v1/windows/{name}/end",
        end,
        "End an open window earlier or later than planned; remove one that is not open",
        role="responder",
        takes=WindowEnd,
        gives=WindowSaid,
        refusals=(404, 409),
    ),
    Route(
        "GET",
        "/api/v1/window-acts",
        acts,
        "List what people have done to windows, the newest first",
        role="viewer",
        gives=ActList,
        refusals=(503,),
    ),
)
