"""Asking Alertmanager what fires, over its API v2: the other way round than its webhooks. And making silences there.

Contract: Alertmanager's api/v2/openapi.yaml, `GET /alerts`, `GET /receivers`, `GET /status`, `GET` and `POST
/silences`, `DELETE /silence/{id}`.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from relay.clock import Clock, WallClock
from relay.config.matchers import Matcher
from relay.incident.alert import Alert
from relay.incident.reconcile import Seen
from relay.integrations.alertmanager import ASKED, read_alerts
from relay.integrations.courier import Again, Never
from relay.integrations.exchange import Answer, Exchange
from relay.integrations.fitting import cut

TIMEOUT = 20.0
"""Seconds for each of its answers."""
MOST_BYTES = 256 * 1024 * 1024
"""Of its list of alerts: some 300,000 of them."""
_OPS = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
NOT_ENDED = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Told:
    """What one Alertmanager has answered."""

    seen: Mapping[str, Seen]
    """Alerts that it would tell this source of, by fingerprint."""
    up_for: timedelta
    """For how long it has run: a young one has not heard of every alert yet."""
    unusable: int = 0
    """How many of the alerts in its list could not be used: one that is not `seen` may be among them."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence in Alertmanager; one that is not there yet has no id."""

    matchers: tuple[Matcher, ...]
    starts: datetime
    ends: datetime
    by: str
    comment: str
    id: str = ""


class AlertmanagerApi:
    """One Alertmanager. `receiver` is the name of the receiver that posts to Relay: other alerts are not Relay's."""

    def __init__(
        self,
        url: str,
        source: str,
        receiver: str,
        token: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._url = url.rstrip("/") + "/api/v2"
        self._source = source
        self._receiver = receiver
        self._only = str(URL.build(query={"receiver": f"^(?:{re.escape(receiver)})$"}))
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clock = clock or WallClock()
        self._exchange = Exchange("Alertmanager", token or "", TIMEOUT, self._clock)

    async def ask(self, session: aiohttp.ClientSession) -> Told:
        """Ask what fires. Raises `Again` or `Never` when that cannot be had and understood."""
        listed = await self._send(session, "GET", f"/alerts{self._only}")
        receivers = await self._get(session, "/receivers")
        status = await self._get(session, "/status")
        silences = await self._get(session, "/silences")
        now = self._clock.now()
        try:
            known = {one["name"] for one in receivers}
            up_for = now - datetime.fromisoformat(status["uptime"])
            # a list of many thousand alerts takes a second to read
            seen, unusable = await asyncio.to_thread(_seen, listed, _silences(silences), self._source, now)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"Alertmanager's answer is not understood ({type(error).__name__})"
            raise Again(f"{what}: is this its API v2?") from None
        if self._receiver not in known:
            # it answers such a question with an empty list, as if all were over
            raise Never(f'Alertmanager has no receiver "{self._receiver}": correct `receiver` in the settings')
        return Told(seen, up_for, unusable)

    async def silences(self, session: aiohttp.ClientSession) -> list[Silence]:
        """Ask which silences hold now, or will. Raises `Again` or `Never`."""
        listed = await self._get(session, "/silences")
        try:
            return [_silence(one) for one in listed if one["status"]["state"] != "expired"]
        except (KeyError, TypeError, ValueError) as error:
            raise Again(f"Alertmanager's list of silences is not understood ({type(error).__name__})") from None

    async def silence(self, silence: Silence, session: aiohttp.ClientSession) -> None:
        """Make a silence, or change the one that has its id. Raises `Again` or `Never`."""
        matchers = [
            {"name": one.name, "value": one.value, "isRegex": "~" in one.op, "isEqual": one.op[0] == "="}
            for one in silence.matchers
        ]
        times = {"startsAt": silence.starts.isoformat(), "endsAt": silence.ends.isoformat()}
        told = {"matchers": matchers, **times, "createdBy": silence.by, "comment": silence.comment}
        await self._send(session, "POST", "/silences", told | ({"id": silence.id} if silence.id else {}))

    async def end_silence(self, id_: str, session: aiohttp.ClientSession) -> None:
        """End a silence. Raises `Again` or `Never`."""
        await self._send(session, "DELETE", f"/silence/{quote(id_, safe='')}")

    async def _get(self, session: aiohttp.ClientSession, path: str) -> Any:
        return _json(await self._send(session, "GET", path))

    async def _send(
        self, session: aiohttp.ClientSession, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Answer:
        url = self._url + path
        answer = await self._exchange.send(session, method, url, body=body, headers=self._headers, most=MOST_BYTES)
        if answer.status != 200 or not answer.whole:
            raise self._exchange.refusal(answer)
        return answer


def _silence(told: Mapping[str, Any]) -> Silence:
    return Silence(
        tuple(_matcher(one) for one in told["matchers"]),
        datetime.fromisoformat(told["startsAt"]),
        datetime.fromisoformat(told["endsAt"]),
        str(told["createdBy"]),
        str(told["comment"]),
        str(told["id"]),
    )


def _matcher(told: Mapping[str, Any]) -> Matcher:
    """Read a matcher; Alertmanager before 0.22 does not know `isEqual`."""
    equal, regex = told.get("isEqual", True), told["isRegex"]
    return Matcher(
        str(told["name"]), ("=" if equal else "!") + ("~" if regex else "=" * (not equal)), str(told["value"])
    )


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Again("Alertmanager's answer is not JSON: is there a proxy or a login page in between?") from None


def _silences(listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Ids of silences to who has made them, and why."""
    found = {}
    for one in listed:
        by, why = (" ".join(str(one.get(name) or "").split()) for name in ("createdBy", "comment"))
        found[str(one["id"])] = f"silence {one['id'][:8]} in Alertmanager by {cut(by, 80)}: {cut(why, 200)}"
    return found


def _muted_by(status: Mapping[str, Any], silences: Mapping[str, str]) -> str:
    """What keeps Alertmanager from telling of an alert; empty if nothing does."""
    if silenced_by := status.get("silencedBy"):
        return silences.get(silenced_by[0], f"silence {silenced_by[0][:8]} in Alertmanager")
    if status.get("inhibitedBy"):
        return "an inhibition in Alertmanager"
    if muted_by := status.get("mutedBy"):
        return f"time interval {cut(str(muted_by[0]), 80)} in Alertmanager"
    return "" if status["state"] != "suppressed" else "Alertmanager's configuration"


def _seen(answer: Answer, silences: Mapping[str, str], source: str, now: datetime) -> tuple[dict[str, Seen], int]:
    """Read the list of alerts: those that can be used, and how many cannot."""
    listed = _json(answer)
    if not isinstance(listed, list):
        raise TypeError("it is no list")
    muted: dict[str, str] = {}
    for one in listed:
        with suppress(KeyError, TypeError, AttributeError):
            muted[one["fingerprint"]] = _muted_by(one["status"], silences)
    told = [{**one, "status": "firing"} for one in listed if isinstance(one, dict)]
    alerts, _ = read_alerts(told, source, now)
    seen = {alert.fingerprint: Seen(alert, muted[alert.fingerprint]) for alert in alerts if alert.fingerprint in muted}
    return seen, len(listed) - len(seen)


def body(status: str, alerts: Sequence[Mapping[str, Any]]) -> bytes:
    """Write a webhook of alerts as the API shows them, or as `tell` writes them: all firing, or all resolved."""
    told = [{**alert, "status": status, **({"endsAt": NOT_ENDED} if status == "firing" else {})} for alert in alerts]
    group = {"version": "4", "groupKey": ASKED, "status": status, "truncatedAlerts": 0, "relay": ASKED}
    return json.dumps({**group, "alerts": told}).encode("utf-8", "replace")


def tell(alert: Alert, ends_at: datetime | None = None) -> dict[str, Any]:
    """Write an alert as Alertmanager does."""
    start = {"startsAt": alert.starts_at.isoformat()} if alert.starts_at else {}
    end = {"endsAt": ends_at.isoformat()} if ends_at else {}
    texts = {"labels": dict(alert.labels), "annotations": dict(alert.annotations), "generatorURL": alert.generator_url}
    return {**texts, **start, **end, "fingerprint": alert.fingerprint}
