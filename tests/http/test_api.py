"""The API of people, and the doors of those who operate."""

import asyncio
import json
import re

import pytest
from openapi_spec_validator import validate
from service import HOOK, TOKENS, service
from world import told

from relay.http.app import ROUTES
from relay.http.openapi import describe


@pytest.fixture
async def relay(tmp_path):
    async with service(tmp_path) as running:
        yield running


@pytest.fixture
async def incident(relay):
    await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [told()]})
    async with asyncio.timeout(5):
        while (await relay.ask("GET", "/api/v1/incidents/INC-1", role="viewer"))[0] != 200:
            await asyncio.sleep(0.01)
    return "/api/v1/incidents/INC-1"


async def test_an_incident_is_shown_with_its_timeline_and_what_can_be_done(relay, incident):
    status, shown = await relay.ask("GET", incident, role="viewer")
    assert status == 200
    assert shown["title"].startswith("SEV-3 checkout: HighErrorRate (1 alert fires, since ")
    assert shown["can"] == ["ack", "escalate", "note", "resolve", "severity"]
    assert [entry["kind"] for entry in shown["timeline"]][:5] == [
        "Opened",
        "AlertsFired",
        "Assessed",
        "Triggered",
        "Paged",
    ]
    assert shown["timeline"][4]["text"] == "paged Ada through pd-ada: L1 of p: Ada named by the policy"
    assert [page["person"] for page in shown["pages"]] == ["Ada"]


async def test_a_page_that_nobody_has_accepted_yet_says_so(relay, incident):
    async with asyncio.timeout(5):
        while not (await relay.ask("GET", incident, role="viewer"))[1]["pages"][0]["tries"]:
            await asyncio.sleep(0.05)


async def test_people_act_in_words(relay, incident):
    said = []
    for what, body in [
        ("note", {"text": "looking"}),
        ("ack", {"note": "it is the cache"}),
        ("escalate", {"reason": "need Bob"}),
        ("resolve", {"because": "cache restarted"}),
    ]:
        status, answer = await relay.ask("POST", f"{incident}/{what}", body, role="responder")
        assert status == 200, answer
        said.append(answer["said"])
    assert said == [
        "INC-1: responder: looking",
        "INC-1: acknowledged by responder",
        "INC-1: escalated by responder: need Bob",
        "INC-1: resolved by responder: cache restarted",
    ]
    _, shown = await relay.ask("GET", incident, role="viewer")
    assert [e["actor"] for e in shown["timeline"] if e["kind"] == "Acknowledged"] == ["responder"]


async def test_somebody_says_how_severe_it_is(relay, incident):
    asked = {"severity": "SEV-1", "reason": "money is lost"}
    status, said = await relay.ask("POST", f"{incident}/severity", asked, role="responder")
    assert (status, said["said"]) == (200, "INC-1: responder says that it is SEV-1: money is lost")
    assert said["incident"]["severity"] == "SEV-1"
    assert (await relay.ask("POST", f"{incident}/severity", {"severity": "SEV-9", "reason": "x"}, "responder"))[
        0
    ] == 422
    assert (await relay.ask("POST", f"{incident}/severity", {"severity": "SEV-2"}, "responder"))[0] == 422


async def test_what_cannot_happen_is_409_in_words(relay, incident):
    await relay.ask("POST", f"{incident}/resolve", {}, role="responder")
    status, said = await relay.ask("POST", f"{incident}/ack", {}, role="responder")
    assert (status, said["error"]) == (409, "INC-1: ack is not possible while it is resolved; possible: note")


async def test_a_command_that_is_refused_half_way_leaves_nothing(relay, incident):
    await relay.ask("POST", f"{incident}/resolve", {}, role="responder")
    _, before = await relay.ask("GET", incident, role="viewer")
    await relay.ask("POST", f"{incident}/ack", {"note": "too late"}, role="responder")
    _, after = await relay.ask("GET", incident, role="viewer")
    assert len(after["timeline"]) == len(before["timeline"])


@pytest.mark.parametrize("route", [r for r in ROUTES if r.role], ids=lambda r: f"{r.method} {r.path}")
async def test_every_protected_route_asks_for_a_token_and_its_role(relay, route):
    path = route.path.replace("{id}", "INC-1").replace("{name}", "rack")
    assert (await relay.ask(route.method, path))[0] == 401
    assert (await relay.ask(route.method, path, headers={"Authorization": f"Bearer {HOOK}"}))[0] == 401
    below = {"viewer": None, "responder": "viewer", "admin": "responder"}[route.role]
    if below:
        status, said = await relay.ask(route.method, path, {}, role=below)
        assert (status, said["error"]) == (403, f"{below} is a {below}; this needs the role {route.role}")


def test_every_write_is_protected():
    open_writes = {r.path for r in ROUTES if r.method not in ("GET", "HEAD") and r.role is None}
    assert all(path.startswith("/api/v1/webhooks/") for path in open_writes)  # these see to it themselves


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/api/v1/incidents/INC-9", None, 404, "there is no incident INC-9"),
        ("POST", "/api/v1/incidents/INC-9/ack", {}, 404, "there is no incident INC-9"),
        ("POST", "/api/v1/incidents/INC-1/note", {}, 422, 'text: "text" is missing: add "text: ..." here'),
        (
            "POST",
            "/api/v1/incidents/INC-1/note",
            {"text": ""},
            422,
            'text: "text" is empty: write one',
        ),
        ("POST", "/api/v1/incidents/INC-1/ack", {"not": "x"}, 422, 'not: unknown key "not": did you mean "note"?'),
        ("POST", "/api/v1/incidents/INC-1/ack", b"{", 422, "body: this is not JSON: EOF while parsing"),
        ("GET", "/api/v1/incidents?phase=opne", None, 400, 'there is no phase "opne"'),
        ("GET", "/api/v1/incidents?limit=0", None, 400, '"limit" must be a number from 1 to 500'),
        ("GET", "/api/v1/incidents?limit=٣", None, 400, '"limit" must be a number'),
        ("GET", "/nowhere", None, 404, "there is nothing at this path"),
    ],
)
async def test_wrong_requests_are_refused_in_words(relay, method, path, body, status, words):
    got, said = await relay.ask(method, path, body, role="admin")
    assert got == status
    assert said["error"].startswith(words)


async def test_lists_go_on_where_they_ended(relay):
    for number in range(5):
        await relay.post({"version": "4", "groupKey": "", "alerts": [told(service=f"s{number}")]})
    async with asyncio.timeout(5):
        while len((await relay.ask("GET", "/api/v1/incidents", role="viewer"))[1]["incidents"]) < 5:
            await asyncio.sleep(0.01)
    seen, before = [], None
    for _ in range(5):
        query = f"&before={before}" if before else ""
        _, page = await relay.ask("GET", f"/api/v1/incidents?limit=2{query}", role="viewer")
        seen += [i["id"] for i in page["incidents"]]
        before = page["next"]
        if before is None:
            break
    assert seen == ["INC-5", "INC-4", "INC-3", "INC-2", "INC-1"]


async def test_it_is_healthy_and_ready(relay):
    assert (await relay.ask("GET", "/-/healthy"))[0] == 200
    async with asyncio.timeout(5):
        while (await relay.ask("GET", "/-/ready"))[0] != 200:
            await asyncio.sleep(0.01)


async def test_what_an_alert_may_count_is_there_from_the_start(relay):
    _, text = await relay.ask("GET", "/metrics")
    assert 'relay_quarantined_total{source="prod"} 0.0' in text
    assert re.search(r'relay_deliveries_total\{outcome="never",target="[\w-]+"\} 0\.0', text)


async def test_metrics_hold_no_secret_and_no_id(relay, incident):
    _, text = await relay.ask("GET", "/metrics")
    assert "INC-1" not in text
    assert not any(secret in text for secret in (HOOK, *TOKENS.values()))
    assert 'relay_incidents{phase="triggered"} 1.0' in text


async def test_rules_are_taken_anew_and_bad_ones_are_refused_with_every_mistake(relay, tmp_path):
    good = relay.rules.read_text()
    relay.rules.write_text(good.replace("group_by: [service]", "group_by: [service, alertname]"))
    status, said = await relay.ask("POST", "/-/reload", role="admin")
    assert (status, said.split()[0]) == (200, "rules")
    in_use = relay.running.rules.rules.revision
    relay.rules.write_text(good.replace("policy: p,", "policy: q,").replace("wait: 1h", "wait: soon"))
    status, said = await relay.ask("POST", "/-/reload", role="admin")
    assert status == 422
    assert said["error"].count("^") >= 2
    assert relay.running.rules.rules.revision == in_use
    _, metrics = await relay.ask("GET", "/metrics")
    assert "relay_config_last_reload_successful 0.0" in metrics


async def test_a_changed_file_is_noticed(relay):
    before = relay.running.rules.rules.revision
    relay.rules.write_text(relay.rules.read_text() + "# a comment\n")
    async with asyncio.timeout(10):
        while relay.running.rules.rules.revision == before:
            await asyncio.sleep(0.05)


async def test_a_missing_secret_keeps_the_old_rules(relay, tmp_path):
    before = relay.running.rules.rules.revision
    relay.rules.write_text(relay.rules.read_text().replace(f"{tmp_path}/pd", f"{tmp_path}/gone"))
    status, said = await relay.ask("POST", "/-/reload", role="admin")
    assert status == 422
    assert "gone cannot be read: No such file" in said["error"]
    assert relay.running.rules.rules.revision == before


async def test_the_api_describes_itself(relay):
    _, document = await relay.ask("GET", "/api/v1/openapi.json")
    validate(document)
    assert set(document["paths"]) == {route.path for route in ROUTES}


async def test_timelines_are_verified_on_request(relay, incident):
    assert await relay.ask("GET", "/api/v1/verify", role="viewer") == (200, {"incidents": 1, "problems": {}})


async def test_what_a_restart_finds_is_all_there(tmp_path):
    async with service(tmp_path) as first:
        await first.post({"version": "4", "groupKey": "", "alerts": [told()]})
    async with service(tmp_path) as second:
        status, shown = await second.ask("GET", "/api/v1/incidents/INC-1", role="viewer")
    assert (status, shown["firing"]) == (200, 1)


def test_the_document_tells_how_every_route_refuses_whom_and_what():
    paths = json.loads(describe(ROUTES, "1"))["paths"]
    for route in ROUTES:
        told_of = paths[route.path][route.method.lower()]["responses"].keys()
        assert {"401", "403"} <= told_of or route.role is None, route.path
        assert {"400", "413", "422", "503"} <= told_of or route.takes is None, route.path
