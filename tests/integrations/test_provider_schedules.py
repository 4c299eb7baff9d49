"""Schedules that PagerDuty and Opsgenie own, as their APIs tell of them; and how they are kept."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.incident.schedule import Provider, ToldShift
from relay.integrations.courier import Again, Never
from relay.integrations.schedules import ScheduleApi

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
UNTIL = NOON + timedelta(days=1)
KEY = "schedule-key-1234567890"


def oncall(start, end, email="ada@example.com", **user):
    """An entry as PagerDuty documents it, with `include[]=users`."""
    user = {"id": "PUS3R1", "type": "user", "summary": "Ada Lovelace", "email": email, **user}
    policy = {"id": "PPOLICY", "type": "escalation_policy_reference", "summary": "DBA"}
    schedule = {"id": "PSCHED9", "type": "schedule_reference", "summary": "DBA"}
    return {
        "user": user,
        "schedule": schedule,
        "escalation_policy": policy,
        "escalation_level": 1,
        "start": start,
        "end": end,
    }


def period(start, end, name="ada@example.com", kind="user"):
    return {
        "startDate": start,
        "endDate": end,
        "type": "historical",
        "recipient": {"id": "u-1", "type": kind, "name": name},
    }


@asynccontextmanager
async def asking(type_, answers, schedule="PSCHED9"):
    """The API of a provider that gives these answers, one after the other; and what was asked of it."""
    asked = []

    async def answer(request):
        asked.append(request)
        status, body = answers[min(len(asked), len(answers)) - 1]
        return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        provider = Provider(type=type_, schedule=schedule, api_key_env="X", url=str(server.make_url("/")).rstrip("/"))
        api = ScheduleApi(provider, KEY)
        yield (lambda: api.read(NOON, UNTIL, session)), asked


async def test_pagerduty_tells_who_is_on_call():
    entries = [
        oncall("2026-01-07T18:00:00Z", None, "bob@example.com", id="PUS3R2", summary="Bob"),
        oncall("2026-01-07T09:00:00+01:00", "2026-01-07T18:00:00Z"),
        oncall("2026-01-07T09:00:00+01:00", "2026-01-07T18:00:00Z"),  # of a second policy
    ]
    async with asking("pagerduty", [(200, {"oncalls": entries, "more": False})]) as (read, asked):
        assert await read() == (
            ToldShift(
                datetime(2026, 1, 7, 8, tzinfo=UTC),
                datetime(2026, 1, 7, 18, tzinfo=UTC),
                ("ada@example.com", "PUS3R1", "Ada Lovelace"),
            ),
            ToldShift(datetime(2026, 1, 7, 18, tzinfo=UTC), UNTIL, ("bob@example.com", "PUS3R2", "Bob")),
        )
    [request] = asked
    assert (request.method, request.path) == ("GET", "/oncalls")
    assert request.headers["Authorization"] == f"Token token={KEY}"
    documented = Path(__file__).parents[3] / "shared/specs/pagerduty-rest.json"
    if documented.exists():
        names = {param["name"] for param in json.loads(documented.read_text())["GET /oncalls"]["params"]}
        assert set(request.query) <= names
    assert request.query["schedule_ids[]"] == "PSCHED9"
    assert (request.query["since"], request.query["until"]) == (NOON.isoformat(), UNTIL.isoformat())


async def test_pagerduty_is_asked_for_all_its_pages():
    answers = [
        (200, {"oncalls": [oncall("2026-01-07T09:00:00Z", "2026-01-07T18:00:00Z")], "more": True}),
        (200, {"oncalls": [oncall("2026-01-07T18:00:00Z", "2026-01-08T18:00:00Z")], "more": False}),
    ]
    async with asking("pagerduty", answers) as (read, asked):
        assert len(await read()) == 2
    assert [request.query["offset"] for request in asked] == ["0", "100"]


async def test_opsgenie_tells_who_is_on_call():
    rotations = [
        {
            "id": "r-1",
            "name": "day",
            "periods": [
                period("2026-01-07T09:00:00Z", "2026-01-07T18:00:00Z"),
                period("2026-01-07T18:00:00Z", "2026-01-08T09:00:00Z", "DBA", "team"),
            ],
        },
        {
            "id": "r-2",
            "name": "night",
            "periods": [period("2026-01-07T18:00:00Z", "2026-01-08T09:00:00Z", "bob@example.com")],
        },
        {"id": "r-3", "name": "empty"},
    ]
    answer = {"data": {"finalTimeline": {"rotations": rotations}}, "took": 0.1, "requestId": "r"}
    async with asking("opsgenie", [(200, answer)], "DBA on call/EU") as (read, asked):
        assert [(shift.starts.hour, shift.names[0]) for shift in await read()] == [
            (9, "ada@example.com"),
            (18, "bob@example.com"),
        ]
    [request] = asked
    assert request.raw_path.startswith("/v2/schedules/DBA%20on%20call%2FEU/timeline?")
    assert request.headers["Authorization"] == f"GenieKey {KEY}"
    assert dict(request.query) == {
        "identifierType": "name",
        "interval": "3",
        "intervalUnit": "days",
        "date": NOON.isoformat(),
    }


async def test_opsgenies_ids_are_asked_for_as_such():
    answer = {"data": {"finalTimeline": {"rotations": []}}}
    async with asking("opsgenie", [(200, answer)], "d875e654-9b4e-4219-a803-0c26936d18de") as (read, asked):
        assert await read() == ()
    assert asked[0].query["identifierType"] == "id"


WHENEVER = {"periods": [period("x", "y")]}
WRONG = [
    (200, "<html>log in</html>"),
    (200, {"oncalls": None, "data": {"finalTimeline": None}}),
    (200, {"oncalls": [{"user": None}], "data": {}}),
    (200, {"oncalls": [oncall("tomorrow", None)], "data": {"finalTimeline": {"rotations": [WHENEVER]}}}),
    (503, "down"),
    (429, {"message": "slow down"}),
]  # fmt: skip


@pytest.mark.parametrize("type_", ["pagerduty", "opsgenie"])
@pytest.mark.parametrize("answer", WRONG, ids=[str(answer)[:40] for answer in WRONG])
async def test_an_answer_that_is_none_may_be_better_next_time_and_shows_no_key(type_, answer):
    async with asking(type_, [answer]) as (read, _):
        with pytest.raises(Again) as trouble:
            await read()
    assert KEY not in str(trouble.value)


@pytest.mark.parametrize("type_", ["pagerduty", "opsgenie"])
async def test_a_key_that_is_refused_is_said_without_showing_it(type_):
    async with asking(type_, [(401, {"message": f"bad key {KEY}"})]) as (read, _):
        with pytest.raises(Never, match="refused it") as trouble:
            await read()
    assert KEY not in str(trouble.value)
