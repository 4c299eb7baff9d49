"""The door of Alertmanager and all that speak like it.

A webhook is answered with 200 once its body is durable. 503 makes the sender try again; every other refusal is
final for it, and so is kept to what can never succeed. Nothing here redirects, and nothing answers 429.
"""

import asyncio
import time
from datetime import datetime

import structlog
from aiohttp import web

from relay.clock import Clock
from relay.engine.intake import Intake
from relay.engine.metrics import Metrics
from relay.http.access import ACCESS
from relay.http.body import read_body
from relay.http.routes import Route
from relay.integrations.alertmanager import Unusable, Webhook, read_webhook
from relay.store.failures import StoreUnavailable

log = structlog.get_logger()

INTAKE = web.AppKey("intake", Intake)
CLOCK = web.AppKey("clock", Clock)
METRICS = web.AppKey("metrics", Metrics)

MOST_BYTES = 64 * 1024 * 1024
"""Of one body. 20,000 alerts take 14 MB; what is larger is answered 413."""
LARGE = 128 * 1024
"""Bytes from which on a body is read in a thread, so that others do not wait for it."""


async def receive(request: web.Request) -> web.Response:
    """Take a webhook in."""
    began = time.monotonic()
    app, source = request.app, request.match_info["source"]
    known = source if source in app[ACCESS].sources else "unknown"
    status = 500
    try:
        answer = await _receive(request, app, source)
        status = answer.status
        return answer
    except web.HTTPException as refusal:
        status = refusal.status
        raise
    finally:
        metrics = app[METRICS]
        metrics.webhooks.labels(known, str(status)).inc()
        metrics.accept.observe(time.monotonic() - began)


async def _receive(request: web.Request, app: web.Application, source: str) -> web.Response:
    if not app[ACCESS].may_post(request, source, request.match_info.get("secret")):
        raise web.HTTPUnauthorized(
            text="the token does not belong to this source: send it as bearer token, basic password or in the path",
            headers={"WWW-Authenticate": "Bearer"},
        )
    intake = app[INTAKE]
    try:
        with intake.place() as hold:
            intake.need(min(request.content_length or 0, MOST_BYTES))  # what is larger is refused as that
            return await _take(app, source, await read_body(request, hold=hold))
    except StoreUnavailable as error:
        log.error("a webhook could not be stored", source=source, because=str(error))
        raise web.HTTPServiceUnavailable(text="the webhook could not be stored: send it again") from None


async def _take(app: web.Application, source: str, body: bytes) -> web.Response:
    now = app[CLOCK].now()
    try:
        webhook = await _read(body, source, now)
    except Unusable as error:
        log.warning("a webhook was refused", source=source, because=str(error))
        raise web.HTTPBadRequest(text=str(error)) from None
    await app[INTAKE].accept(source, body, webhook, now)
    return web.Response(text=_said(webhook), content_type="application/json")


async def _read(body: bytes, source: str, now: datetime) -> Webhook:
    if len(body) < LARGE:
        return read_webhook(body, source, now)
    return await asyncio.to_thread(read_webhook, body, source, now)


def _said(webhook: Webhook) -> str:
    if not webhook.broken:
        return '{"status":"stored"}'
    return f'{{"status":"stored","alerts":{len(webhook.alerts)},"quarantined":{len(webhook.broken)}}}'


_PATH = "/api/v1/webhooks/alertmanager/{source}"

ROUTES = tuple(
    Route(method, path, receive, "Take alerts from Alertmanager, Grafana or vmalert", refusals=(400, 401, 413, 503))
    for path in (_PATH, _PATH + "/{secret}")
    for method in ("POST", "PUT")
)
