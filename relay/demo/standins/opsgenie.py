"""Stands in for the alert API of Opsgenie and of Jira Service Management: strict, and as slow to process as it is told.

A write is answered 202 and processed `delay` seconds later; what became of it is at `/v2/alerts/requests/{requestId}`.
"""

import itertools
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import unquote
from uuid import UUID

from relay.demo.standins.alerts import PER, Alerts, Window
from relay.demo.standins.standin import Asked, Reply, StandIn

_PATH = re.compile(r"/v2/alerts(?:/(?P<alias>[^/]+)/(?P<action>[a-z]+))?")
_ACTIONS = {
    ("POST", "acknowledge"): {"user": 100, "source": 100, "note": 25_000},
    ("POST", "close"): {"user": 100, "source": 100, "note": 25_000},
    ("POST", "notes"): {"user": 100, "source": 100, "note": 25_000},
    ("PUT", "message"): {"message": 130},
    ("PUT", "priority"): {"priority": 2},
}
"""Fields of each call, and the longest text of each, in UTF-16 units."""
_NEEDED = {"notes": "note", "message": "message", "priority": "priority", "create": "message"}
_CREATE = {
    "message": 130,
    "alias": 512,
    "description": 15_000,
    "entity": 512,
    "source": 100,
    "priority": 2,
    "user": 100,
    "note": 25_000,
}
_CREATE_LISTS = {"responders": 50, "visibleTo": 50, "tags": 20, "actions": 10}
_RESPONDERS = {
    "team": {"id", "name"},
    "user": {"id", "username"},
    "escalation": {"id", "name"},
    "schedule": {"id", "name"},
}


def stand_in(
    api_key: str, flavour: Literal["opsgenie", "jsm"] = "opsgenie", delay: float = 0, limit: int | None = None
) -> StandIn:
    """Make one. `limit` is requests a minute; `delay` seconds until a write is processed."""
    path = "" if flavour == "opsgenie" else "/jsm/ops/integration"
    return StandIn(GenieAlerts(api_key, flavour, delay, limit), path)


class GenieAlerts:
    """Open alerts by alias, and the requests that are queued."""

    def __init__(self, api_key: str, flavour: str, delay: float, limit: int | None) -> None:
        self.alerts = Alerts()
        self.requests: dict[str, dict[str, Any]] = {}
        """What became of each processed request."""
        self.changes: list[tuple[str, str, Mapping[str, Any]]] = []
        """Alias, action and body of each change to an open alert."""
        self._key = api_key
        self._flavour = flavour
        self._delay = delay
        self._window = Window(limit)
        self._queue: deque[tuple[float, str, str, str, Mapping[str, Any]]] = deque()
        self._numbers = itertools.count(1)

    def answer(self, asked: Asked, now: float) -> Reply:
        """Queue a write, or look one up."""
        self.settle(now)
        if asked.headers.get("Authorization") != f"GenieKey {self._key}":
            return self._reply(401, "refused", "Could not authenticate")
        if not self._window.takes(self._key, now):
            headers = {
                "X-RateLimit-State": "THROTTLED",
                "X-RateLimit-Reason": "INTEGRATION",
                "X-RateLimit-Period-In-Sec": f"{PER:.0f}",
            }
            return self._reply(429, "throttled", "You are making too many requests", headers=headers)
        if asked.method == "GET":
            return self._look_up(asked.path.removeprefix("/v2/alerts/requests/"))
        return self._write(asked, now)

    def about(self, asked: Asked) -> tuple[str, str]:
        """Give alias and action; creating an alert is `create`."""
        found = _PATH.fullmatch(asked.path)
        if found and found["action"]:
            return unquote(found["alias"]), found["action"]
        return str((asked.body or {}).get("alias", "")), "create" if found else ""

    def settle(self, now: float) -> None:
        """Process what is queued and due, in order."""
        while self._queue and self._queue[0][0] <= now:
            _, id_, alias, action, body = self._queue.popleft()
            outcome = self._process(alias, action, body)
            self.requests[id_] = {
                "action": action,
                "alias": alias,
                "isSuccess": outcome != "dropped",
                "status": outcome,
            }

    def _write(self, asked: Asked, now: float) -> Reply:
        alias, action = self.about(asked)
        if not self._serves(asked, action):
            return Reply(404, {"message": "no such resource"}, "refused")
        if not asked.headers.get("Content-Type", "").startswith("application/json") or asked.body is None:
            return self._reply(400, "refused", "the body is not a JSON object")
        if wrong := "; ".join(_wrong(asked, action)):
            return self._reply(422, "refused", wrong)
        if action != "create" and not self._knows(alias):
            return self._reply(404, "dropped", "no open alert has this alias")
        reply = self._reply(202, "queued", None)
        id_ = reply.body["requestId"]
        self._queue.append((now + self._delay, id_, alias or id_, action, asked.body))
        self.settle(now)
        done = self.requests.get(id_)
        return Reply(reply.status, reply.body, done["status"], reply.headers) if done else reply

    def _serves(self, asked: Asked, action: str) -> bool:
        if action == "create":
            return asked.method == "POST"
        if self._flavour == "jsm" and asked.method == "PUT":
            return False
        return (asked.method, action) in _ACTIONS and asked.query.get("identifierType") == "alias"

    def _knows(self, alias: str) -> bool:
        return (self._key, alias) in self.alerts.open or any(queued[2] == alias for queued in self._queue)

    def _process(self, alias: str, action: str, body: Mapping[str, Any]) -> str:
        match action:
            case "create":
                return self.alerts.trigger(self._key, alias)
            case "acknowledge":
                return self.alerts.acknowledge(self._key, alias)
            case "close":
                return self.alerts.resolve(self._key, alias)
        if (self._key, alias) not in self.alerts.open:
            return "dropped"
        self.changes.append((alias, action, body))
        return "noted"

    def _look_up(self, id_: str) -> Reply:
        if id_ not in self.requests:
            return self._reply(404, "refused", "no such request, or it is not processed yet")
        return Reply(200, {"data": self.requests[id_], "took": 0.01, "requestId": id_}, "looked up")

    def _reply(
        self, status: int, acceptance: str, message: str | None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        id_ = str(UUID(int=next(self._numbers)))
        said = {"result": "Request will be processed"} if message is None else {"message": message}
        shown = {"X-Request-ID": id_, "X-RateLimit-State": "OK", **(headers or {})}
        return Reply(status, {**said, "took": 0.01, "requestId": id_}, acceptance, shown)


def _wrong(asked: Asked, action: str) -> Iterator[str]:
    body = asked.body or {}
    texts = _CREATE if action == "create" else _ACTIONS[asked.method, action]
    others = {*_CREATE_LISTS, "details"} if action == "create" else set()
    yield from (f"unknown field {name}" for name in body.keys() - texts.keys() - others)
    for name in body.keys() & texts.keys():
        if not isinstance(body[name], str) or _length(body[name]) > texts[name]:
            yield f"{name} is not text of at most {texts[name]} characters"
    needed = _NEEDED.get(action)
    if needed and not str(body.get(needed, "")).strip():
        yield f"{needed} must not be empty"
    if "priority" in body and body["priority"] not in ("P1", "P2", "P3", "P4", "P5"):
        yield "priority must be P1 to P5"
    if action == "create":
        yield from _wrong_in_lists(body)


def _wrong_in_lists(body: Mapping[str, Any]) -> Iterator[str]:
    for name, most in _CREATE_LISTS.items():
        if not isinstance(body.get(name, []), list) or len(body.get(name, [])) > most:
            yield f"{name} is not a list of at most {most}"
            return
    for whom in (*body.get("responders", []), *body.get("visibleTo", [])):
        if not isinstance(whom, dict) or not _RESPONDERS.get(whom.get("type", ""), set()) & whom.keys():
            yield "a responder needs a type, and an id, a name or a username"
    if not all(isinstance(tag, str) and 0 < _length(tag) <= 50 for tag in body.get("tags", [])):
        yield "a tag is text of at most 50 characters"
    details = body.get("details", {})
    if not isinstance(details, dict) or not all(isinstance(value, str) for value in details.values()):
        yield "details must map text to text"
    elif sum(_length(name) + _length(value) for name, value in details.items()) > 8_000:
        yield "details are longer than 8000 characters"


def _length(text: str) -> int:
    """Count as Java does, in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
