"""A webhook of your own: whatever happens to a page is posted as JSON, signed if you like. Good as a fallback.

The body is Relay's own contract (docs/integrations/webhook.md), version 1. Any 2xx is success.
"""

import hashlib
import hmac
from typing import Any, Literal

import aiohttp
from pydantic import model_validator

from relay.clock import Clock, WallClock
from relay.config.secrets import SecretMissing, one_place_each, read_secret
from relay.incident.effects import AcknowledgePage, Announce, Effect, Notice, Page, ResolvePage, UpdatePage
from relay.incident.events import Delivered
from relay.integrations.courier import Never
from relay.integrations.exchange import TIMEOUT, Exchange, encode, secrets_in
from relay.integrations.fitting import cut, cut_lines, cut_pairs
from relay.integrations.target import TargetSettings

SIGNATURE = "X-Relay-Signature"
LONGEST_TEXT = 10_000
MOST_ENTRIES = 100


class WebhookTarget(TargetSettings):
    """An address that takes pages. It is a secret: such addresses often hold a key."""

    type: Literal["webhook"]
    url_file: str | None = None
    url_env: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    """What bodies are signed with."""

    @model_validator(mode="after")
    def _one_address(self) -> "WebhookTarget":
        one_place_each(self, "url")
        return self

    def courier(self, clock: Clock | None = None, timeout: float = TIMEOUT) -> "Webhook":
        """Read the address and give the courier; `timeout` in seconds. Raises `SecretMissing`."""
        url = read_secret(self.url_file, self.url_env)
        if not url.startswith(("http://", "https://")) or any(c.isspace() for c in url):
            raise SecretMissing(f"{self.url_file or self.url_env} does not hold one http or https address")
        secret = read_secret(self.secret_file, self.secret_env) if self.secret_file or self.secret_env else ""
        return Webhook(url, secret, timeout, clock or WallClock())

    def warnings(self) -> tuple[str, ...]:
        """What will go wrong some day with this target."""
        return ()


class Webhook:
    """Carries pages to one address."""

    def __init__(self, url: str, secret: str, timeout: float, clock: Clock) -> None:
        self._url = url
        self._secret = secret
        self._clock = clock
        self._exchange = Exchange("the webhook", (*secrets_in(url), secret), timeout, clock)

    async def carry_out(self, effect: Effect, session: aiohttp.ClientSession) -> Delivered | None:
        """Post it. Raises `Again` or `Never`."""
        body = encode(_body(effect))
        headers = {"Idempotency-Key": _idempotency(effect, body)}
        if self._secret:
            headers[SIGNATURE] = sign(body, self._secret, int(self._clock.now().timestamp()))
        answer = await self._exchange.send(session, "POST", self._url, body=body, headers=headers)
        if not 200 <= answer.status < 300:
            raise self._exchange.refusal(answer)
        return Delivered(effect.key, effect.target) if isinstance(effect, Page) else None


def sign(body: bytes, secret: str, at: int) -> str:
    """Sign a body: `t=<seconds since 1970>,v1=<hex of HMAC-SHA256 over "t.body">`."""
    digest = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def _idempotency(effect: Effect, body: bytes) -> str:
    """The same on every attempt, and another for each update; a header that takes any key, whatever its letters."""
    told = body if isinstance(effect, UpdatePage) else b""
    return hashlib.sha256(f"{type(effect).__name__}/{effect.key}".encode("utf-8", "replace") + told).hexdigest()


def _body(effect: Effect) -> dict[str, Any]:
    head = {"version": 1, "key": effect.key}
    match effect:
        case Page(notice=notice, user=user):
            return {**head, "event": "page", "user": user, **_notice(notice)}
        case UpdatePage(notice=notice, what=what):
            return {**head, "event": "update", "what": cut(what, LONGEST_TEXT), **_notice(notice)}
        case AcknowledgePage(by=by):
            return {**head, "event": "acknowledge", "by": cut(by, LONGEST_TEXT)}
        case ResolvePage(because=because):
            return {**head, "event": "resolve", "because": cut(because, LONGEST_TEXT)}
        case Announce(title=title, text=text):
            lines = cut_lines(text.splitlines(), MOST_ENTRIES, LONGEST_TEXT)
            return {**head, "event": "announce", "title": cut(title, LONGEST_TEXT), "text": lines}
        case _:
            raise Never(f"a webhook cannot carry out {type(effect).__name__}")


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "incident": notice.incident,
        "title": cut(notice.title, LONGEST_TEXT),
        "text": cut_lines(notice.text.splitlines(), MOST_ENTRIES, LONGEST_TEXT),
        "severity": f"SEV-{notice.severity}",
        "service": cut(notice.service, LONGEST_TEXT),
        "started_at": notice.started_at.isoformat(),
        "alerts": cut_lines(notice.alerts, MOST_ENTRIES, LONGEST_TEXT),
        "firing": notice.firing,
        "labels": cut_pairs(notice.labels, MOST_ENTRIES, LONGEST_TEXT),
        "links": cut_pairs(notice.links, MOST_ENTRIES, LONGEST_TEXT),
    }
