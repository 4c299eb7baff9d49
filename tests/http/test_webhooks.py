"""The door of Alertmanager."""

import asyncio
import base64
import gzip
import json
import sqlite3
import zlib
from pathlib import Path

import pytest
from databases import emptied, postgresql_url
from hostile import HOSTILE
from service import HOOK, service
from world import ended, told

from relay.engine import intake
from relay.store.database import Database
from relay.store.failures import StoreUnavailable

__all__ = ["postgresql_url"]

PAYLOADS = Path(__file__).parent.parent / "payloads"
PATH = "/api/v1/webhooks/alertmanager/prod"


@pytest.fixture
async def relay(tmp_path):
    async with service(tmp_path) as running:
        yield running


def body(*alerts):
    return {"version": "4", "groupKey": "{}:{}", "status": "firing", "alerts": list(alerts)}


async def incidents(relay, phase="all"):
    _, listed = await relay.ask("GET", f"/api/v1/incidents?phase={phase}&limit=500", role="viewer")
    return listed["incidents"]


async def eventually(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
    return found


async def test_an_accepted_alert_is_an_incident(relay):
    assert await relay.post(body(told())) == (200, {"status": "stored"})
    [incident] = await eventually(lambda: incidents(relay))
    assert (incident["id"], incident["phase"], incident["service"]) == ("INC-1", "triggered", "checkout")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", PATH, {"Authorization": f"Bearer {HOOK}"}),
        ("PUT", PATH, {"Authorization": f"Bearer {HOOK}"}),
        ("POST", PATH, {"Authorization": "Bearer old-hook-secret"}),
        ("POST", PATH, {"Authorization": f"Token {HOOK}"}),
        ("POST", PATH, {"Authorization": "Basic " + base64.b64encode(f"any:{HOOK}".encode()).decode()}),
        ("POST", f"{PATH}/{HOOK}", {}),
        ("PUT", f"{PATH}/{HOOK}", {}),
    ],
)
async def test_the_secret_is_taken_in_three_ways(relay, method, path, headers):
    status, _ = await relay.ask(method, path, body(told()), headers=headers)
    assert status == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (PATH, {}),
        (PATH, {"Authorization": "Bearer wrong"}),
        (PATH, {"Authorization": "Bearer"}),
        (PATH, {"Authorization": "Basic !!!"}),
        (PATH, {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()}),
        (PATH, {"Authorization": "Bearer viewer-secret"}),
        (f"{PATH}/wrong", {"Authorization": f"Bearer {HOOK}"}),
        ("/api/v1/webhooks/alertmanager/unknown", {"Authorization": f"Bearer {HOOK}"}),
    ],
)
async def test_others_are_turned_away_without_a_hint(relay, path, headers):
    status, said = await relay.ask("POST", path, body(told()), headers=headers)
    assert status == 401
    assert HOOK not in json.dumps(said)
    assert await incidents(relay) == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
async def test_other_methods_are_refused_and_nothing_redirects(relay, method):
    status, said = await relay.ask(method, PATH, headers={"Authorization": f"Bearer {HOOK}"})
    assert (status, said["error"]) == (405, f"{method} is not possible here; what is: POST, PUT")


async def test_a_body_over_the_limit_is_413(relay):
    status, said = await relay.post(b" " * (64 * 1024 * 1024 + 1))
    assert (status, said["error"]) == (413, "the body is larger than 64 MiB")


@pytest.mark.parametrize(
    ("coding", "pack", "statuses"),
    [
        ("gzip", gzip.compress, {413}),
        ("deflate", zlib.compress, {413}),
        ("br", lambda zeros: b"\x5b\xff\xff\xbf\x00\x22\x2a\x00" * 1000, {400, 413, 415}),
    ],
)
@pytest.mark.servers
async def test_a_bomb_is_refused(relay, coding, pack, statuses):
    headers = {"Authorization": f"Bearer {HOOK}", "Content-Encoding": coding}
    status, _ = await relay.ask("POST", PATH, pack(bytes(200 * 1024 * 1024)), headers=headers)
    assert status in statuses
    assert (await relay.post(body(told())))[0] == 200


@pytest.mark.servers
async def test_a_hundred_megabytes_are_refused_and_harm_nobody(relay):
    status, _ = await relay.post(b'{"alerts": [' + b"1," * (50 * 1024 * 1024) + b"1]}")
    assert status == 413
    assert (await relay.post(body(told())))[0] == 200


@pytest.mark.servers
async def test_hostile_bodies_do_no_harm_on_postgresql(tmp_path, postgresql_url):
    emptied(postgresql_url).close()
    async with service(tmp_path, database=postgresql_url) as relay:
        await hostile_bodies(relay)


@pytest.mark.parametrize("payload", sorted(PAYLOADS.rglob("*.json")), ids=lambda p: p.stem)
async def test_every_real_payload_and_dialect_is_taken_or_refused_with_a_reason(relay, payload):
    status, said = await relay.post(payload.read_bytes())
    if "text-only" in payload.stem:
        assert status == 400
        assert said["error"]
    else:
        assert status == 200, said


@pytest.mark.servers
async def test_hostile_bodies_do_no_harm(relay):
    await hostile_bodies(relay)


async def hostile_bodies(relay):
    expected = {"unusable": 400, "broken": 200, "partly": 200, "good": 200}
    wrong = []
    for name, hostile, kind in HOSTILE:
        status, _ = await relay.post(hostile)
        if status != expected[kind]:
            wrong.append((name, kind, status))
    assert wrong == []
    assert (await relay.post(body(told(service="after-all-that"))))[0] == 200

    async def still_works():
        return [i for i in await incidents(relay) if i["service"] == "after-all-that"]

    await eventually(still_works, 20)


async def test_a_broken_alert_is_quarantined_visibly_and_the_others_are_kept(relay):
    status, said = await relay.post(body(told("A"), {**told("B"), "labels": None}))
    assert (status, said) == (200, {"status": "stored", "alerts": 1, "quarantined": 1})

    async def quarantine():
        return (await relay.ask("GET", "/api/v1/quarantine", role="responder"))[1]["quarantine"]

    [item] = await eventually(quarantine)
    assert (item["source"], item["position"]) == ("prod", 1)
    assert "labels" in item["reason"]
    _, metrics = await relay.ask("GET", "/metrics")
    assert 'relay_quarantined_total{source="prod"} 1.0' in metrics


async def test_a_broken_alert_alone_is_kept_and_people_are_told(relay):
    assert await relay.post(body({**told(), "labels": None})) == (
        200,
        {"status": "stored", "alerts": 0, "quarantined": 1},
    )
    [incident] = await eventually(lambda: incidents(relay))
    assert "RelayAlertsQuarantined" in incident["title"]


async def test_four_hundred_at_once_are_all_taken(relay):
    answers = await asyncio.gather(*(relay.post(body(told(service=f"s{n}"))) for n in range(400)))
    assert {status for status, _ in answers} == {200}

    async def all_known():
        return len(await incidents(relay)) == 400

    await eventually(all_known, 20)


async def test_an_end_is_taken(relay):
    await relay.post(body(told()))
    await relay.post(body(ended(told())))

    async def resolved():
        return await incidents(relay, "resolved")

    await eventually(resolved)


@pytest.mark.parametrize("known", [True, False], ids=["its length is known", "in chunks"])
async def test_a_body_for_which_there_is_no_memory_is_503_and_leaves_none_behind(relay, monkeypatch, known):
    large = json.dumps(body(told(annotations={"summary": "x" * 900_000}))).encode()

    async def pieces():
        for start in range(0, len(large), 100_000):
            yield large[start : start + 100_000]

    async def post():
        data, headers = large if known else pieces(), {"Authorization": f"Bearer {HOOK}"}
        async with relay.client.post(relay._base + PATH, data=data, headers=headers) as answer:
            return answer.status

    with monkeypatch.context() as tight:
        tight.setattr(intake.Intake, "most", 500_000)
        assert await post() == 503
        assert (await relay.post(body(told())))[0] == 200
    monkeypatch.setattr(intake.Intake, "most", 1_000_000)
    for _ in range(2):
        assert await post() == 200


def test_bodies_count_together_from_their_first_byte_until_they_are_done_with(monkeypatch):
    monkeypatch.setattr(intake.Intake, "most", 100)
    places = intake.Intake()
    with places.place() as one, places.place() as other:
        one(60)
        other(40)
        with pytest.raises(StoreUnavailable, match="too much waits"):
            other(1)
    places.need(100)


@pytest.mark.servers
async def test_while_nothing_can_be_stored_it_is_503_and_afterwards_200(relay, tmp_path):
    other = sqlite3.connect(tmp_path / "data" / "relay.db", isolation_level=None)
    other.execute("begin immediate")
    status, said = await relay.post(body(told()))
    assert (status, said["error"]) == (503, "the webhook could not be stored: send it again")
    other.close()
    assert (await relay.post(body(told())))[0] == 200


@pytest.mark.servers
async def test_a_database_that_is_busy_at_the_start_only_delays(tmp_path, monkeypatch):
    failing, transact = iter((True, True)), Database.transact

    def busy_at_first(database, work):
        if next(failing, False):
            raise StoreUnavailable("the database is locked by another program: close it")
        return transact(database, work)

    monkeypatch.setattr(Database, "transact", busy_at_first)
    async with service(tmp_path) as started:

        async def stored():
            return (await started.post(body(told())))[0] == 200

        assert await eventually(stored)
