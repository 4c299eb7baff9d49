"""Stands in for PagerDuty's Events API v2: stricter than the original where it is silent, never more lenient."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from relay.demo.standins.alerts import Alerts, Window
from relay.demo.standins.standin import Asked, Reply, StandIn

MOST_BYTES = 512_000
LIMIT = 120
"""Events a minute for each routing key."""

_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")
_EVENT = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
_PAYLOAD = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}


def stand_in(limit: int | None = LIMIT, too_large: int = 413) -> StandIn:
    """Make one. `too_large` is the status for events over 512,000 bytes, which PagerDuty does not document."""
    return StandIn(PagerDutyEvents(limit, too_large))


class PagerDutyEvents:
    """Open alerts by routing key and dedup_key. What speaks of no open alert is accepted, and dropped."""

    def __init__(self, limit: int | None = LIMIT, too_large: int = 413) -> None:
        self.alerts = Alerts()
        self._window = Window(limit)
        self._too_large = too_large
        self._numbers = itertools.count(1)

    def answer(self, asked: Asked, now: float) -> Reply:
        """Process an event."""
        if (asked.method, asked.path) != ("POST", "/v2/enqueue"):
            return Reply(404, {"message": "there is POST /v2/enqueue"}, "refused")
        if len(asked.raw) > MOST_BYTES:
            return _refuse(self._too_large, ["the event is larger than 512 KB"])
        if not asked.headers.get("Content-Type", "").startswith("application/json") or asked.body is None:
            return _refuse(400, ["the body is not a JSON object"])
        if wrong := list(_wrong(asked.body)):
            return _refuse(400, wrong)
        if not self._window.takes(asked.body["routing_key"], now):
            return Reply(429, {"status": "throttle exceeded", "message": "too many events for this key"}, "throttled")
        return self._take(asked.body)

    def about(self, asked: Asked) -> tuple[str, str]:
        """Give dedup_key and event_action."""
        body = asked.body or {}
        return str(body.get("dedup_key", "")), str(body.get("event_action", ""))

    def settle(self, now: float) -> None:
        """Nothing is queued here."""

    def _take(self, event: Mapping[str, Any]) -> Reply:
        account, key = event["routing_key"], event.get("dedup_key") or f"{next(self._numbers):032x}"
        match event["event_action"]:
            case "trigger":
                acceptance = self.alerts.trigger(account, key)
            case "acknowledge":
                acceptance = self.alerts.acknowledge(account, key)
            case _:
                acceptance = self.alerts.resolve(account, key)
        return Reply(202, {"status": "success", "message": "Event processed", "dedup_key": key}, acceptance)


def _refuse(status: int, wrong: list[str]) -> Reply:
    return Reply(status, {"status": "invalid event", "message": "Event object is invalid", "errors": wrong}, "refused")


def _wrong(event: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"'{name}' is not a field of an event" for name in event.keys() - _EVENT)
    if not _text(event.get("routing_key"), 32) or len(event["routing_key"]) != 32:
        yield "'routing_key' must be 32 characters long"
    if event.get("event_action") not in _ACTIONS:
        yield f"'event_action' must be one of {', '.join(_ACTIONS)}"
    if "dedup_key" in event and not _text(event["dedup_key"], 255):
        yield "'dedup_key' must be text of at most 255 characters"
    if event.get("event_action") != "trigger":
        if "dedup_key" not in event:
            yield "'dedup_key' is missing"
        return
    yield from _wrong_in_payload(event.get("payload"))
    for name in ("client", "client_url"):
        if name in event and not _text(event[name]):
            yield f"'{name}' must be text"
    for name, address in (("links", "href"), ("images", "src")):
        listed = event.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(x, dict) and _web(x.get(address)) for x in listed):
            yield f"'{name}': {address} is missing or blank, or no http address"


def _wrong_in_payload(payload: Any) -> Iterator[str]:
    if not isinstance(payload, dict):
        yield "'payload' is missing"
        return
    yield from (f"'{name}' is not a field of a payload" for name in payload.keys() - _PAYLOAD)
    if not _text(payload.get("summary"), 1024):
        yield "'payload.summary' must be text of at most 1024 characters"
    if not _text(payload.get("source")):
        yield "'payload.source' is missing or blank"
    if payload.get("severity") not in _SEVERITIES:
        yield f"'payload.severity' must be one of {', '.join(_SEVERITIES)}"
    for name in ("component", "group", "class"):
        if name in payload and not _text(payload[name]):
            yield f"'payload.{name}' must be text"
    if "timestamp" in payload and not _moment(payload["timestamp"]):
        yield "'payload.timestamp' is not of ISO 8601"
    if not isinstance(payload.get("custom_details", {}), dict):
        yield "'payload.custom_details' must be an object"


def _text(value: Any, longest: int = MOST_BYTES) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= longest


def _web(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _moment(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False
