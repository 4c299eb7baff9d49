"""What people do in PagerDuty and Opsgenie comes back: by webhooks over real sockets, and by asking."""

import asyncio
import hashlib
import hmac
import json
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from service import KEY as SERVICE_KEY
from service import RULES, service
from world import told

from relay.config.settings import PagerSettings
from relay.demo.standins import opsgenie, pagerduty
from relay.engine.intake import Intake
from relay.http import pagers as door

pytestmark = pytest.mark.servers

SECRETS = ("s1-old", "s2-new")
KEY = "INC-1/1.0/L1/ada"


@pytest.fixture
async def vendor():
    async with pagerduty.stand_in(limit=None) as standing:
        yield standing


@pytest.fixture
async def relay(tmp_path, vendor):
    (tmp_path / "hooks").write_text("\n".join(SECRETS))
    named = {
        name: PagerSettings(type=name, webhook_secret_file=str(tmp_path / "hooks"))
        for name in ("pagerduty", "opsgenie")
    }
    async with service(tmp_path, vendor.url, pagers=named) as running:
        await running.post({"version": "4", "groupKey": "{}:{}", "alerts": [told()]})
        await paged(running)
        yield running


async def until(holds, seconds=5):
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def paged(relay):
    async with asyncio.timeout(5):
        while "pd-ada accepted the page" not in (await shown(relay))[1]:
            await asyncio.sleep(0.01)


async def shown(relay):
    status, incident = await relay.ask("GET", "/api/v1/incidents/INC-1", role="viewer")
    if status == 404:
        return "", []
    return incident["phase"], [entry["text"] for entry in incident["timeline"]]


async def reached(relay, phase):
    async with asyncio.timeout(5):
        while (found := await shown(relay))[0] != phase:
            await asyncio.sleep(0.01)
        return found[1]


def event(kind, key=KEY, agent="user_reference"):
    data = {"id": "PGR0VU2", "type": "incident", "incident_key": key, "status": "x"}
    who = {"id": "PLH1HKV", "type": agent, "summary": "Ada Lovelace"} if agent else None
    return {"event": {"id": "5ac64822", "event_type": f"incident.{kind}", "agent": who, "data": data}}


def signature(body, secret):
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def notify(relay, told_, secret=SECRETS[1], signed=None, path="pagerduty/pagerduty"):
    body = told_ if isinstance(told_, bytes) else json.dumps(told_).encode()
    header = signature(body, secret) if signed is None else signed
    headers = {"X-PagerDuty-Signature": header, "Content-Type": "application/json"}
    return (await relay.ask("POST", f"/api/v1/webhooks/{path}", body, headers=headers))[0]


async def test_an_acknowledgement_there_is_one_here_and_is_not_told_back(relay, vendor):
    assert await notify(relay, event("acknowledged")) == 202
    timeline = await reached(relay, "acknowledged")
    assert timeline[-1] == "acknowledged by Ada Lovelace (PagerDuty)"
    assert await notify(relay, event("acknowledged")) == 202
    assert (await shown(relay))[1] == timeline
    await asyncio.sleep(0.1)
    _, waiting = await relay.ask("GET", "/api/v1/outbox", role="viewer")
    assert waiting["errands"] == []


@pytest.mark.parametrize("name", ["\ud800\x00", "", None, 5, ["x"], "a" * 5000])
async def test_a_name_that_cannot_be_kept_stops_nothing(relay, name):
    told_ = event("acknowledged")
    told_["event"]["agent"]["summary"] = name
    assert await notify(relay, told_) == 202
    assert (await reached(relay, "acknowledged"))[-1].startswith("acknowledged by ")


async def test_a_name_of_no_target_of_its_type_is_told_at_the_start_and_at_each_reload(tmp_path, vendor, capfd):
    (tmp_path / "hooks").write_text(SECRETS[1])
    named = {"ours": PagerSettings(type="pagerduty", webhook_secret_file=str(tmp_path / "hooks"), targets=("pd-adda",))}
    complaint = 'pagers.ours.targets: there is no target "pd-adda": did you mean "pd-ada"?'
    async with service(tmp_path, vendor.url, pagers=named) as running:
        assert capfd.readouterr().err.count(complaint) == 1
        assert await running.running.rules.reload() is None
        assert capfd.readouterr().err.count(complaint) == 1


async def test_strangers_who_fill_the_room_of_pagers_keep_no_alert_out(relay, monkeypatch):
    size, writers = door.MOST_BYTES, []
    monkeypatch.setattr(door.StrangersRoom, "most", 3 * size)
    monkeypatch.setattr(Intake, "most", 3 * size)
    begin = (
        "POST /api/v1/webhooks/pagerduty/pagerduty HTTP/1.1\r\nHost: x\r\n"
        f"X-PagerDuty-Signature: v1=00\r\nContent-Length: {size}\r\n\r\n"
    )
    for _ in range(3):
        _, writer = await asyncio.open_connection(*relay.running.address)
        writer.write(begin.encode() + b"x" * (size - 1))
        await writer.drain()
        writers.append(writer)
    await asyncio.sleep(1)
    assert await notify(relay, event("acknowledged")) == 503
    status, _ = await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [told(service="ledger")]})
    assert status == 200
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("other", [("pd-else",), ("pd-gone", "PD-ADA")])
async def test_one_pagers_secret_moves_no_page_of_another_account(tmp_path, vendor, other):
    (tmp_path / "hooks").write_text(SECRETS[1])
    accounts = {
        name: PagerSettings(type="pagerduty", webhook_secret_file=str(tmp_path / "hooks"), targets=targets)
        for name, targets in (("theirs", other), ("ours", ("pd-ada",)))
    }
    async with service(tmp_path, vendor.url, pagers=accounts) as running:
        await running.post({"version": "4", "groupKey": "{}:{}", "alerts": [told()]})
        await paged(running)
        assert await notify(running, event("resolved"), path="pagerduty/theirs") == 202
        assert (await shown(running))[0] == "triggered"
        assert await notify(running, event("acknowledged"), path="pagerduty/ours") == 202
        await reached(running, "acknowledged")


@pytest.mark.parametrize(("target", "may"), [("pd-ada", True), ("og-bo", False), ("not in the rules any more", True)])
def test_a_pager_of_no_named_targets_speaks_of_all_of_its_type(target, may):
    pager = door.Pager("main", "pagerduty", ())
    assert pager.speaks_of(target, {"pd-ada": "pagerduty", "og-bo": "opsgenie"}) is may


async def test_a_close_by_a_person_is_believed_for_a_while(relay):
    assert await notify(relay, event("resolved")) == 202
    assert (await reached(relay, "resolved"))[-1] == "resolved by Ada Lovelace (PagerDuty): closed in pd-ada"


@pytest.mark.parametrize("agent", [None, "service_reference", "inbound_integration_reference"])
async def test_a_close_by_itself_rings_again_at_once_under_a_new_key(relay, vendor, agent):
    assert await notify(relay, event("resolved", agent=agent)) == 202
    await until(lambda: f"{KEY}+1" in vendor.open_keys())
    assert "again, since pd-ada has closed the page by itself" in " ".join((await shown(relay))[1])


@pytest.mark.parametrize(
    "told_",
    [
        event("acknowledged", key="INC-99/1.0/L1/ada"),
        event("acknowledged", key="INC-1/7.0/L1/ada"),
        event("acknowledged", key="somebody else's"),
        event("acknowledged", key=None),
        event("acknowledged", key="\x00"),
        event("acknowledged", key="INC-\ud800/1.0/L1/ada"),
        event("annotated"),
        event("a kind that is not invented yet"),
        {"event": []},
        [],
        {"event": {"event_type": "incident.acknowledged", "data": 5, "agent": "x"}},
        b"\xff\xfe not JSON",
        b"[" * 50_000,
    ],
)
async def test_what_moves_nothing_is_heard_all_the_same(relay, told_):
    before = await shown(relay)
    assert await notify(relay, told_) == 202
    assert await shown(relay) == before


@pytest.mark.parametrize(
    "signed", ["", "v1=", "v1=00", "v0=" + "0" * 64, "v1=" + "0" * 64, "v1=ü", ",,,", "v1=" + "f" * 100_000]
)
async def test_a_wrong_signature_is_401_and_moves_nothing(relay, signed):
    try:
        assert await notify(relay, event("acknowledged"), signed=signed) in (400, 401)
    except aiohttp.ClientError:
        assert len(signed) > 50_000
    assert (await shown(relay))[0] == "triggered"


async def test_a_signature_of_bytes_that_are_no_text_is_401(relay):
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.running.address[1])
    head = b"POST /api/v1/webhooks/pagerduty/pagerduty HTTP/1.1\r\nHost: relay\r\nContent-Length: 2\r\n"
    writer.write(head + b"X-PagerDuty-Signature: v1=\xff\xfe\r\n\r\n{}")
    assert b" 401 " in await reader.readline()
    writer.close()


async def test_a_signature_of_another_body_is_401(relay):
    assert await notify(relay, event("acknowledged"), signed=signature(b"{}", SECRETS[0])) == 401


async def test_while_a_secret_is_changed_one_right_signature_of_several_is_enough(relay):
    body = json.dumps(event("acknowledged")).encode()
    both = f"{signature(body, 'unknown')},{signature(body, SECRETS[0])}"
    assert await notify(relay, body, signed=both) == 202
    await reached(relay, "acknowledged")


async def test_a_pager_that_is_not_named_is_401(relay):
    assert await notify(relay, event("acknowledged"), path="pagerduty/other") == 401
    assert await notify(relay, event("acknowledged"), path="pagerduty/opsgenie") == 401


async def test_a_huge_body_is_413_for_who_is_known_without_it(relay):
    huge = b"x" * (door.MOST_BYTES + 1)
    path = "/api/v1/webhooks/opsgenie/opsgenie"
    assert (await relay.ask("POST", path, huge, headers={"X-Relay-Secret": SECRETS[0]}))[0] == 413
    assert await notify(relay, huge) == 401


@pytest.mark.parametrize("signed", ["", "v1=00"])
@pytest.mark.parametrize("body", [b"{}", b"x" * (door.MOST_BYTES + 1), b"not gzip"])
async def test_a_stranger_is_not_told_which_pagers_there_are(relay, signed, body):
    headers = {"X-PagerDuty-Signature": signed, "Content-Encoding": "gzip" if b"gzip" in body else "identity"}
    for kind in ("pagerduty", "opsgenie"):
        paths = [f"/api/v1/webhooks/{kind}/{name}" for name in (kind, "other")]
        known, unknown = [await relay.ask("POST", path, body, headers=headers) for path in paths]
        assert known == unknown
        assert known[0] == 401


async def test_what_bears_no_signature_is_refused_before_it_has_come(relay):
    reader, writer = await asyncio.open_connection(*relay.running.address)
    writer.write(
        b"POST /api/v1/webhooks/pagerduty/pagerduty HTTP/1.1\r\nHost: relay\r\nContent-Length: 1000000\r\n\r\n"
    )
    async with asyncio.timeout(5):
        assert b" 401 " in await reader.readline()
    writer.close()


# ---- Opsgenie ----


def action(name, alias=KEY, user="ada@example.com"):
    return {"source": {"type": "user"}, "action": name, "alert": {"alertId": "1", "alias": alias, "username": user}}


async def say(relay, told_, secret=SECRETS[0]):
    path = "/api/v1/webhooks/opsgenie/opsgenie"
    return (await relay.ask("POST", path, told_, headers={"X-Relay-Secret": secret}))[0]


@pytest.fixture
async def genie():
    async with opsgenie.stand_in(SERVICE_KEY) as standing:
        yield standing


@pytest.fixture
async def relay_of_opsgenie(tmp_path, genie):
    """The same service, whose first page is Opsgenie's."""
    (tmp_path / "hooks").write_text(SECRETS[0])
    named = {"opsgenie": PagerSettings(type="opsgenie", webhook_secret_file=str(tmp_path / "hooks"))}
    rules = RULES.replace("type: pagerduty, routing_key_file", "type: opsgenie, api_key_file", 1)
    async with service(tmp_path, genie.url, rules, pagers=named) as running:
        await running.post({"version": "4", "groupKey": "{}:{}", "alerts": [told()]})
        await paged(running)
        yield running


async def test_one_pager_does_not_speak_of_the_pages_of_another(relay):
    assert await say(relay, action("Acknowledge")) == 202
    assert await say(relay, action("Close")) == 202
    assert (await shown(relay))[0] == "triggered"


async def test_opsgenie_tells_by_alias_with_a_secret(relay_of_opsgenie):
    relay = relay_of_opsgenie
    assert await say(relay, action("Acknowledge"), secret="wrong") == 401
    assert await say(relay, action("AddNote")) == 202
    assert (await shown(relay))[0] == "triggered"
    assert await say(relay, action("Acknowledge")) == 202
    assert (await reached(relay, "acknowledged"))[-1] == "acknowledged by ada@example.com (Opsgenie)"
    assert await say(relay, action("Close")) == 202
    await reached(relay, "resolved")


async def test_a_close_by_a_policy_of_opsgenie_is_no_end(relay_of_opsgenie, genie):
    assert await say(relay_of_opsgenie, action("Close", user="System")) == 202
    await until(lambda: f"{KEY}+1" in genie.open_keys())


# ---- asking ----


@pytest.fixture
async def grouping(tmp_path, vendor):
    """A service with two pages that PagerDuty has put into one incident, and its REST API, which knows both."""
    asked, answer = [], [200, [KEY, "INC-2/1.0/L1/ada"]]

    async def alerts(request):
        asked.append(request.path)
        return web.json_response({"alerts": [{"alert_key": key} for key in answer[1]]}, status=answer[0])

    app = web.Application()
    app.router.add_get("/incidents/PGR0VU2/alerts", alerts)
    async with TestServer(app) as rest:
        for name, secret in (("hooks", SECRETS[1]), ("api", "r3st-token")):
            (tmp_path / name).write_text(secret)
        named = PagerSettings(
            type="pagerduty",
            webhook_secret_file=str(tmp_path / "hooks"),
            api_token_file=str(tmp_path / "api"),
            api_url=str(rest.make_url("")),
        )
        async with service(tmp_path, vendor.url, pagers={"pagerduty": named}) as relay:
            for name in ("checkout", "search"):
                await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [told(service=name)]})
            await until(lambda: len(vendor.open_keys()) == 2)
            yield relay, asked, answer


async def phases(relay):
    _, listed = await relay.ask("GET", "/api/v1/incidents?phase=all", role="viewer")
    return sorted((incident["id"], incident["phase"]) for incident in listed["incidents"])


@pytest.mark.parametrize("key", [KEY, "INC-2/1.0/L1/ada", None, "a key that PagerDuty made up"])
async def test_one_answer_is_for_all_pages_of_an_incident(grouping, key):
    relay, asked, _ = grouping
    assert await notify(relay, event("acknowledged", key=key)) == 202
    assert await phases(relay) == [("INC-1", "acknowledged"), ("INC-2", "acknowledged")]
    assert asked == ["/incidents/PGR0VU2/alerts"]


async def test_what_is_known_is_heard_and_the_rest_when_it_is_sent_again(grouping):
    relay, _, answer = grouping
    answer[0] = 500
    assert await notify(relay, event("acknowledged")) == 503
    assert await phases(relay) == [("INC-1", "acknowledged"), ("INC-2", "triggered")]
    answer[0] = 200
    assert await notify(relay, event("acknowledged")) == 202
    assert await phases(relay) == [("INC-1", "acknowledged"), ("INC-2", "acknowledged")]


async def test_a_token_that_is_refused_loses_no_webhook(grouping):
    relay, _, answer = grouping
    answer[0] = 403
    assert await notify(relay, event("acknowledged")) == 202
    assert await phases(relay) == [("INC-1", "acknowledged"), ("INC-2", "triggered")]
    _, metrics = await relay.ask("GET", "/metrics")
    assert 'relay_follow_up_failures_total{target="pagerduty"} 1.0' in metrics


async def test_nobody_is_asked_for_what_moves_nothing(grouping):
    relay, asked, _ = grouping
    assert await notify(relay, event("annotated")) == 202
    assert await notify(relay, event("acknowledged"), signed="v1=00") == 401
    assert asked == []


def test_secrets_are_in_no_picture_of_a_pager():
    assert "s1-old" not in repr(door.Pager("pagerduty", "pagerduty", SECRETS))


@pytest.fixture
async def rest():
    """PagerDuty's REST API, with one incident."""
    incidents, asked, status = {}, [], [200]

    async def listed(request):
        asked.append((request.headers["Authorization"], dict(request.query)))
        found = incidents.get(request.query["incident_key"])
        return web.json_response({"incidents": [found] if found else []}, status=status[0])

    app = web.Application()
    app.router.add_get("/incidents", listed)
    server = TestServer(app)
    await server.start_server()
    yield incidents, asked, status, str(server.make_url("")).rstrip("/")
    await server.close()


async def test_a_lost_webhook_only_delays(tmp_path, vendor, rest):
    incidents, asked, status, url = rest
    (tmp_path / "api").write_text("r3st-token")
    rules = RULES.replace("per_minute: 0, url", f"api_token_file: {{secrets}}/api, api_url: {url}, url", 1)
    async with service(tmp_path, vendor.url, rules) as relay:
        await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [told()]})
        await paged(relay)
        ask = partial(relay.running.follow_up.ask, relay.client)
        await ask()
        status[0] = 500
        await ask()
        assert (await shown(relay))[0] == "triggered"
        status[0] = 200
        ada = {"type": "user_reference", "summary": "Ada"}
        incidents[KEY] = {"status": "acknowledged", "acknowledgements": [{"acknowledger": ada}]}
        await ask()
        assert (await shown(relay))[1][-1] == "acknowledged by Ada (PagerDuty)"
        incidents[KEY] = {"status": "resolved", "last_status_change_by": ada}
        await ask()
        assert (await shown(relay))[0] == "resolved"
        await ask()
    assert len(asked) == 4  # what is over is not asked about again
    assert asked[0][0] == "Token token=r3st-token"
