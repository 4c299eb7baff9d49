"""PagerDuty's Events API v2: rings, acknowledges, resolves. Accepted (202) means queued: it is not a phone that rang.

Contract: PagerDuty's developer documentation, "Events API v2". One alert for each `dedup_key` and routing key: while it
is open a trigger is added to it, and PagerDuty goes on showing the first one's details.
"""

from collections.abc import Iterator
from typing import Any, Literal

import aiohttp
from pydantic import model_validator

from relay.clock import Clock
from relay.config.secrets import SecretMissing, one_place_each, read_secret
from relay.incident.effects import AcknowledgePage, Effect, Notice, Page, ResolvePage, UpdatePage
from relay.incident.events import Delivered
from relay.integrations import pagerduty_news
from relay.integrations.address import Address
from relay.integrations.courier import Never
from relay.integrations.exchange import TIMEOUT, Exchange, encode
from relay.integrations.fitting import cut, cut_lines, cut_pairs, first_fit, fold_key, length
from relay.integrations.news import News
from relay.integrations.pagerduty_news import LONGEST_DEDUP_KEY
from relay.integrations.target import TargetSettings

HOSTS = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
KEY_LENGTH = 32
LONGEST_SUMMARY = 1024
LONGEST_NAME = 255
"""Characters of fields for which PagerDuty documents no limit."""
LONGEST_LINK = 4096
MOST_BYTES = 512_000
"""Bytes of an event. A larger one is refused, and with it the page."""

_SEVERITIES = {1: "critical", 2: "critical", 3: "error", 4: "warning"}
_SHRINKING = (
    # alerts, characters of a text, other entries
    (50, 8_000, 200),
    (10, 8_000, 200),
    (3, 8_000, 200),
    (3, 1_000, 200),
    (3, 250, 100),
    (1, 100, 10),
)
"""What ever smaller events hold: first fewer alerts, then shorter texts, then fewer lines, labels and links.

The last one fits whatever it is made of: with six bytes for each character it has some 300,000, most of them links.
"""


class PagerDutyTarget(TargetSettings):
    """A service in PagerDuty, by the integration key of an "Events API v2" integration."""

    type: Literal["pagerduty"]
    routing_key_file: str | None = None
    routing_key_env: str | None = None
    api_token_file: str | None = None
    api_token_env: str | None = None
    """A read-only REST API key, with which PagerDuty is asked what became of pages."""
    region: Literal["us", "eu"] = "us"
    url: Address | None = None
    """Instead of the region's own host, for proxies and stand-ins."""
    api_url: Address | None = None
    """The same for the REST API."""

    @model_validator(mode="after")
    def _one_key(self) -> "PagerDutyTarget":
        one_place_each(self, "routing_key")
        return self

    def courier(self, clock: Clock | None = None, timeout: float = TIMEOUT) -> "PagerDuty":
        """Read the key and give the courier; `timeout` in seconds. Raises `SecretMissing`."""
        key = read_secret(self.routing_key_file, self.routing_key_env)
        if len(key) != KEY_LENGTH:
            where = self.routing_key_file or self.routing_key_env
            raise SecretMissing(
                f"{where} holds {len(key)} characters, and a routing key has {KEY_LENGTH}: take the Integration Key of "
                "an Events API v2 integration"
            )
        url = self.url or HOSTS[self.region]
        if not (self.api_token_file or self.api_token_env):
            return PagerDuty(url, key, timeout, clock)
        token = read_secret(self.api_token_file, self.api_token_env)
        api = pagerduty_news.PagerDutyApi(self.api_url or pagerduty_news.HOSTS[self.region], token, timeout, clock)
        return PagerDutyThatTells(url, key, api, timeout, clock)

    def warnings(self) -> tuple[str, ...]:
        """What will go wrong some day with this target."""
        return ()


class PagerDuty:
    """Carries pages to one integration key."""

    def __init__(self, url: str, routing_key: str, timeout: float = TIMEOUT, clock: Clock | None = None) -> None:
        self._url = f"{url}/v2/enqueue"
        self._key = routing_key
        self._exchange = Exchange("PagerDuty", routing_key, timeout, clock)

    async def carry_out(self, effect: Effect, session: aiohttp.ClientSession) -> Delivered | None:
        """Send one event. `Delivered` tells that PagerDuty has taken a page in. Raises `Again` or `Never`."""
        answer = await self._exchange.send(session, "POST", self._url, body=_event(effect, self._key))
        if answer.status != 202 or answer.told().get("status") != "success":
            raise self._exchange.refusal(answer)
        return Delivered(effect.key, effect.target) if isinstance(effect, Page) else None


class PagerDutyThatTells(PagerDuty):
    """The same, where PagerDuty may be asked what became of a page."""

    def __init__(
        self, url: str, routing_key: str, api: pagerduty_news.PagerDutyApi, timeout: float, clock: Clock | None
    ) -> None:
        super().__init__(url, routing_key, timeout, clock)
        self._api = api

    async def ask_about(self, key: str, session: aiohttp.ClientSession) -> News | None:
        """Ask what became of a page. Raises `Again` or `Never`."""
        return await self._api.ask_about(key, session)


def _event(effect: Effect, routing_key: str) -> bytes:
    head = {"routing_key": routing_key, "dedup_key": fold_key(effect.key, LONGEST_DEDUP_KEY)}
    match effect:
        case Page(notice=notice):
            return _trigger(head, notice, notice.title)
        case UpdatePage(notice=notice, what=what):
            return _trigger(head, notice, f"{what} | {notice.title}")
        case AcknowledgePage():
            return encode({**head, "event_action": "acknowledge"})
        case ResolvePage():
            return encode({**head, "event_action": "resolve"})
        case _:
            raise Never(f"PagerDuty cannot carry out {type(effect).__name__}")


def _trigger(head: dict[str, Any], notice: Notice, summary: str) -> bytes:
    return first_fit(map(encode, _triggers(head, notice, summary)), len, MOST_BYTES)


def _triggers(head: dict[str, Any], notice: Notice, summary: str) -> Iterator[dict[str, Any]]:
    """The same event, ever smaller; lazily, since nearly always the first one fits."""
    event = {**head, "event_action": "trigger", "client": "Relay"}
    source = cut(notice.service, LONGEST_NAME) if notice.service.strip() else "Relay"
    payload = {
        "summary": cut(summary if summary.replace("|", "").strip() else f"Incident {notice.incident}", LONGEST_SUMMARY),
        "source": source,
        "component": source,
        "severity": _SEVERITIES.get(max(notice.severity, 1), "info"),
        "timestamp": notice.started_at.isoformat(),
    }
    for alerts, longest, entries in _SHRINKING:
        details = _details(notice, alerts, longest, entries)
        yield {**event, **_links(notice, entries), "payload": {**payload, "custom_details": details}}


def _links(notice: Notice, most: int) -> dict[str, Any]:
    """Links that PagerDuty takes: one without an address would have it refuse the page."""
    links = [
        {"href": address, "text": cut(text, LONGEST_NAME)}
        for text, address in notice.links.items()
        if address.startswith(("http://", "https://")) and length(address) <= LONGEST_LINK
    ][:most]
    own = [link["href"] for link in links if link["text"].startswith("Relay ")]
    return {"links": links, **({"client_url": own[0]} if own else {})}


def _details(notice: Notice, alerts: int, longest: int, entries: int) -> dict[str, Any]:
    return {
        "text": cut_lines(notice.text.splitlines(), entries, longest),
        "alerts": cut_lines(notice.alerts, alerts, longest),
        "firing": notice.firing,
        "labels": cut_pairs(notice.labels, entries, longest),
        "incident": cut(notice.incident, LONGEST_NAME),
        "severity": f"SEV-{notice.severity}",
    }
