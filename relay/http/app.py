"""The web application: every door put together, and refusals in one shape."""

import json
from collections.abc import Mapping
from importlib.metadata import version

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from relay.clock import Clock
from relay.engine.intake import Intake
from relay.engine.loop import Loop
from relay.engine.metrics import Metrics
from relay.engine.rules_in_use import RulesInUse
from relay.engine.writer import Writer
from relay.http import alertmanager, api, oncall, ops, outlook, page, pagers, probes, windows
from relay.http.access import ACCESS, Access
from relay.http.body import go_on_later
from relay.http.openapi import describe

log = structlog.get_logger()

ROUTES = (
    *alertmanager.ROUTES,
    *api.ROUTES,
    *outlook.ROUTES,
    *page.ROUTES,
    *pagers.ROUTES,
    *windows.ROUTES,
    *oncall.ROUTES,
    *probes.ROUTES,
    *ops.ROUTES,
)


def build(
    access: Access,
    known_pagers: Mapping[str, pagers.Pager],
    writer: Writer,
    intake: Intake,
    loop: Loop,
    rules: RulesInUse,
    clock: Clock,
    metrics: Metrics,
) -> web.Application:
    """Put the application together."""
    app = web.Application(client_max_size=alertmanager.MOST_BYTES, middlewares=[refuse_in_json])
    app[ACCESS] = access
    app[pagers.PAGERS] = known_pagers
    app[pagers.STRANGERS] = pagers.StrangersRoom()
    app[alertmanager.INTAKE] = intake
    app[alertmanager.CLOCK] = clock
    app[alertmanager.METRICS] = metrics
    app[api.WRITER] = writer
    app[api.LOOP] = loop
    app[api.RULES] = rules
    app[ops.OPENAPI] = describe(ROUTES, version("relay"))
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler, expect_handler=go_on_later)
    return app


@web.middleware
async def refuse_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every refusal as `{"error": …}`, and no detail of what went wrong inside."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        kept = {name: refusal.headers[name] for name in ("Allow", "WWW-Authenticate") if name in refusal.headers}
        return _refusal(refusal.status, _words(refusal, request), kept)
    except Exception:
        log.exception("a request failed", method=request.method, path=request.match_info.route.resource)
        return _refusal(500, "Relay failed at this; its log says how", {})


def _words(refusal: web.HTTPException, request: web.Request) -> str:
    match refusal:
        case web.HTTPMethodNotAllowed():
            return f"{request.method} is not possible here; what is: {', '.join(sorted(refusal.allowed_methods))}"
        case _ if refusal.status == 404 and refusal.text in (None, "404: Not Found"):
            return "there is nothing at this path; GET /api/v1/openapi.json lists what there is"
        case _:
            return refusal.text or refusal.reason


def _refusal(status: int, words: str, headers: dict[str, str]) -> web.Response:
    return web.json_response({"error": words}, status=status, headers=headers, dumps=json.dumps)
