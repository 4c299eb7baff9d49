"""Opsgenie, and its heir Jira Service Management: the alert API that both serve to integrations with a "GenieKey".

Contract: docs.opsgenie.com "Alert API", and Jira Service Management's "Integration events". Every write is answered
202, which means queued. One alert for each alias: while it is open, creating it again only counts: a repeat is safe.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import aiohttp
from pydantic import Field, model_validator

from relay.clock import Clock
from relay.config.secrets import SecretMissing, one_place_each, read_secret
from relay.incident.effects import AcknowledgePage, Effect, Notice, Page, ResolvePage, UpdatePage
from relay.incident.events import Delivered
from relay.integrations.address import Address
from relay.integrations.courier import Never
from relay.integrations.exchange import TIMEOUT, Answer, Exchange
from relay.integrations.fitting import cut, cut_lines, cut_pairs, first_fit, fold_key, length
from relay.integrations.news import News
from relay.integrations.opsgenie_news import read_alert
from relay.integrations.target import TargetSettings

HOSTS = {
    ("opsgenie", "us"): "https://api.opsgenie.com",
    ("opsgenie", "eu"): "https://api.eu.opsgenie.com",
    ("jsm", "us"): "https://api.atlassian.com/jsm/ops/integration",
    ("jsm", "eu"): "https://api.atlassian.com/jsm/ops/integration",
}
END_OF_OPSGENIE = (
    "Opsgenie ends on 5 April 2027: its API answers nobody from then on, and these pages reach nobody. Move the team "
    'to Jira Service Management, take an API key there, and write "flavour: jsm"'
)
LONGEST_MESSAGE = 130
LONGEST_ALIAS = 512
LONGEST_ENTITY = 512
LONGEST_USER = 100
LONGEST_DESCRIPTION = 15_000
LONGEST_NOTE = 25_000
MOST_DETAILS = 8_000
"""Characters of all names and values of the details."""
MOST_RESPONDERS = 50
MOST_TAGS = 20

_SHRINKING = ((100, 2_000), (50, 500), (30, 100), (10, 50))
"""How many labels ever smaller details hold, and how many characters of each."""


class OpsgenieTarget(TargetSettings):
    """An API integration of Opsgenie or of Jira Service Management, by its key."""

    type: Literal["opsgenie"]
    flavour: Literal["opsgenie", "jsm"] = "opsgenie"
    region: Literal["us", "eu"] = "us"
    """Of Opsgenie; Jira Service Management has one host for all regions."""
    api_key_file: str | None = None
    api_key_env: str | None = None
    teams: tuple[str, ...] = Field(default=(), max_length=MOST_RESPONDERS)
    """Teams to ring. A key that belongs to a team's integration rings that team, whatever is written here."""
    tags: tuple[Annotated[str, Field(min_length=1, max_length=50)], ...] = Field(default=(), max_length=MOST_TAGS)
    url: Address | None = None
    """Instead of the vendor's own host, for proxies and stand-ins."""

    @model_validator(mode="after")
    def _one_key(self) -> "OpsgenieTarget":
        one_place_each(self, "api_key")
        return self

    def courier(self, clock: Clock | None = None, timeout: float = TIMEOUT) -> "Opsgenie":
        """Read the key and give the courier; `timeout` in seconds, for each request. Raises `SecretMissing`."""
        key = read_secret(self.api_key_file, self.api_key_env)
        if not key.isascii() or not key.isprintable() or " " in key:
            raise SecretMissing(f"{self.api_key_file or self.api_key_env} holds something that is not one API key")
        return Opsgenie(self, key, timeout, clock)

    def warnings(self) -> tuple[str, ...]:
        """What will go wrong some day with this target."""
        return (END_OF_OPSGENIE,) if self.flavour == "opsgenie" else ()


class Opsgenie:
    """Carries pages to one integration."""

    def __init__(self, target: OpsgenieTarget, api_key: str, timeout: float, clock: Clock | None) -> None:
        self._target = target
        self._alerts = f"{target.url or HOSTS[target.flavour, target.region]}/v2/alerts"
        self._headers = {"Authorization": f"GenieKey {api_key}"}
        name = "Opsgenie" if target.flavour == "opsgenie" else "Jira Service Management"
        self._exchange = Exchange(name, api_key, timeout, clock)

    async def carry_out(self, effect: Effect, session: aiohttp.ClientSession) -> Delivered | None:
        """Send what the effect needs. `Delivered` tells that a page was queued. Raises `Again` or `Never`.

        No alert for an alias is no failure of what is said about it: there is nothing open that could ring.
        """
        for method, path, body in self._requests(effect):
            url = f"{self._alerts}{path}"
            answer = await self._exchange.send(session, method, url, body=body, headers=self._headers)
            if answer.status == 404 and path and "requestId" in answer.told():
                return None
            if answer.status != 202 or "requestId" not in answer.told():
                raise self._refusal(answer)
        return Delivered(effect.key, effect.target) if isinstance(effect, Page) else None

    async def ask_about(self, key: str, session: aiohttp.ClientSession) -> News | None:
        """Ask what became of a page; one that is not there yet, or no more, is no news. Raises `Again` or `Never`."""
        answer = await self._exchange.send(session, "GET", f"{self._alerts}{_path(key)}", headers=self._headers)
        if answer.status == 404 and "requestId" in answer.told():
            return None
        if answer.status != 200:
            raise self._refusal(answer)
        return read_alert(fold_key(key, LONGEST_ALIAS), answer.told())

    def _refusal(self, answer: Answer) -> Exception:
        refusal = self._exchange.refusal(answer)
        return Never(str(refusal)) if answer.status == 501 else refusal

    def _requests(self, effect: Effect) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path below the alerts, and body of each request, in order.

        A note is written again each time it is sent, so it comes last.
        """
        match effect:
            case Page(notice=notice, user=user):
                yield "POST", "", {**_alert(effect.key, notice), **self._whom(user), **self._marks()}
            case UpdatePage(notice=notice, what=what):
                if self._target.flavour == "opsgenie":  # Jira's integrations document no such calls
                    yield "PUT", _path(effect.key, "message"), {"message": _message(notice)}
                    yield "PUT", _path(effect.key, "priority"), {"priority": _priority(notice)}
                note = cut(f"{what}\n{_message(notice)}", LONGEST_NOTE)
                yield "POST", _path(effect.key, "notes"), {"note": note, "source": "Relay"}
            case AcknowledgePage(by=by):
                yield "POST", _path(effect.key, "acknowledge"), {"user": cut(by, LONGEST_USER), "source": "Relay"}
            case ResolvePage(because=because):
                yield "POST", _path(effect.key, "close"), {"note": cut(because, LONGEST_NOTE), "source": "Relay"}
            case _:
                raise Never(f"{self._exchange.name} cannot carry out {type(effect).__name__}")

    def _whom(self, user: str) -> dict[str, Any]:
        """Ring the person alone if there is one, and let the teams see it; ring the teams otherwise."""
        teams = [{"type": "team", "name": team} for team in self._target.teams]
        if not user:
            return {"responders": teams} if teams else {}
        ring = {"responders": [{"type": "user", "username": user}]}
        return {**ring, "visibleTo": teams} if teams else ring

    def _marks(self) -> dict[str, Any]:
        return {"tags": list(self._target.tags)} if self._target.tags else {}


def _alert(key: str, notice: Notice) -> dict[str, Any]:
    return {
        "message": _message(notice),
        "alias": fold_key(key, LONGEST_ALIAS),
        "description": _description(notice),
        "details": first_fit(_details(notice), _characters, MOST_DETAILS),
        "entity": cut(notice.service, LONGEST_ENTITY),
        "source": "Relay",
        "priority": _priority(notice),
    }


def _message(notice: Notice) -> str:
    return cut(notice.title if notice.title.strip() else f"Incident {notice.incident}", LONGEST_MESSAGE)


def _priority(notice: Notice) -> str:
    return f"P{min(max(notice.severity, 1), 5)}"


def _description(notice: Notice) -> str:
    """The text, the alerts and the links, the text before all else; a link that does not fit is left out whole."""
    links: list[str] = []
    for text, address in notice.links.items():
        line = f"{cut(text, 100)}: {address}"
        if sum(map(length, links)) + length(line) <= LONGEST_DESCRIPTION // 3:
            links.append(line)
    alerts = [f"{notice.firing} firing:", *cut_lines(notice.alerts, 50, 1_000)]
    tail = "\n".join(["", "", *links]) if links else ""
    return cut("\n".join([notice.text, "", *alerts]), LONGEST_DESCRIPTION - length(tail)) + tail


def _details(notice: Notice) -> Iterator[dict[str, str]]:
    own = {
        "incident": cut(notice.incident, 100),
        "severity": f"SEV-{notice.severity}",
        "firing": str(notice.firing),
        "started_at": notice.started_at.isoformat(),
    }
    for most, longest in _SHRINKING:
        yield {**cut_pairs(notice.labels, most, longest), **own}


def _characters(details: Mapping[str, str]) -> int:
    return sum(length(name) + length(value) for name, value in details.items())


def _path(key: str, action: str = "") -> str:
    alias = quote(fold_key(key, LONGEST_ALIAS), safe="", errors="replace")
    return f"/{alias}{action and '/'}{action}?identifierType=alias"
