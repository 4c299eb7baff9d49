"""A schedule that a provider owns is known at every moment, however the clock is set."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playbook import NOON

from relay.clock import ManualClock
from relay.engine.metrics import Metrics
from relay.engine.rehearsal import scratch_database
from relay.engine.rules_in_use import RulesInUse
from relay.engine.schedule_watch import ScheduleWatch
from relay.engine.writer import Writer
from relay.incident.oncall import on_call
from relay.store.failures import StoreUnavailable

RULES = """
targets: {{hook: {{type: webhook, url_env: HOOK}}}}
people: {{ada: {{via: hook, email: ada@example.com}}, bob: {{via: hook, email: bob@example.com}}}}
schedules: {{s: {{provider: {{type: pagerduty, schedule: P1, api_key_env: KEY, url: "{url}", refresh: 5m}}}}}}
policies: {{p: {{levels: [{{name: L1, page: [{{schedule: s}}], wait: 1h}}], last_resort: [{{person: ada}}]}}}}
route: {{policy: p, group_by: [service]}}
"""


@pytest.fixture
async def watching(tmp_path, monkeypatch):
    """Looks after some time; gives how often PagerDuty was asked, and who is on call."""
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/x")
    monkeypatch.setenv("KEY", "k")
    asked = []

    async def answer(request):
        if not asked or asked[-1] != "down":
            asked.append(request)
        else:
            raise web.HTTPServiceUnavailable
        who = {"P1": "ada", "P2": "bob"}[request.query["schedule_ids[]"]]
        now = {"user": {"id": "U", "email": f"{who}@example.com"}, "start": None, "end": None}
        return web.json_response({"oncalls": [now], "more": False})

    app = web.Application()
    app.router.add_get("/oncalls", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        with scratch_database() as database:
            (tmp_path / "all.yaml").write_text(RULES.format(url=str(server.make_url("")).rstrip("/")))
            clock, metrics, writer = ManualClock(NOON), Metrics(), Writer(database)
            rules = RulesInUse(tmp_path, "", {}, clock, metrics)
            watch = ScheduleWatch(rules, writer, clock, metrics)

            async def look(**passes):
                clock.advance(timedelta(**passes))
                await watch.look(session)
                return len(asked), on_call("s", rules.rules.roster, clock.now()).person

            async def change(before, after):
                (tmp_path / "all.yaml").write_text((tmp_path / "all.yaml").read_text().replace(before, after))
                assert await rules.reload() is None

            async def on_call_after_a_start(reads=writer):
                restarted = RulesInUse(tmp_path, "", {}, clock, metrics)
                starting = ScheduleWatch(restarted, reads, clock, metrics)
                await starting.begin()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await starting.run()
                return on_call("s", restarted.rules.roster, clock.now()).person

            look.writer, look.asked = writer, asked
            look.clock, look.change, look.on_call_after_a_start = clock, change, on_call_after_a_start
            yield look
            writer.close()


async def test_it_is_read_as_often_as_the_rules_say(watching):
    assert await watching() == (1, "ada")
    assert await watching(minutes=4) == (1, "ada")
    assert await watching(minutes=1) == (2, "ada")


@pytest.mark.parametrize("hours", [-3, 3])
async def test_somebody_is_on_call_though_the_clock_is_set(watching, hours):
    await watching()
    watching.clock.step(timedelta(hours=hours))
    asked, person = await watching(seconds=5)
    assert (asked, person) == (2 if hours < 0 else 1, "ada")
    assert await watching(minutes=5) == (asked + 1, "ada")


async def test_another_schedule_after_a_reload_is_read_at_once(watching):
    assert await watching() == (1, "ada")
    await watching.change("schedule: P1", "schedule: P2")
    assert await watching(seconds=5) == (2, "bob")
    assert await watching(minutes=4) == (2, "bob")


async def test_what_was_told_is_known_from_a_start_on(watching):
    await watching()
    watching.asked.append("down")
    assert await watching.on_call_after_a_start() == "ada"


async def test_what_was_told_is_known_as_soon_as_the_database_can_be_read(watching):
    class Later:
        """A database that is away at first."""

        async def read(self, work):
            self.read = watching.writer.read
            raise StoreUnavailable("it is away")

    await watching()
    watching.asked.append("down")
    assert await watching.on_call_after_a_start(Later()) == "ada"
