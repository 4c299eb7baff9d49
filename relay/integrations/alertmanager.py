"""What Alertmanager and its imitators post, read into alerts; what cannot be read is named, not dropped.

Contract: the body of Alertmanager's `webhook_configs`, version "4" (its docs/configuration.md). Accepted as well:
version "3" (integer groupKey), Grafana's and vmalert's variations, senders that leave fields out, and the bare
list that Prometheus posts to /api/v2/alerts. The group's own `status` is never used: Alertmanager computes it after
it has cut alerts off, so it says "resolved" while some of them fire.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json

from relay.incident.alert import Alert

LONGEST_TEXT = 65_536
"""Characters that a label, an annotation or a name keeps; the raw body is kept elsewhere."""
LONGEST_BROKEN = 10_000
"""Characters that are kept of an alert that cannot be used."""
LONGEST_FINGERPRINT = 200
MOST_LABELS = 1_000
MOST_ALERTS = 250_000
"""Alerts in one body. The 64 MiB that are accepted hold fewer of any real sender; more is junk that costs time."""
MOST_BROKEN = 1_000
"""Unusable alerts that are listed one by one; the last one listed counts the rest."""
MOST_TRUNCATED = 2**31 - 1

_FIRING = {"firing": True, "alerting": True, "resolved": False, "ok": False}
_KINDS = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}
_QUOTED = re.compile(r"\\([\\.+*?()|\[\]{}^$])")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_FAR = datetime(9000, 1, 1, tzinfo=UTC)
"""Stands for every later time ("never", as some senders write it), so that adding a duration cannot overflow."""
_FNV_OFFSET, _FNV_PRIME, _64_BITS = 14695981039346656037, 1099511628211, 2**64 - 1


ASKED = "asked"
"""Under `relay` in a body that Relay wrote itself."""


class Unusable(Exception):
    """The body can never be a webhook; the message says why, in words that may be sent back."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One alert of a body that cannot be used, though others can."""

    position: int
    """Its index among the body's alerts."""
    reason: str
    """What is wrong and where: `alerts[2].labels: expected an object, got null`."""
    body: str
    """Its JSON, cut at `LONGEST_BROKEN` characters."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A body as it was read. A bare list of alerts has no group: its texts are empty."""

    alerts: tuple[Alert, ...]
    broken: tuple[Broken, ...]
    truncated: int
    """How many alerts of the group the sender left out of this body."""
    group_key: str
    receiver: str
    external_url: str
    version: str
    reason: str
    """Why Alertmanager sent it, since 0.32: `first notification`, `repeat interval elapsed`; else empty."""
    asked: bool = False
    """Whether nobody has posted it: Relay wrote it itself, of what Alertmanager answers when it is asked."""


class _Wrong(Exception):
    """An alert cannot be used; the message continues the path `alerts[2]`."""


def read_webhook(body: bytes, source: str, received_at: datetime) -> Webhook:
    """Read a posted body. `received_at` (UTC) is the end of a resolved alert that tells none.

    Alerts that cannot be used are in `broken`. Raises `Unusable`, and nothing else, when the body is not a webhook
    or none of its alerts can be used. Costs about 8 microseconds an alert, 25 where the fingerprint is not told.
    """
    told = _parse(body)
    bare = isinstance(told, list)
    group = {} if bare else _group(told)
    listed = told if bare else group["alerts"]
    if len(listed) > MOST_ALERTS:
        raise Unusable(f"expected at most {MOST_ALERTS:,} alerts, got {len(listed):,}")
    alerts, broken = read_alerts(listed, source, received_at, bare=bare)
    if listed and not alerts:
        raise Unusable(f"none of its alerts can be used; the first: {broken[0].reason}")
    return Webhook(
        alerts=tuple(alerts),
        broken=tuple(broken),
        truncated=_truncated(group.get("truncatedAlerts")),
        group_key=_text(group.get("groupKey")),
        receiver=_QUOTED.sub(r"\1", _text(group.get("receiver"))),
        external_url=_text(group.get("externalURL")),
        version=_text(group.get("version")),
        reason=_text(group.get("notification_reason")),
        asked=group.get("relay") == ASKED,
    )


def fingerprint(labels: Mapping[str, str]) -> str:
    """Compute what Alertmanager calls the fingerprint: 64-bit FNV-1a of `name 0xff value 0xff`, sorted by name."""
    digest = _FNV_OFFSET
    for name in sorted(labels):
        for byte in b"%b\xff%b\xff" % (name.encode(), labels[name].encode()):
            digest = ((digest ^ byte) * _FNV_PRIME) & _64_BITS
    return f"{digest:016x}"


def _parse(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        strict = str(error)
    try:  # slower, but takes lone surrogates, raw line breaks, a byte order mark, UTF-16 and endless integers
        return json.loads(body, strict=False, parse_int=lambda digits: int(digits) if len(digits) < 20 else digits)
    except (ValueError, RecursionError, MemoryError):
        raise Unusable(f"the body is not JSON: {strict}" if body else "the body is empty") from None


def _group(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise Unusable(f"expected an object with a list of alerts, got {_kind(told)}")
    if isinstance(told.get("alerts"), list):
        return told
    if "alerts" not in told and "text" in told:
        raise Unusable(
            'it has "text" and no "alerts": this is a chat message, as some tests of a Grafana contact point send; '
            "use a contact point of type Webhook without a custom payload, and test it with an alert rule"
        )
    raise Unusable(f'expected a list under "alerts", got {_kind(told.get("alerts"))}')


def read_alerts(
    listed: list[Any], source: str, received_at: datetime, *, bare: bool = False
) -> tuple[list[Alert], list[Broken]]:
    """Read a list of alerts: those that can be used, and those that cannot. `bare`: they tell no status."""
    alerts: list[Alert] = []
    broken: list[Broken] = []
    for position, told in enumerate(listed):
        try:
            alerts.append(_read_alert(told, source, received_at, bare))
        except _Wrong as wrong:
            if len(broken) < MOST_BROKEN:
                broken.append(Broken(position, f"alerts[{position}]{wrong}", _json(told, LONGEST_BROKEN)))
    unlisted = len(listed) - len(alerts) - len(broken)
    if unlisted:
        broken[-1] = replace(broken[-1], reason=f"{broken[-1].reason} (and {unlisted:,} broken alerts after it)")
    return alerts, broken


def _read_alert(told: Any, source: str, received_at: datetime, bare: bool) -> Alert:
    if not isinstance(told, dict):
        raise _Wrong(f": expected an object, got {_kind(told)}")
    labels = _labels(told.get("labels"))
    starts_at = _moment(told, "startsAt")
    ends_at = _end(told, starts_at, received_at, bare)
    given = told.get("fingerprint")
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST_FINGERPRINT:
        given = fingerprint(labels)
    return Alert(
        source,
        _clean(given),
        labels,
        _annotations(told.get("annotations")),
        starts_at,
        ends_at,
        _text(told.get("generatorURL")),
    )


def _labels(told: Any) -> dict[str, str]:
    if not isinstance(told, dict):
        raise _Wrong(f".labels: expected an object, got {_kind(told)}")
    if len(told) > MOST_LABELS:
        raise _Wrong(f".labels: expected at most {MOST_LABELS:,} labels, got {len(told):,}")
    if told and _plain(told) and all(told.values()):
        return told
    labels = {}
    for name, value in told.items():
        if isinstance(value, dict | list):
            raise _Wrong(f".labels[{_json(name, 100)}]: expected text, got {_kind(value)}")
        if text := _text(value):  # to Alertmanager an empty label is no label
            labels[_clean(name)] = text
    if not labels:
        raise _Wrong(".labels: expected at least one label with a value")
    return labels


def _annotations(told: Any) -> dict[str, str]:
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise _Wrong(f".annotations: expected an object, got {_kind(told)}")
    if _plain(told):
        return told
    return {_clean(name): _text(value) for name, value in told.items() if value is not None}


def _plain(told: dict[str, Any]) -> bool:
    """Say whether a mapping is text that needs no mending: nearly all are, and this is the hot path."""
    try:
        text = "".join(told) + "".join(told.values())
    except TypeError:
        return False
    return len(text) <= LONGEST_TEXT and text.isascii() and "\0" not in text


def _end(told: dict[str, Any], starts_at: datetime | None, received_at: datetime, bare: bool) -> datetime | None:
    """Give when the alert ended; None while it fires. Prometheus' list tells no status, only when to give it up."""
    if not bare and _fires(told.get("status")):
        return None
    ends_at = _moment(told, "endsAt")
    if bare and (ends_at is None or ends_at > received_at):
        return None
    ends_at = ends_at or received_at
    return max(ends_at, starts_at) if starts_at else ends_at


def _fires(status: Any) -> bool:
    firing = _FIRING.get(status) if isinstance(status, str) else None
    if firing is None:
        got = _json(status, 40) if isinstance(status, str) else _kind(status)
        raise _Wrong(f'.status: expected "firing" or "resolved", got {got}')
    return firing


def _moment(told: dict[str, Any], field: str) -> datetime | None:
    """Read a time into UTC. None if it is not told: Go's zero time is the year 1, other senders write 1970."""
    text = told.get(field)
    if text is None or text == "":
        return None
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment and moment.year < 1971:
        return None
    if moment and moment.tzinfo:
        return moment.astimezone(UTC) if moment.year < 9000 else _FAR
    got = _json(text, 40) if isinstance(text, str) else _kind(text)
    raise _Wrong(f".{field}: expected a time with its offset, such as 2026-01-31T09:00:00Z, got {got}")


def _truncated(told: Any) -> int:
    if isinstance(told, int):
        return max(0, min(told, MOST_TRUNCATED))
    return 1 if told else 0  # it says that some are missing, in words not known here


def _text(value: Any) -> str:
    """Give a value as text; numbers and the like as their JSON, empty for null, NaN and Infinity."""
    if isinstance(value, str):
        return _clean(value)
    if value is None or (isinstance(value, float) and value - value != 0):
        return ""
    return _json(value, LONGEST_TEXT)


def _clean(text: str) -> str:
    """Replace what PostgreSQL cannot store, and cut what is too long."""
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 1] + "…"
    if "\0" in text or not text.isascii():
        return _UNSTORABLE.sub("\ufffd", text)
    return text


def _json(value: Any, longest: int) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "(nested too deeply to be shown)"
    return _clean(text if len(text) <= longest else text[: longest - 1] + "…")


def _kind(value: Any) -> str:
    return _KINDS[type(value)]
