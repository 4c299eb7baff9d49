"""The API of people and their programs: incidents, what to do with them, and what could not be used."""

import re
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from relay.config.complaints import in_words
from relay.engine.loop import Loop
from relay.engine.rules_in_use import RulesInUse
from relay.engine.submit import NoSuchIncident, submit
from relay.engine.writer import Writer
from relay.http.access import Caller, require
from relay.http.alertmanager import CLOCK, METRICS
from relay.http.body import read_body
from relay.http.routes import Route
from relay.http.views import (
    Acknowledge,
    ErrandView,
    Escalate,
    IncidentDetail,
    IncidentList,
    Note,
    Outbox,
    QuarantineList,
    QuarantineView,
    Refusals,
    Resolve,
    Said,
    SetSeverity,
    Verification,
    detail,
    refusal,
    view,
)
from relay.incident.events import (
    Acknowledged,
    Escalated,
    Event,
    NoteAdded,
    Resolved,
    SeveritySet,
)
from relay.incident.incident import Incident
from relay.incident.lifecycle import PHASES, NotNow
from relay.incident.telling import tell
from relay.store.failures import StoreUnavailable
from relay.store.reading import (
    Entry,
    find_incident,
    incident_ids,
    list_incidents,
    read_outbox,
    read_quarantine,
    read_refusals,
    read_timeline,
    verify_timeline,
    waiting_pages,
)
from relay.store.transaction import Transaction

WRITER = web.AppKey("writer", Writer)
LOOP = web.AppKey("loop", Loop)
RULES = web.AppKey("rules", RulesInUse)

Asked = TypeVar("Asked", bound=BaseModel)
Found = TypeVar("Found")

_OPEN = ("new", "held", "triggered", "acknowledged")
MOST_LISTED = 500
MOST_ASKED_BYTES = 256 * 1024
"""Of what a person asks for; it is read while alerts wait."""
_ID = re.compile("INC-[0-9]{1,18}")


async def list_(request: web.Request) -> web.Response:
    """List incidents."""
    require(request, "viewer")
    phases = _phases(request.query.get("phase", "open"))
    limit = _number(request, "limit", 50, 1, MOST_LISTED)
    before = _number(request, "before", 0, 0, 2**62) or None
    incidents = await read(request, lambda connection: list_incidents(connection, phases, limit, before))
    now = request.app[CLOCK].now()
    more = int(incidents[-1].id.partition("-")[2]) if len(incidents) == limit else None
    return answer(IncidentList(incidents=[view(incident, now) for incident in incidents], next=more))


async def show(request: web.Request) -> web.Response:
    """Show an incident with its timeline."""
    require(request, "viewer")
    return answer(await look_up(request))


async def look_up(request: web.Request) -> IncidentDetail:
    """Give the incident in the path, or answer 404."""
    id_ = incident_id(request)

    def work(connection: Connection) -> tuple[Incident | None, list[Entry], dict[str, int]]:
        return find_incident(connection, id_), read_timeline(connection, id_), waiting_pages(connection, id_)

    incident, entries, waiting = await read(request, work)
    if incident is None:
        raise web.HTTPNotFound(text=f"there is no incident {id_}")
    return detail(incident, entries, waiting, request.app[CLOCK].now())


def incident_id(request: web.Request) -> str:
    """The id in the path. What is none is not asked of the database, which may refuse to hear of it."""
    id_ = request.match_info["id"]
    if not _ID.fullmatch(id_):
        raise _no_id()
    return id_


def _no_id() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="there is no such incident: their ids look like INC-12")


async def acknowledge(request: web.Request) -> web.Response:
    """Say that somebody is on it."""
    caller, asked = await read_asked(request, Acknowledge)
    notes = [NoteAdded(caller.name, asked.note)] if asked.note else []
    return await _happen(request, Acknowledged(caller.name), *notes)


async def resolve(request: web.Request) -> web.Response:
    """Say that it is over."""
    caller, asked = await read_asked(request, Resolve)
    return await _happen(request, Resolved(asked.because, caller.name))


async def note(request: web.Request) -> web.Response:
    """Write something down."""
    caller, asked = await read_asked(request, Note)
    return await _happen(request, NoteAdded(caller.name, asked.text))


async def escalate(request: web.Request) -> web.Response:
    """Page the next level now."""
    caller, asked = await read_asked(request, Escalate)
    return await _happen(request, Escalated(caller.name, asked.reason))


async def set_severity(request: web.Request) -> web.Response:
    """Say how severe it is."""
    caller, asked = await read_asked(request, SetSeverity)
    return await _happen(request, SeveritySet(caller.name, asked.severity, asked.reason))


async def quarantine(request: web.Request) -> web.Response:
    """List what could not be used."""
    require(request, "responder")
    limit = _number(request, "limit", 50, 1, MOST_LISTED)
    rows = await read(request, lambda connection: read_quarantine(connection, limit))
    return answer(QuarantineList(quarantine=[QuarantineView(**row._mapping) for row in rows]))


async def outbox(request: web.Request) -> web.Response:
    """List what is still to be asked of the world."""
    require(request, "viewer")
    limit = _number(request, "limit", 50, 1, MOST_LISTED)
    rows = await read(request, lambda connection: read_outbox(connection, limit))
    return answer(Outbox(errands=[ErrandView(**row._mapping) for row in rows]))


async def refusals(request: web.Request) -> web.Response:
    """List what targets have refused for good."""
    require(request, "viewer")
    limit = _number(request, "limit", 50, 1, MOST_LISTED)
    found = await read(request, lambda connection: read_refusals(connection, limit))
    return answer(Refusals(refusals=[refusal(incident, entry) for incident, entry in found]))


async def verify(request: web.Request) -> web.Response:
    """Verify the hash chain of one timeline, or of all."""
    require(request, "viewer")
    wanted = request.query.get("incident")
    if wanted and not _ID.fullmatch(wanted):
        raise _no_id()

    def work(connection: Connection) -> Verification:
        ids = [wanted] if wanted else incident_ids(connection)
        problems = {id_: found for id_ in ids if (found := verify_timeline(connection, id_))}
        return Verification(incidents=len(ids), problems=problems)

    return answer(await read(request, work))


async def read_asked(request: web.Request, model: type[Asked]) -> tuple[Caller, Asked]:
    """Give who asks, a responder at least, and the body as a model; refused in words when it is none."""
    caller = require(request, "responder")
    body = await read_body(request, MOST_ASKED_BYTES)
    try:
        return caller, model.model_validate_json(body or b"{}")
    except ValidationError as invalid:
        raise web.HTTPUnprocessableEntity(text=in_words(invalid, model, "body")) from None


async def _happen(request: web.Request, *events: Event) -> web.Response:
    """Let events happen to the incident in the path, in one transaction."""
    id_, rules, now = incident_id(request), request.app[RULES].rules, request.app[CLOCK].now()

    def work(connection: Connection) -> tuple[Said, list[tuple[str, Event]]]:
        transaction = Transaction(connection)
        decisions = [submit(transaction, id_, event, rules, now) for event in events]
        transaction.write(now)
        said = Said(said=f"{id_}: {tell(events[0])}", incident=view(decisions[-1].incident, now))
        return said, transaction.happened

    try:
        said, happened = await request.app[WRITER].transact(work)
    except NoSuchIncident as error:
        raise web.HTTPNotFound(text=str(error)) from None
    except NotNow as error:
        raise web.HTTPConflict(text=f"{id_}: {error}") from None
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from None
    request.app[METRICS].happened(happened)
    request.app[LOOP].look()
    return answer(said)


async def read(request: web.Request, work: Callable[[Connection], Found]) -> Found:
    """Look things up in the database, or answer 503."""
    try:
        return await request.app[WRITER].show(work)
    except StoreUnavailable as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from None


def _phases(asked: str) -> list[str]:
    if asked == "open":
        return list(_OPEN)
    if asked == "all":
        return list(PHASES)
    unknown = [phase for phase in asked.split(",") if phase not in PHASES]
    if unknown:
        raise web.HTTPBadRequest(
            text=f'there is no phase "{unknown[0]}": write open, all or some of {", ".join(PHASES)}'
        )
    return asked.split(",")


def _number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or not least <= int(text) <= most:
        raise web.HTTPBadRequest(text=f'"{name}" must be a number from {least} to {most}')
    return int(text)


def answer(model: BaseModel) -> web.Response:
    """Answer with a model, as JSON."""
    return web.Response(text=model.model_dump_json(), content_type="application/json")


_INCIDENT = "/api/v1/incidents/{id}"
ROUTES = (
    Route(
        "GET",
        "/api/v1/incidents",
        list_,
        "List incidents, the newest first",
        role="viewer",
        gives=IncidentList,
        query=(
            ("phase", "open (default), all, or phases separated by commas"),
            ("limit", f"at most so many, 1 to {MOST_LISTED}"),
            ("before", "go on before this number: `next` of the answer before"),
        ),
        refusals=(400, 503),
    ),
    Route(
        "GET",
        _INCIDENT,
        show,
        "Show an incident with its alerts and its timeline",
        role="viewer",
        gives=IncidentDetail,
        refusals=(404, 503),
    ),
    Route(
        "POST",
        _INCIDENT + "/ack",
        acknowledge,
        "Say that somebody is on it",
        role="responder",
        takes=Acknowledge,
        gives=Said,
        refusals=(404, 409),
    ),
    Route(
        "POST",
        _INCIDENT + "/resolve",
        resolve,
        "Say that it is over",
        role="responder",
        takes=Resolve,
        gives=Said,
        refusals=(404, 409),
    ),
    Route(
        "POST",
        _INCIDENT + "/note",
        note,
        "Write something down",
        role="responder",
        takes=Note,
        gives=Said,
        refusals=(404, 409),
    ),
    Route(
        "POST",
        _INCIDENT + "/escalate",
        escalate,
        "Page the next level now",
        role="responder",
        takes=Escalate,
        gives=Said,
        refusals=(404, 409),
    ),
    Route(
        "POST",
        _INCIDENT + "/severity",
        set_severity,
        "Say how severe it is: nothing that is computed afterwards changes it",
        role="responder",
        takes=SetSeverity,
        gives=Said,
        refusals=(404, 409),
    ),
    Route(
        "GET",
        "/api/v1/quarantine",
        quarantine,
        "List alerts and webhooks that could not be used",
        role="responder",
        gives=QuarantineList,
        query=(("limit", f"at most so many, 1 to {MOST_LISTED}"),),
        refusals=(400, 503),
    ),
    Route(
        "GET",
        "/api/v1/outbox",
        outbox,
        "List pages and other messages that are still to be sent",
        role="viewer",
        gives=Outbox,
        query=(("limit", f"at most so many, 1 to {MOST_LISTED}"),),
        refusals=(400, 503),
    ),
    Route(
        "GET",
        "/api/v1/refusals",
        refusals,
        "List pages and other messages that targets have refused for good",
        role="viewer",
        gives=Refusals,
        query=(("limit", f"at most so many, 1 to {MOST_LISTED}"),),
        refusals=(400, 503),
    ),
    Route(
        "GET",
        "/api/v1/verify",
        verify,
        "Verify the hash chains of timelines",
        role="viewer",
        gives=Verification,
        query=(("incident", "one incident; all when left out"),),
        refusals=(404, 503),
    ),
)
