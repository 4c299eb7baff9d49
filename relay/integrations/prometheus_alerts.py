"""Asking Prometheus since when alerts are active: an alert fires `for:` later than its condition began.

Contract: Prometheus' HTTP API, `GET /api/v1/alerts`: labels without `external_labels`, `state`, `activeAt`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from relay.clock import Clock
from relay.integrations.courier import Again
from relay.integrations.exchange import Exchange

TIMEOUT = 20.0
MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Active:
    """An alert that fires in Prometheus, and when its condition began."""

    labels: Mapping[str, str]
    since: datetime


class PrometheusAlerts:
    """One Prometheus, whose alerts come to Relay."""

    def __init__(self, url: str, token: str | None = None, clock: Clock | None = None) -> None:
        self._url = f"{url}/api/v1/alerts"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._exchange = Exchange("Prometheus", token or "", TIMEOUT, clock)

    async def ask(self, session: aiohttp.ClientSession) -> list[Active]:
        """Ask which alerts fire. Raises `Again` or `Never`."""
        answer = await self._exchange.send(session, "GET", self._url, headers=self._headers, most=MOST_BYTES)
        if answer.status != 200 or not answer.whole:
            raise self._exchange.refusal(answer)
        try:
            listed = json.loads(answer.body)["data"]["alerts"]
            return [
                Active(dict(one["labels"]), datetime.fromisoformat(one["activeAt"]).astimezone(UTC))
                for one in listed
                if one["state"] == "firing"
            ]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Again("Prometheus' list of alerts is not understood: is this its HTTP API?") from None
