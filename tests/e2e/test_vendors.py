"""Vendors in trouble, and the whole service as a process, with the ledger."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from e2e.ledger import Told, hold, storms
from e2e.relay_process import relay
from service import RULES

from relay.demo.standins import pagerduty
from relay.demo.standins.faults import Fault

pytestmark = pytest.mark.servers

LATE = 60
TROUBLE = {
    "does not answer": Fault("hang", seconds=60),
    "answers a byte a second": Fault("drip", seconds=1),
    "speaks no HTTP": Fault("garbage"),
    "breaks each connection": Fault("reset"),
    "says 429, and to wait two seconds": Fault("status", status=429, headers={"Retry-After": "2"}),
}


@pytest.mark.parametrize("mood", TROUBLE)
async def test_a_pager_in_trouble_gets_every_page_when_it_is_well(tmp_path, mood):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        book = Told()
        await storms(book, 0.3, "before", running)
        pager.faults.add(TROUBLE[mood], 10**6)
        await storms(book, 1, "during", running)
        pager.faults.clear()
        await storms(book, 0.3, "after", running)
        await hold(
            running, pager, book, "the pager is in trouble", f"it {mood} for a second of a storm, then well", LATE
        )


FACTS = """
facts:
  failing: {promql: 'sum(failing{service="{{service}}"})'}
severity:
  default: SEV-3
  page_at_least: SEV-3
  measure_every: 2s
  rules:
    - {severity: SEV-1, facts: {failing: {at_least: 100}}}
    - {severity: SEV-4, facts: {failing: {at_most: 0}}}
"""


def answered(value):
    return {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, value]}]}}


@asynccontextmanager
async def prometheus(mood):
    """A Prometheus in a mood; gives its address."""

    async def answer(request):
        match mood:
            case "slow":
                await asyncio.sleep(5)
            case "down":
                return web.Response(status=503)
            case "garbage":
                return web.Response(text="<html>sign in</html>", content_type="text/html")
        return web.json_response(answered("NaN" if mood == "NaN" else "1"))

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize("mood", ["down", "slow", "NaN", "garbage"])
async def test_a_prometheus_in_trouble_keeps_no_page_back(tmp_path, mood):
    async with (
        prometheus(mood) as address,
        pagerduty.stand_in(limit=None) as pager,
        relay(tmp_path, pager.url, RULES + FACTS.replace("{", "{{").replace("}", "}}")) as running,
    ):
        with (tmp_path / "relay.yaml").open("a") as settings:
            settings.write(f"prometheus: {{url: {address}}}\n")
        await running.start()
        book = Told()
        await storms(book, 1, "s", running)
        await hold(running, pager, book, "Prometheus is in trouble", f"{mood}, while severity asks for facts", LATE)
        worse = [i["severity"] for i in await running.incidents() if i["severity"] not in ("SEV-3", 3)]
        assert worse == []
