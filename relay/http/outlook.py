"""What comes next for an incident: the production decisions go on, on a clock of their own, and nothing is kept."""

from datetime import datetime, timedelta

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy import Connection

from relay.config.types import duration, spell
from relay.http.access import require
from relay.http.alertmanager import CLOCK
from relay.http.api import RULES, answer, incident_id, read
from relay.http.routes import Route
from relay.incident.events import Delivered, is_quiet
from relay.incident.story import Story
from relay.incident.telling import tell
from relay.store.reading import find_incident

LONGEST = timedelta(days=1)
MOST_STEPS = 500


class OutlookStep(BaseModel):
    """Something that will happen."""

    at: datetime
    text: str


class Outlook(BaseModel):
    """What comes next, if nothing but time happens: who is rung, above all. Who is on call then is looked up then."""

    steps: list[OutlookStep]


async def outlook(request: web.Request) -> web.Response:
    """Say what comes next for an incident, if nothing but time happens to it, and pagers and people are as now."""
    require(request, "viewer")
    id_, span = incident_id(request), _span(request)
    rules, now = request.app[RULES].rules, request.app[CLOCK].now()

    def work(connection: Connection) -> Outlook | None:
        incident = find_incident(connection, id_)
        if incident is None:
            return None
        story = Story(rules, now, incident, pagers_work=True)
        story.wait(now + span)
        told = [(at, event) for at, event in story.happened if not (is_quiet(event) or isinstance(event, Delivered))]
        return Outlook(steps=[OutlookStep(at=at, text=tell(event)) for at, event in told[:MOST_STEPS]])

    found = await read(request, work)
    if found is None:
        raise web.HTTPNotFound(text=f"there is no incident {id_}")
    return answer(found)


def _span(request: web.Request) -> timedelta:
    try:
        span = duration(request.query.get("for", "1h"))
    except ValueError as error:
        raise web.HTTPBadRequest(text=f'"for": {error}') from None
    if span > LONGEST:
        raise web.HTTPBadRequest(text=f'"for" can be at most {spell(LONGEST)}')
    return span


ROUTES = (
    Route(
        "GET",
        "/api/v1/incidents/{id}/outlook",
        outlook,
        "Say what comes next for an incident, if nothing but time happens to it",
        role="viewer",
        gives=Outlook,
        query=(("for", "a duration, of which to tell; 1h when left out"),),
        refusals=(400, 404, 503),
    ),
)
