"""The engine's loop: who says that there is something to do, within how long, is heard in time."""

import asyncio
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.clock import WallClock
from relay.engine.dispatch import LANE, Dispatch
from relay.engine.intake import Intake
from relay.engine.loop import Loop
from relay.engine.metrics import Metrics
from relay.engine.pace import Pace
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.store.database import open_database


@pytest.fixture
def loop(tmp_path):
    writer, clock, metrics = Writer(open_database(f"sqlite:///{tmp_path}/relay.db")), WallClock(), Metrics()
    dispatch = Dispatch(lambda: {}, Pace(lambda: {}, time.monotonic), clock, metrics)
    rules = Rules(root=None, policies={})
    yield Loop(writer, Intake(), dispatch, lambda: rules, clock, metrics)
    writer.close()


@pytest.mark.parametrize("first", [0.0001, 0.0004, 0.0006, 0.02, 5.0])
@pytest.mark.parametrize("second", [0.0001, 0.0004, 0.0006, 0.02, 5.0])
async def test_of_two_who_can_wait_the_one_that_can_wait_less_is_waited_for(loop, first, second):
    began = time.monotonic()
    loop.nudge_within(first)
    loop.nudge_within(second)
    if min(first, second) < 1:
        async with asyncio.timeout(1):
            await loop._nudged.wait()
        assert time.monotonic() - began > min(first, second) - 0.002
    else:
        await asyncio.sleep(0.05)
        assert not loop._nudged.is_set()


async def test_what_cannot_wait_is_seen_at_once(loop):
    loop.nudge_within(5.0)
    loop.nudge_within(0.0)
    assert loop._nudged.is_set()


async def test_pagers_that_hang_take_no_connection_from_one_that_is_well(loop, monkeypatch):
    sessions = []
    monkeypatch.setattr(loop._dispatch, "start", lambda *given: sessions.append(given[-1]))

    async def answer(request):
        await asyncio.sleep(60 if request.path == "/hangs" else 0)
        return web.Response()

    app = web.Application()
    app.router.add_get("/{any}", answer)
    async with TestServer(app) as server, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(loop.run())
        while not sessions:
            await asyncio.sleep(0.01)
        hanging = [tasks.create_task(sessions[0].get(server.make_url("/hangs"))) for _ in range(4 * LANE)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(2), sessions[0].get(server.make_url("/well")) as answered:
            assert answered.status == 200
        for task in hanging:
            task.cancel()
        loop.stop()
        await running
