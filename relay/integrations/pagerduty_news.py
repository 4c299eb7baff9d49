"""What PagerDuty tells: by its webhooks (v3), and when it is asked over its REST API.

Contract: PagerDuty's developer documentation, "Webhooks v3" (signature over the raw body, one event each) and "REST API
v2", `GET /incidents` and `GET /incidents/{id}/alerts`. `incident_key` is the `dedup_key` of the alert that opened the
incident, and null or something else where alerts are grouped; `alert_key` is the `dedup_key` of each of its alerts.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
from yarl import URL

from relay.clock import Clock
from relay.integrations.courier import Again
from relay.integrations.exchange import Exchange
from relay.integrations.fitting import fold_key
from relay.integrations.news import News, What, spell_who

HOSTS = {"us": "https://api.pagerduty.com", "eu": "https://api.eu.pagerduty.com"}
SIGNATURE = "X-PagerDuty-Signature"
LONGEST_DEDUP_KEY = 255
MOST_LISTED = 100
"""Alerts of an incident in one answer."""
MOST_LISTS = 10
"""Answers that are read about one incident; PagerDuty takes 1,000 alerts into it."""
LARGEST_LIST = 8 * 1024 * 1024
"""Bytes of one of them: each alert has all that it was sent with."""
_PEOPLE = ("user", "user_reference")


def offered(header: str) -> list[str]:
    """Give the signatures that a header offers, of the kind that is understood."""
    return [part.strip()[3:] for part in header.split(",") if part.strip().startswith("v1=")]


def signed(body: bytes, header: str, secrets: Iterable[str]) -> bool:
    """Whether one of the signatures (`v1=<hex>,v1=…`: HMAC-SHA256 of the raw body) was made with one of the secrets."""
    told = [one.encode("utf-8", "surrogateescape") for one in offered(header)]  # a header may hold any bytes
    right = [hmac.new(secret.encode(), body, hashlib.sha256).hexdigest() for secret in secrets]
    return any([hmac.compare_digest(one, other.encode()) for one in told for other in right])


def read_news(body: bytes) -> News | None:
    """Read a webhook whose signature was right; None when it tells nothing that moves an incident of Relay."""
    try:
        event = json.loads(body)["event"]
        kind, incident, agent = event["event_type"], event["data"], _object(event.get("agent"))
        key, group = incident.get("incident_key"), incident.get("id")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    key = key if isinstance(key, str) else ""
    group = group if isinstance(group, str) and group.isascii() and group.isalnum() else ""
    if not (key or group):
        return None
    match kind:
        case "incident.acknowledged":
            return News(key, "acknowledged", _who(agent), group)
        case "incident.resolved":
            return News(key, _closed(agent), _who(agent), group)
    return None


class PagerDutyApi:
    """Asks PagerDuty what became of a page."""

    def __init__(self, url: str, token: str, timeout: float, clock: Clock | None) -> None:
        self._url = f"{url}/incidents"
        self._headers = {"Authorization": f"Token token={token}", "Accept": "application/vnd.pagerduty+json;version=2"}
        self._exchange = Exchange("PagerDuty", token, timeout, clock)

    async def ask_about(self, key: str, session: aiohttp.ClientSession) -> News | None:
        """Ask for the latest incident of a key. Raises `Again` or `Never`."""
        folded = fold_key(key, LONGEST_DEDUP_KEY)
        query = {"incident_key": folded, "limit": "1", "sort_by": "created_at:desc", "date_range": "all"}
        url = str(URL(self._url).with_query(query))
        answer = await self._exchange.send(session, "GET", url, headers=self._headers)
        if answer.status != 200:
            raise self._exchange.refusal(answer)
        match answer.told():
            case {"incidents": [{"status": "acknowledged"} as incident, *_]}:
                return News(folded, "acknowledged", _who(_acknowledger(incident)))
            case {"incidents": [{"status": "resolved"} as incident, *_]}:
                by = _object(incident.get("last_status_change_by"))
                return News(folded, _closed(by), _who(by))
            case {"incidents": list()}:
                return None
        raise Again("PagerDuty's list of incidents is not understood")

    async def keys_of(self, group: str, session: aiohttp.ClientSession) -> list[str]:
        """Ask for the keys of all alerts of an incident. Raises `Again` or `Never`."""
        keys: list[str] = []
        for page in range(MOST_LISTS):
            url = f"{self._url}/{group}/alerts?limit={MOST_LISTED}&offset={page * MOST_LISTED}"
            answer = await self._exchange.send(session, "GET", url, headers=self._headers, most=LARGEST_LIST)
            if answer.status != 200:
                raise self._exchange.refusal(answer)
            told = answer.told()
            if not isinstance(told.get("alerts"), list):
                raise Again("PagerDuty's list of alerts is not understood")
            found = (_object(alert).get("alert_key") for alert in told["alerts"])
            keys += [key for key in found if isinstance(key, str)]
            if told.get("more") is not True:
                break
        return keys


def _acknowledger(incident: Mapping[str, Any]) -> Mapping[str, Any]:
    given = incident.get("acknowledgements")
    return _object(_object(given[-1]).get("acknowledger")) if isinstance(given, list) and given else {}


def _object(told: Any) -> dict[str, Any]:
    """The JSON object that should be there; empty if there is none."""
    return told if isinstance(told, dict) else {}


def _closed(agent: Mapping[str, Any]) -> What:
    return "closed" if agent.get("type") in _PEOPLE else "timed_out"


def _who(agent: Mapping[str, Any]) -> str:
    return spell_who(agent.get("summary"), "PagerDuty")
