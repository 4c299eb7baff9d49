"""The door of those who operate Relay: health, readiness, metrics, reload, and the API's own description."""

import asyncio

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from relay.engine.metrics import Metrics
from relay.http.access import require
from relay.http.alertmanager import CLOCK, METRICS
from relay.http.api import LOOP, RULES, WRITER
from relay.http.routes import Route
from relay.incident.lifecycle import PHASES
from relay.store.failures import StoreUnavailable
from relay.store.reading import Backlog, read_backlog

OPENAPI = web.AppKey("openapi", str)


async def healthy(request: web.Request) -> web.Response:
    """Say that the process lives."""
    return web.Response(text="Relay is healthy.\n")


async def ready(request: web.Request) -> web.Response:
    """Say whether alerts can be taken and pages sent: the last turn was kept, and the database answers."""
    if request.app[LOOP].healthy:
        return web.Response(text="Relay is ready.\n")
    raise web.HTTPServiceUnavailable(
        text="Relay is not ready: its last turn could not be kept, or its database does not answer: see its log"
    )


async def metrics(request: web.Request) -> web.Response:
    """Tell Prometheus."""
    told = request.app[METRICS]
    try:
        backlog = await request.app[WRITER].read(read_backlog)
        _tell(told, backlog, request.app[CLOCK].now().timestamp())
    except StoreUnavailable:
        pass  # what is counted in memory is told all the same; readiness says the rest
    text = await asyncio.to_thread(generate_latest, told.registry)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _tell(told: Metrics, backlog: Backlog, now: float) -> None:
    told.waiting.set(backlog.inbox)
    told.inbox_age.set(max(0.0, now - backlog.inbox_oldest.timestamp()) if backlog.inbox_oldest else 0)
    told.outbox.set(backlog.outbox)
    told.outbox_age.set(max(0.0, now - backlog.outbox_oldest.timestamp()) if backlog.outbox_oldest else 0)
    told.overdue.set(max(0.0, now - backlog.earliest_deadline.timestamp()) if backlog.earliest_deadline else 0)
    for phase in PHASES:
        if phase != "closed":
            told.open_incidents.labels(phase).set(backlog.phases.get(phase, 0))


async def reload(request: web.Request) -> web.Response:
    """Take the rule files anew."""
    require(request, "admin")
    rejected = await request.app[RULES].reload()
    if rejected is not None:
        raise web.HTTPUnprocessableEntity(text=f"the rules cannot be used, the last good ones stay:\n\n{rejected}")
    request.app[LOOP].reconsider()
    return web.Response(text=f"rules {request.app[RULES].rules.revision} are in use\n")


async def openapi(request: web.Request) -> web.Response:
    """Describe the API."""
    return web.Response(text=request.app[OPENAPI], content_type="application/json")


ROUTES = (
    Route("GET", "/-/healthy", healthy, "Say that the process lives"),
    Route("GET", "/-/ready", ready, "Say whether alerts can be taken and pages sent", refusals=(503,)),
    Route("GET", "/metrics", metrics, "Metrics for Prometheus"),
    Route("POST", "/-/reload", reload, "Take the rule files anew", role="admin", refusals=(422,)),
    Route("GET", "/api/v1/openapi.json", openapi, "This document"),
)
