"""The engine's loop: who says that there is something to do, within how long, is heard in time."""

import asyncio
import time

import pytest

from relay.clock import WallClock
from relay.engine.dispatch import Dispatch
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
