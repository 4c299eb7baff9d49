"""The door of pagers: what people do there comes back here, by webhooks with a signature or a secret.

A webhook that comes twice needs no memory of the first: it says what is known, or speaks of a page that is not open.
"""

import asyncio
import hmac
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import aiohttp
import structlog
from aiohttp import web

from relay.config.secrets import read_secret
from relay.config.settings import Settings
from relay.engine.hear import hear
from relay.engine.intake import Room
from relay.http.alertmanager import CLOCK, INTAKE, METRICS
from relay.http.api import LOOP, RULES, WRITER
from relay.http.body import read_body
from relay.http.routes import Route
from relay.integrations import opsgenie_news, pagerduty_news
from relay.integrations.courier import Again, Never
from relay.integrations.news import News
from relay.integrations.pagerduty_news import HOSTS, PagerDutyApi
from relay.store.failures import StoreUnavailable
from relay.store.transaction import Transaction, happening

log = structlog.get_logger()

MOST_BYTES = 1024 * 1024
"""Of one webhook; PagerDuty drops those over 256 KB itself."""
SECRET = "X-Relay-Secret"
"""The header in which Opsgenie, which signs nothing, is told to send its secret."""
LONGEST_QUESTION = 3.0
"""Seconds in which a pager must have said what is in a group of pages; it waits 5 for our own answer."""


class StrangersRoom(Room):
    """For what has proved nothing yet: strangers may fill it, and Alertmanager's webhooks do not need it."""

    most = 32 * 1024 * 1024
    full = "too many webhooks of pagers are being read"


@dataclass(frozen=True, slots=True)
class Pager:
    """A pager that may post: its kind, its secrets, and its targets."""

    name: str
    type: str
    secrets: tuple[str, ...] = field(repr=False)
    """Several while they are changed."""
    targets: tuple[str, ...] = ()
    """All of its kind when none is named."""
    api: PagerDutyApi | None = None
    """Where to ask which pages an incident is about."""

    def speaks_of(self, target: str, types: Mapping[str, str]) -> bool:
        """Whether a target's pages may be its own; `types` are those of all targets that there are."""
        return target in self.targets if self.targets else types.get(target, self.type) == self.type


PAGERS = web.AppKey("pagers", Mapping[str, Pager])
STRANGERS = web.AppKey("strangers", StrangersRoom)


def read_pagers(settings: Settings) -> dict[str, Pager]:
    """Read every secret. Raises `SecretMissing`."""
    pagers = {}
    for name, pager in settings.pagers.items():
        secrets = tuple(read_secret(pager.webhook_secret_file, pager.webhook_secret_env).split())
        token = pager.api_token()
        api = PagerDutyApi(pager.api_url or HOSTS[pager.region], token, LONGEST_QUESTION, None) if token else None
        pagers[name] = Pager(name, pager.type, secrets, pager.targets, api)
    return pagers


async def pagerduty(request: web.Request) -> web.Response:
    """Take a webhook of PagerDuty (v3)."""
    pager, body = _named(request, "pagerduty"), b""
    offered = request.headers.get(pagerduty_news.SIGNATURE, "")
    if pager is not None and pagerduty_news.offered(offered):
        with suppress(web.HTTPBadRequest, web.HTTPRequestEntityTooLarge):  # they would tell a stranger its name
            body = await _read(request, request.app[STRANGERS])
    if pager is None or not pagerduty_news.signed(body, offered, pager.secrets):
        raise web.HTTPUnauthorized(text=f"{pagerduty_news.SIGNATURE} is not a signature of this body with our secret")
    return await _take(request, pager, pagerduty_news.read_news(body))


async def opsgenie(request: web.Request) -> web.Response:
    """Take a webhook of Opsgenie or of Jira Service Management."""
    pager = _named(request, "opsgenie")
    offered = request.headers.get(SECRET, "").encode("utf-8", "surrogateescape")
    known = pager.secrets if pager else ()
    if pager is None or not any([hmac.compare_digest(offered, secret.encode()) for secret in known]):
        raise web.HTTPUnauthorized(text=f"the secret does not belong to this pager: send it in {SECRET}")
    return await _take(request, pager, opsgenie_news.read_news(await _read(request, request.app[INTAKE])))


def _named(request: web.Request, type_: str) -> Pager | None:
    pager = request.app[PAGERS].get(request.match_info["name"])
    return pager if pager and pager.type == type_ else None


async def _read(request: web.Request, room: Room) -> bytes:
    try:
        with room.place() as hold:
            room.need(min(request.content_length or 0, MOST_BYTES))  # what is larger is refused as that
            return await read_body(request, MOST_BYTES, hold=hold)
    except StoreUnavailable as error:
        log.error("there is no room for a webhook of a pager", because=str(error))
        raise web.HTTPServiceUnavailable(text=f"{error}: send it again") from None


async def _take(request: web.Request, pager: Pager, news: News | None) -> web.Response:
    """Move the incidents; 202 whether or not the news moves one, so that the pager does not send it again."""
    if news is not None:
        await _hear(request, pager, [news])
        if pager.api and news.group:
            others = await _group(request, pager, pager.api, news.group) - {news.key}
            await _hear(request, pager, [replace(news, key=key) for key in sorted(others)])
    return web.json_response({"status": "heard"}, status=202)


async def _hear(request: web.Request, pager: Pager, news: list[News]) -> None:
    in_use, now = request.app[RULES], request.app[CLOCK].now()
    rules, types = in_use.rules, in_use.types()

    def work(transaction: Transaction) -> None:
        hear(transaction, news, lambda target: pager.speaks_of(target, types), rules, now)

    try:
        request.app[METRICS].happened(await request.app[WRITER].transact(happening(work, now)))
    except StoreUnavailable as error:
        log.error("news of a pager could not be stored", because=str(error))
        raise web.HTTPServiceUnavailable(text="this could not be stored: send it again") from None
    request.app[LOOP].look()


async def _group(request: web.Request, pager: Pager, api: PagerDutyApi, group: str) -> set[str]:
    """Ask for the keys of all pages of a group; none when that is refused for good, 503 when it may work later."""
    try:
        async with asyncio.timeout(LONGEST_QUESTION), aiohttp.ClientSession() as session:
            return set(await api.keys_of(group, session))
    except (Again, Never, TimeoutError) as trouble:
        request.app[METRICS].follow_up_failures.labels(pager.name).inc()
        log.warning("a pager cannot be asked what is in a group of pages", pager=pager.name, because=_spell(trouble))
        if isinstance(trouble, Never):
            return set()
        raise web.HTTPServiceUnavailable(text="not all pages of the incident are known yet: send it again") from None


def _spell(trouble: Exception) -> str:
    return str(trouble) or f"it takes longer than {LONGEST_QUESTION:g} s"


ROUTES = (
    Route(
        "POST",
        "/api/v1/webhooks/pagerduty/{name}",
        pagerduty,
        "Take what people do in PagerDuty (webhooks v3)",
        refusals=(401, 503),
    ),
    Route(
        "POST",
        "/api/v1/webhooks/opsgenie/{name}",
        opsgenie,
        "Take what people do in Opsgenie or Jira Service Management",
        refusals=(400, 401, 413, 503),
    ),
)
