"""Schedules that PagerDuty or Opsgenie own: asks who is on call when.

Contract: PagerDuty's "REST API v2", `GET /oncalls` (one entry for each escalation policy that uses the schedule; start
and end are null for who always is); Opsgenie's "Schedule API", `GET /v2/schedules/{id}/timeline` (days of the final
timeline, by rotation; a user's name is an e-mail address).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from relay.clock import Clock
from relay.incident.schedule import Provider, ToldShift
from relay.integrations.courier import Again
from relay.integrations.exchange import Exchange
from relay.integrations.opsgenie import HOSTS as OPSGENIE
from relay.integrations.pagerduty_news import HOSTS as PAGERDUTY

MOST_BYTES = 4 * 1024 * 1024
MOST_LISTED = 100
"""Entries in one answer of PagerDuty."""
MOST_LISTS = 10
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Shifts = tuple[ToldShift, ...]


class ScheduleApi:
    """Asks one provider about its schedule."""

    def __init__(self, provider: Provider, key: str, clock: Clock | None = None) -> None:
        self._provider = provider
        self._key = key
        self._exchange = Exchange("PagerDuty" if provider.type == "pagerduty" else "Opsgenie", key, clock=clock)

    async def read(self, since: datetime, until: datetime, session: aiohttp.ClientSession) -> Shifts:
        """Ask who is on call in a time. Raises `Again` or `Never`."""
        if self._provider.type == "pagerduty":
            return await self._pagerduty(since, until, session)
        return await self._opsgenie(since, until, session)

    async def _pagerduty(
        self, since: datetime, until: datetime, session: aiohttp.ClientSession
    ) -> tuple[ToldShift, ...]:
        url = URL(f"{self._provider.url or PAGERDUTY[self._provider.region]}/oncalls")
        asked = {
            "schedule_ids[]": self._provider.schedule,
            "include[]": "users",
            "since": since.isoformat(),
            "until": until.isoformat(),
            "limit": str(MOST_LISTED),
        }
        headers = {"Authorization": f"Token token={self._key}", "Accept": "application/vnd.pagerduty+json;version=2"}
        found: dict[ToldShift, None] = {}
        for page in range(MOST_LISTS):
            told = await self._ask(url.with_query({**asked, "offset": str(page * MOST_LISTED)}), headers, session)
            match told:
                case {"oncalls": list(entries)}:
                    found |= dict.fromkeys(_oncalls(entries, since, until))
                case _:
                    raise Again("PagerDuty's list of who is on call is not understood")
            if told.get("more") is not True:
                break
        return tuple(sorted(found, key=lambda shift: shift.starts))

    async def _opsgenie(
        self, since: datetime, until: datetime, session: aiohttp.ClientSession
    ) -> tuple[ToldShift, ...]:
        name = self._provider.schedule
        host = self._provider.url or OPSGENIE["opsgenie", self._provider.region]
        days = (until - since) // timedelta(days=1) + 2
        url = URL(f"{host}/v2/schedules/{quote(name, safe='')}/timeline", encoded=True).with_query(
            {
                "identifierType": "id" if _ID.fullmatch(name) else "name",
                "interval": str(days),
                "intervalUnit": "days",
                "date": since.isoformat(),
            }
        )
        match await self._ask(url, {"Authorization": f"GenieKey {self._key}"}, session):
            case {"data": {"finalTimeline": {"rotations": list(rotations)}}}:
                return tuple(_periods(rotations, since, until))
        raise Again("Opsgenie's timeline is not understood")

    async def _ask(self, url: URL, headers: Mapping[str, str], session: aiohttp.ClientSession) -> dict[str, Any]:
        answer = await self._exchange.send(session, "GET", str(url), headers=headers, most=MOST_BYTES)
        if answer.status != 200 or not answer.whole:
            raise self._exchange.refusal(answer)
        return answer.told()


def _oncalls(entries: list[Any], since: datetime, until: datetime) -> Iterator[ToldShift]:
    for entry in entries:
        match entry:
            case {"user": {"id": str()} as user}:
                names = tuple(str(user[key]) for key in ("email", "id", "summary") if user.get(key))
                yield ToldShift(_moment(entry.get("start"), since), _moment(entry.get("end"), until), names)
            case _:
                raise Again("PagerDuty's list of who is on call is not understood")


def _periods(rotations: list[Any], since: datetime, until: datetime) -> Iterator[ToldShift]:
    """The first rotation comes first: where several people are on call, it says who is rung."""
    periods = (period for rotation in rotations for period in _object(rotation).get("periods") or ())
    for period in periods:
        match period:
            case {"recipient": {"type": "user", "name": str(name), **more}}:
                names = (name, str(more.get("id", "")))
                yield ToldShift(_moment(period.get("startDate"), since), _moment(period.get("endDate"), until), names)


def _object(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def _moment(text: Any, default: datetime) -> datetime:
    """Read a time; null stands for one that is beyond those asked for."""
    if text is None:
        return default
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        raise Again(f"{str(text)[:40]!r} is not a time") from None
