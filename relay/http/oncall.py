"""The API of on-call: who it is, and what it costs people."""

import re
from datetime import UTC, datetime, timedelta

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy import Connection

from relay.http.access import require
from relay.http.alertmanager import CLOCK
from relay.http.api import RULES, WRITER, answer
from relay.http.routes import Route
from relay.incident.events import Paged
from relay.reports.duty import duties, level_duties
from relay.reports.load import PageAt, loads
from relay.store.failures import StoreUnavailable
from relay.store.reading import pages_between

LOOKED_BACK = timedelta(days=90)
LONGEST = timedelta(days=400)
_PLUS = re.compile(r"(T[0-9:.]+) ([0-9:]+)$")
"""A plain + in an address is a space."""


class DutyView(BaseModel):
    """Who is on call in a rotation or schedule."""

    name: str
    kind: str
    zone: str
    person: str
    """Empty for nobody."""
    because: str
    until: datetime | None
    """When somebody else, or nobody, is; none when that is not within 60 days."""
    then: str


class LevelDutyView(BaseModel):
    """Whom a level of a policy would ring."""

    policy: str
    level: str
    rings: list[str]
    nobody: list[str]
    """Why a recipient would not be rung."""


class OnCallView(BaseModel):
    """Who is on call at a moment."""

    at: datetime
    on_call: list[DutyView]
    levels: list[LevelDutyView]


class LoadView(BaseModel):
    """What somebody had to bear: hours on call, and pages."""

    person: str
    hours: float
    nights: float
    weekends: float
    pages: int
    at_night: int
    incidents: int


class LoadReport(BaseModel):
    """The load of everybody, the most hours first."""

    since: datetime
    until: datetime
    people: list[LoadView]


async def who(request: web.Request) -> web.Response:
    """Say who is on call."""
    require(request, "viewer")
    rules, now = request.app[RULES].rules, request.app[CLOCK].now()
    at = _moment(request, "at", now)
    return answer(
        OnCallView(
            at=at,
            on_call=[DutyView.model_validate(duty, from_attributes=True) for duty in duties(rules.roster, at)],
            levels=[LevelDutyView.model_validate(level, from_attributes=True) for level in level_duties(rules, at)],
        )
    )


async def load(request: web.Request) -> web.Response:
    """Sum up what on-call has cost people."""
    require(request, "admin")
    now = request.app[CLOCK].now()
    until = _moment(request, "until", now)
    since = _moment(request, "since", until - LOOKED_BACK)
    if not timedelta() < until - since <= LONGEST:
        raise web.HTTPBadRequest(text=f"since must be before until, and at most {LONGEST.days} days")
    roster = request.app[RULES].rules.roster
    try:
        people = await request.app[WRITER].show(lambda found: loads(roster, _pages(found, since, until), since, until))
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from None
    views = [LoadView.model_validate(load, from_attributes=True) for load in people]
    return answer(LoadReport(since=since, until=until, people=views))


def _pages(connection: Connection, since: datetime, until: datetime) -> list[PageAt]:
    return [
        PageAt(entry.event.ring.person, entry.recorded_at, incident)
        for incident, entry in pages_between(connection, since, until)
        if isinstance(entry.event, Paged) and entry.event.ring.person
    ]


def _moment(request: web.Request, name: str, default: datetime) -> datetime:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(_PLUS.sub(r"\1+\2", text))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 <= moment.year < 3000:
        raise web.HTTPBadRequest(text=f"{name} must be a time with Z or an offset, such as 2026-10-24T23:00+02:00")
    return moment.astimezone(UTC)


_TIME = "a time with Z or an offset"

ROUTES = (
    Route(
        "GET",
        "/api/v1/on-call",
        who,
        "Say who is on call, and whom each level would ring",
        role="viewer",
        gives=OnCallView,
        query=(("at", f"{_TIME}; now, when it is left out"),),
        refusals=(400,),
    ),
    Route(
        "GET",
        "/api/v1/reports/load",
        load,
        "Sum up what on-call has cost each person: hours, nights, weekends, pages",
        role="admin",
        gives=LoadReport,
        query=(("since", f"{_TIME}; 90 days before until"), ("until", f"{_TIME}; now")),
        refusals=(400, 503),
    ),
)
