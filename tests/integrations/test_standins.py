"""The stand-ins are strict and remember: what the vendors refuse, drop or fold, they refuse, drop or fold."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from relay.demo.standins import make, opsgenie, pagerduty
from relay.demo.standins.alerts import Window
from relay.demo.standins.faults import Fault
from relay.demo.standins.standin import StandIn

KEY = "k" * 32
OTHER = "o" * 32
GENIE = {"Authorization": "GenieKey genie"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Caller:
    """Asks a stand-in without a courier."""

    def __init__(self, vendor: StandIn, session: aiohttp.ClientSession) -> None:
        self.vendor = vendor
        self.session = session

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        async with self.session.request(method, self.vendor.url + path, **more) as response:
            return response.status, await response.json(content_type=None)

    async def event(self, action: str = "trigger", key: str | None = "db", account: str = KEY, **fields: Any) -> int:
        payload = {"summary": "it burns", "source": "db-1", "severity": "critical"}
        body = {"routing_key": account, "event_action": action, "payload": payload, **fields}
        if key is not None:
            body["dedup_key"] = key
        status, self.answer = await self.ask("POST", "/v2/enqueue", json=body)
        return status

    async def genie(self, path: str, body: dict[str, Any], method: str = "POST") -> int:
        status, self.answer = await self.ask(method, f"/v2/alerts{path}", json=body, headers=GENIE)
        return status

    @property
    def accepted(self) -> list[str]:
        return [entry.acceptance for entry in self.vendor.journal]


@pytest.fixture
async def pd(session: aiohttp.ClientSession) -> AsyncIterator[Caller]:
    async with pagerduty.stand_in(None) as vendor:
        yield Caller(vendor, session)


@pytest.fixture
async def og(session: aiohttp.ClientSession) -> AsyncIterator[Caller]:
    async with opsgenie.stand_in("genie") as vendor:
        yield Caller(vendor, session)


# ---- PagerDuty ---------------------------------------------------------------------------------------------------


async def test_an_open_alert_takes_repeats_and_a_resolved_one_makes_room_for_a_new_one(pd: Caller) -> None:
    for action in ("trigger", "trigger", "acknowledge", "trigger", "resolve", "resolve", "acknowledge", "trigger"):
        assert await pd.event(action) == 202
        assert pd.answer == {"status": "success", "message": "Event processed", "dedup_key": "db"}

    assert pd.accepted == [
        "opened", "appended", "acknowledged", "appended", "resolved", "dropped", "dropped", "opened"
    ]  # fmt: skip
    assert (pd.vendor.pages(), pd.vendor.triggers("db"), pd.vendor.open_keys()) == (("db", "db"), 4, {"db"})


async def test_keys_are_folded_for_each_routing_key_alone(pd: Caller) -> None:
    await pd.event()
    await pd.event(account=OTHER)
    await pd.event("resolve", account="x" * 32)

    assert pd.accepted == ["opened", "opened", "dropped"]


async def test_an_event_without_a_key_is_given_one(pd: Caller) -> None:
    await pd.event(key=None)
    first = pd.answer["dedup_key"]
    await pd.event(key=None)

    assert len({first, pd.answer["dedup_key"]}) == 2
    assert pd.accepted == ["opened", "opened"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"routing_key": "short"}, "routing_key"),
        ({"event_action": "triger"}, "event_action"),
        ({"dedup_key": "k" * 256}, "dedup_key"),
        ({"dedup_key": " "}, "dedup_key"),
        ({"payload": None}, "payload"),
        ({"payload": {"summary": " ", "source": "s", "severity": "info"}}, "summary"),
        ({"payload": {"summary": "s" * 1025, "source": "s", "severity": "info"}}, "summary"),
        ({"payload": {"summary": "s", "severity": "info"}}, "source"),
        ({"payload": {"summary": "s", "source": "s", "severity": "SEV-1"}}, "severity"),
        ({"payload": {"summary": "s", "source": "s", "severity": "info", "timestamp": "noon"}}, "timestamp"),
        ({"payload": {"summary": "s", "source": "s", "severity": "info", "custom_details": "x"}}, "custom_details"),
        ({"payload": {"summary": "s", "source": "s", "severity": "info", "component": 1}}, "component"),
        ({"payload": {"summary": "s", "source": "s", "severity": "info", "sumary": "x"}}, "sumary"),
        ({"links": [{"href": ""}]}, "links"),
        ({"images": [{"href": "https://x"}]}, "images"),
        ({"client_url": None}, "client_url"),
        ({"details": {}}, "details"),
    ],
)
async def test_an_event_with_anything_wrong_is_refused(pd: Caller, fields: dict[str, Any], wrong: str) -> None:
    key = fields.pop("dedup_key", "db")
    account = fields.pop("routing_key", KEY)

    assert await pd.event(fields.pop("event_action", "trigger"), key, account, **fields) == 400

    assert pd.answer["status"] == "invalid event"
    assert wrong in pd.answer["errors"][0]
    assert (pd.accepted, pd.vendor.pages()) == (["refused"], ())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * 5000])
async def test_what_is_no_json_object_is_refused(pd: Caller, data: bytes) -> None:
    json_type = {"Content-Type": "application/json"}
    status, _ = await pd.ask("POST", "/v2/enqueue", data=data, headers=json_type)

    assert status == 400
    assert (await pd.ask("POST", "/v2/enqueue", data=b"{}"))[0] == 400
    assert (await pd.ask("POST", "/v2/alerts", json={}))[0] == 404
    assert await pd.event("resolve", None) == 400, "what ends must say its key"


async def test_an_event_is_refused_from_512_kilobytes_on(pd: Caller) -> None:
    payload = {"summary": "s", "source": "s", "severity": "info", "custom_details": {"x": "y" * 511_700}}
    assert await pd.event(payload=payload) == 202

    payload["custom_details"] = {"x": "y" * 512_000}
    assert await pd.event(payload=payload) == 413


async def test_more_than_120_events_a_minute_are_throttled(session: aiohttp.ClientSession) -> None:
    async with pagerduty.stand_in() as vendor:
        pd = Caller(vendor, session)
        statuses = [await pd.event() for _ in range(122)]

        assert statuses == [202] * 120 + [429] * 2
        assert await pd.event(account=OTHER) == 202


def test_the_window_slides() -> None:
    window = Window(2)

    assert [window.takes("a", now) for now in (0, 30, 59, 60, 61, 90)] == [True, True, False, True, False, True]
    assert all(Window(None).takes("a", 0) for _ in range(1000))


# ---- Opsgenie ----------------------------------------------------------------------------------------------------


async def test_an_alias_is_open_once_and_a_closed_one_is_not_known(og: Caller) -> None:
    at_db = "/a%2Fdb/{}?identifierType=alias"
    for path, body, status in (
        (at_db.format("close"), {}, 404),
        ("", {"message": "m", "alias": "a/db"}, 202),
        ("", {"message": "m", "alias": "a/db"}, 202),
        (at_db.format("acknowledge"), {"user": "ada"}, 202),
        (at_db.format("notes"), {"note": "n"}, 202),
        (at_db.format("close"), {}, 202),
        (at_db.format("close"), {}, 404),
        ("", {"message": "m", "alias": "a/db"}, 202),
    ):
        assert await og.genie(path, body) == status
        assert og.answer["requestId"]

    assert og.accepted == ["dropped", "opened", "appended", "acknowledged", "noted", "resolved", "dropped", "opened"]
    assert (og.vendor.pages(), og.vendor.triggers("a/db"), og.vendor.open_keys()) == (("a/db",) * 2, 3, {"a/db"})


async def test_what_is_queued_is_processed_later_and_in_order(session: aiohttp.ClientSession) -> None:
    async with opsgenie.stand_in("genie", delay=0.15) as vendor:
        og = Caller(vendor, session)
        assert await og.genie("", {"message": "m", "alias": "db"}) == 202
        created = og.answer["requestId"]
        assert (await og.ask("GET", f"/v2/alerts/requests/{created}", headers=GENIE))[0] == 404
        assert await og.genie("/db/close?identifierType=alias", {}) == 202, "it is queued behind the other"
        assert (og.accepted[0], vendor.pages()) == ("queued", ())

        await asyncio.sleep(0.2)

        assert (vendor.pages(), vendor.open_keys()) == (("db",), frozenset())
        status, told = await og.ask("GET", f"/v2/alerts/requests/{created}", headers=GENIE)
        assert (status, told["data"]["isSuccess"], told["data"]["alias"]) == (200, True, "db")


@pytest.mark.parametrize(
    "fields",
    [
        {"message": ""},
        {"message": "m" * 131},
        {"message": "🔥" * 66},
        {"alias": "a" * 513},
        {"description": "d" * 15_001},
        {"priority": "P0"},
        {"priority": "critical"},
        {"tags": ["x" * 51]},
        {"tags": ["x"] * 21},
        {"tags": "x"},
        {"details": {"a": 1}},
        {"details": {"a": "b" * 8_000}},
        {"responders": [{"type": "user", "name": "ada"}]},
        {"responders": [{"name": "ada"}]},
        {"responders": [{"type": "team", "name": "t"}] * 51},
        {"entity": "e" * 513},
        {"source": "s" * 101},
        {"severity": "high"},
    ],
)
async def test_an_alert_with_anything_wrong_is_refused(og: Caller, fields: dict[str, Any]) -> None:
    assert await og.genie("", {"message": "m", "alias": "db", **fields}) == 422
    assert og.vendor.pages() == ()


async def test_only_the_right_key_in_the_right_form_is_let_in(og: Caller) -> None:
    for value in (None, "GenieKey", "GenieKey other", "geniekey genie", "Bearer genie", "Basic genie", "genie"):
        headers = {"Authorization": value} if value else {}
        assert (await og.ask("POST", "/v2/alerts", json={"message": "m"}, headers=headers))[0] == 401


async def test_an_alias_must_be_called_one(og: Caller) -> None:
    await og.genie("", {"message": "m", "alias": "db"})

    assert await og.genie("/db/close", {}) == 404
    assert await og.genie("/db/close?identifierType=alias", {}, "PUT") == 404
    assert await og.genie("/db/explode?identifierType=alias", {}) == 404
    assert await og.genie("/db/notes?identifierType=alias", {}) == 422
    assert await og.genie("/db/priority?identifierType=alias", {"priority": "P9"}, "PUT") == 422


async def test_jiras_heir_has_a_path_of_its_own_and_no_put(session: aiohttp.ClientSession) -> None:
    async with opsgenie.stand_in("genie", "jsm") as vendor:
        jsm = Caller(vendor, session)
        assert vendor.url.endswith("/jsm/ops/integration")
        assert await jsm.genie("", {"message": "m", "alias": "db"}) == 202
        assert await jsm.genie("/db/message?identifierType=alias", {"message": "n"}, "PUT") == 404

        vendor.url = vendor.url.removesuffix("/jsm/ops/integration")
        assert await jsm.genie("", {"message": "m"}) == 404


async def test_throttling_says_for_how_long(session: aiohttp.ClientSession) -> None:
    async with opsgenie.stand_in("genie", limit=1) as vendor, session.get(vendor.url, headers=GENIE) as first:
        assert first.headers["X-RateLimit-State"] == "OK"
        async with session.get(vendor.url, headers=GENIE) as second:
            assert (second.status, second.headers["X-RateLimit-Period-In-Sec"]) == (429, "60")


# ---- trouble on request ------------------------------------------------------------------------------------------


async def test_faults_come_in_order_as_often_as_asked_and_are_journalled(pd: Caller) -> None:
    pd.vendor.faults.add(Fault("status", 503, {"Retry-After": "7"}, "{}"), times=2)
    pd.vendor.faults.add(Fault("status", 429, body="{}"))

    for expected in (503, 503, 429):
        async with pd.session.post(f"{pd.vendor.url}/v2/enqueue", json={"dedup_key": "db"}) as response:
            assert response.status == expected
    assert await pd.event() == 202

    assert [(e.key, e.acceptance, e.fault) for e in pd.vendor.journal] == [("db", "lost", "status")] * 3 + [
        ("db", "opened", "")
    ]


async def test_a_reset_loses_the_request_and_a_ghost_only_the_answer(pd: Caller) -> None:
    for kind, pages in (("reset", ()), ("ghost", ("db",))):
        pd.vendor.faults.add(Fault(kind))
        with pytest.raises(aiohttp.ClientError):
            await pd.event()
        assert pd.vendor.pages() == pages

    assert [(e.acceptance, e.fault) for e in pd.vendor.journal] == [("lost", "reset"), ("opened", "ghost")]


async def test_what_hangs_ends_when_the_stand_in_stops(session: aiohttp.ClientSession) -> None:
    vendor = pagerduty.stand_in()
    await vendor.start()
    vendor.faults.add(Fault("hang", seconds=3600))
    began = time.monotonic()

    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(_failing(Caller(vendor, session)))
        await asyncio.sleep(0.05)
        await vendor.stop()

    assert asking.result()
    assert time.monotonic() - began < 3


async def _failing(caller: Caller) -> bool:
    with pytest.raises(aiohttp.ClientError):
        await caller.event()
    return True


async def test_it_can_be_looked_at_and_scripted_over_http(pd: Caller) -> None:
    fault = {"kind": "status", "status": 500, "body": "{}", "times": 2}
    assert (await pd.ask("POST", "/_fault", json=fault))[0] == 200
    assert [await pd.event() for _ in range(3)] == [500, 500, 202]

    status, told = await pd.ask("GET", "/_journal")

    assert (status, told["pages"], told["open"]) == (200, ["db"], ["db"])
    assert [entry["acceptance"] for entry in told["entries"]] == ["lost", "lost", "opened"]
    assert told["entries"][2]["body"]["payload"]["summary"] == "it burns"
    for wrong in ({"kind": "explode"}, {"kind": "hang", "times": "many"}, {"kind": "hang", "times": None}, {}):
        assert (await pd.ask("POST", "/_fault", json=wrong))[0] == 400
    assert (await pd.ask("GET", "/_fault"))[0] == 404


@pytest.mark.parametrize("name", ["pagerduty", "opsgenie", "jsm"])
def test_each_is_made_by_its_name(name: str) -> None:
    assert isinstance(make(name, None, 0), StandIn)


async def test_it_runs_as_a_program(session: aiohttp.ClientSession) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "relay.demo.standins", "pagerduty", "--limit", "1", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        vendor = pagerduty.stand_in()
        vendor.url = (await process.stdout.readline()).decode().strip()
        pd = Caller(vendor, session)
        assert [await pd.event() for _ in range(2)] == [202, 429]
    finally:
        process.terminate()
    assert await process.wait() == 0
