"""On-call over the API and the command line, with a schedule that PagerDuty owns."""

import asyncio
import json
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from service import RULES, TOKENS, service
from world import told
from yarl import URL

from relay.cli import main
from relay.clock import WallClock

pytestmark = pytest.mark.servers

MORE = """
rotations:
  first: {{zone: Europe/Berlin, starts: 2026-01-05, people: [ada]}}
schedules:
  dba:
    provider: {{type: pagerduty, schedule: PDBA, api_key_file: {secrets}/pd, url: "{vendor}", stale_after: 1h}}
"""


@pytest.fixture
async def vendor():
    """PagerDuty's REST API: `people` are on call, and `status` is answered."""
    app = web.Application()
    state = {"status": 200, "email": "bob@example.com", "asked": 0}

    async def oncalls(request):
        state["asked"] += 1
        user = {"id": "PB", "type": "user", "summary": "Bob", "email": state["email"]}
        return web.json_response({"oncalls": [{"user": user, "start": None, "end": None}]}, status=state["status"])

    app.router.add_get("/oncalls", oncalls)
    async with TestServer(app) as server:
        state["url"] = str(server.make_url("/")).rstrip("/")
        yield state


def written(vendor):
    people = RULES.replace("bob: {{name: Bob,", "bob: {{name: Bob, email: bob@example.com,")
    levels = people.replace("page: [{{person: ada}}]", "page: [{{schedule: dba}}]")
    return levels + MORE.replace("{vendor}", vendor["url"])


async def duty(relay, name, person):
    """Wait until somebody is on call."""
    async with asyncio.timeout(10):
        while True:
            status, found = await relay.ask("GET", "/api/v1/on-call", role="viewer")
            assert status == 200, found
            [one] = [one for one in found["on_call"] if one["name"] == name]
            if one["person"] == person:
                return one, found
            await asyncio.sleep(0.02)


async def run(relay, *arguments, role="viewer"):
    address = f"http://127.0.0.1:{relay.running.address[1]}"
    env = {"RELAY_URL": address, "RELAY_TOKEN": TOKENS[role]}
    return await asyncio.to_thread(CliRunner().invoke, main, list(arguments), env=env)


async def test_a_providers_schedule_is_read_shown_and_rung(tmp_path, vendor):
    async with service(tmp_path, rules=written(vendor)) as relay:
        one, found = await duty(relay, "dba", "Bob")
        assert one["because"].startswith("is on call in dba, says PagerDuty (")
        assert found["levels"][0] == {"policy": "p", "level": "L1", "rings": ["Bob through pd-bob"], "nobody": []}
        said = await run(relay, "who")
        assert said.exit_code == 0
        assert "p L1: Bob through pd-bob" in said.output
        await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [told()]})
        async with asyncio.timeout(10):
            while not (await relay.ask("GET", "/api/v1/incidents", role="viewer"))[1]["incidents"]:
                await asyncio.sleep(0.02)
        _, shown = await relay.ask("GET", "/api/v1/incidents/INC-1", role="viewer")
        assert shown["pages"][0]["person"] == "Bob"


async def test_what_was_told_is_known_after_a_restart_while_the_provider_is_down(tmp_path, vendor):
    async with service(tmp_path, rules=written(vendor)) as relay:
        await duty(relay, "dba", "Bob")
    vendor["status"], before = 503, vendor["asked"]
    async with service(tmp_path, rules=written(vendor)) as relay:
        await duty(relay, "dba", "Bob")
        async with asyncio.timeout(10):
            while vendor["asked"] == before:
                await asyncio.sleep(0.02)
            while 'relay_schedule_failures_total{schedule="dba"} 1.0' not in (await relay.ask("GET", "/metrics"))[1]:
                await asyncio.sleep(0.02)
        later = WallClock().now() + timedelta(hours=2)
        _, found = await relay.ask("GET", "/api/v1/on-call", role="viewer", params={"at": later.isoformat()})
        assert "PagerDuty has not told for" in next(one for one in found["on_call"] if one["name"] == "dba")["because"]


async def test_the_load_report_is_for_admins_and_counts_pages(tmp_path, vendor):
    async with service(tmp_path, rules=written(vendor)) as relay:
        await duty(relay, "dba", "Bob")
        await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [told()]})
        async with asyncio.timeout(10):
            while True:
                status, found = await relay.ask("GET", "/api/v1/reports/load", role="admin")
                assert status == 200, found
                people = {one["person"]: one for one in found["people"]}
                if people.get("Bob", {}).get("pages"):
                    break
                await asyncio.sleep(0.02)
        assert people["Ada"]["hours"] == pytest.approx(90 * 24, abs=2)
        assert (await relay.ask("GET", "/api/v1/reports/load", role="responder"))[0] == 403
        said = await run(relay, "report", "load", "--since", "7d", "-o", "json", role="admin")
        assert json.loads(said.output)["people"][0]["person"] == "Ada"
        refused = await run(relay, "report", "load", role="viewer")
        assert (refused.exit_code, "admin" in refused.output) == (3, True)


@pytest.mark.parametrize(
    "at",
    [
        "2026-01-05T12:00+02:00",  # whose plain + arrives as a space
        "2026-01-05T12:00%2B02:00",
        "2026-01-05T12:00%2B0200",
        "2026-01-05T10:00Z",
        "2026-01-05%2012:00%2B02:00",
    ],
)
async def test_a_time_with_an_offset_is_read_as_it_is_written(tmp_path, at):
    async with service(tmp_path) as relay:
        url = URL(f"http://127.0.0.1:{relay.running.address[1]}/api/v1/on-call?at={at}", encoded=True)
        async with relay.client.get(url, headers={"Authorization": f"Bearer {TOKENS['viewer']}"}) as answer:
            assert (answer.status, (await answer.json())["at"]) == (200, "2026-01-05T10:00:00Z")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/api/v1/on-call?at=tomorrow", "at must be a time with Z or an offset"),
        ("/api/v1/on-call?at=2026-01-05T12:00", "at must be a time with Z or an offset"),
        ("/api/v1/on-call?at=9999-12-31T23:59:59Z", "at must be a time"),
        ("/api/v1/reports/load?since=2020-01-01T00:00:00Z", "at most 400 days"),
        ("/api/v1/reports/load?since=2099-01-01T00:00:00Z", "since must be before until"),
    ],
)
async def test_times_that_cannot_be_meant_are_refused(tmp_path, path, said):
    async with service(tmp_path) as relay:
        status, answer = await relay.ask("GET", path, role="admin")
        assert status == 400
        assert said in answer["error"]
