"""The door of pagers: what people do there comes back here, by webhooks with a signature or a secret."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web
from sqlalchemy import Connection

from relay.config.secrets import read_secret
from relay.config.settings import Settings
from relay.engine.hear import hear
from relay.http.alertmanager import CLOCK, METRICS
from relay.http.api import LOOP, RULES, WRITER
from relay.http.routes import Route
from relay.incident.events import Event
from relay.integrations import opsgenie_news, pagerduty_news
from relay.integrations.news import News
from relay.store.database import StoreUnavailable
from relay.store.transaction import Transaction

log = structlog.get_logger()

MOST_BYTES = 1024 * 1024
"""Of one webhook; PagerDuty drops those over 256 KB itself."""
SECRET = "X-Relay-Secret"
"""The header in which Opsgenie, which signs nothing, is told to send its secret."""


@dataclass(frozen=True, slots=True)
class Pager:
    """A pager that may post: its kind, and its secrets (several while they are changed)."""

    type: str
    secrets: tuple[str, ...]


PAGERS = web.AppKey("pagers", Mapping[str, Pager])


def read_pagers(settings: Settings) -> dict[str, Pager]:
    """Read every secret. Raises `SecretMissing`."""
    return {
        name: Pager(pager.type, tuple(read_secret(pager.webhook_secret_file, pager.webhook_secret_env).split()))
        for name, pager in settings.pagers.items()
    }


async def pagerduty(request: web.Request) -> web.Response:
    """Take a webhook of PagerDuty (v3)."""
    pager, body = await _read(request, "pagerduty")
    if pager is None or not pagerduty_news.signed(
        body, request.headers.get(pagerduty_news.SIGNATURE, ""), pager.secrets
    ):
        raise web.HTTPUnauthorized(text=f"{pagerduty_news.SIGNATURE} is not a signature of this body with our secret")
    return await _hear(request, pagerduty_news.read_news(body))


async def opsgenie(request: web.Request) -> web.Response:
    """Take a webhook of Opsgenie or of Jira Service Management."""
    pager, body = await _read(request, "opsgenie")
    offered = request.headers.get(SECRET, "").encode("utf-8", "surrogateescape")
    known = pager.secrets if pager else ()
    if not any([hmac.compare_digest(offered, secret.encode()) for secret in known]):
        raise web.HTTPUnauthorized(text=f"the secret does not belong to this pager: send it in {SECRET}")
    return await _hear(request, opsgenie_news.read_news(body))


async def _read(request: web.Request, type_: str) -> tuple[Pager | None, bytes]:
    body = await request.content.read(MOST_BYTES + 1)
    while len(body) <= MOST_BYTES and (more := await request.content.read(MOST_BYTES + 1 - len(body))):
        body += more
    if len(body) > MOST_BYTES:
        raise web.HTTPRequestEntityTooLarge(MOST_BYTES, len(body))
    pager = request.app[PAGERS].get(request.match_info["name"])
    return (pager if pager and pager.type == type_ else None), body


async def _hear(request: web.Request, news: News | None) -> web.Response:
    """Move the incident; 202 whether or not the news moves one, so that the pager does not send it again."""
    if news is not None:
        rules, now = request.app[RULES].rules, request.app[CLOCK].now()

        def work(connection: Connection) -> list[Event]:
            transaction = Transaction(connection)
            hear(transaction, [news], rules, now)
            transaction.write(now)
            return transaction.happened

        try:
            request.app[METRICS].happened(await request.app[WRITER].transact(work))
        except StoreUnavailable as error:
            log.error("news of a pager could not be stored", because=str(error))
            raise web.HTTPServiceUnavailable(text="this could not be stored: send it again") from None
        request.app[LOOP].look()
    return web.json_response({"status": "heard"}, status=202)


ROUTES = (
    Route(
        "POST",
        "/api/v1/webhooks/pagerduty/{name}",
        pagerduty,
        "Take what people do in PagerDuty (webhooks v3)",
        refusals=(401, 413, 503),
    ),
    Route(
        "POST",
        "/api/v1/webhooks/opsgenie/{name}",
        opsgenie,
        "Take what people do in Opsgenie or Jira Service Management",
        refusals=(401, 413, 503),
    ),
)
