"""A clock that is set back while something waits."""

import asyncio
from datetime import timedelta

import pytest
from playbook import NOON
from service import service
from world import told

from relay.clock import ManualClock
from relay.demo.standins import pagerduty
from relay.engine.set_back import Steps

pytestmark = pytest.mark.servers


def test_only_a_step_back_of_some_seconds_counts():
    clock = ManualClock(NOON)
    steps = Steps(clock)
    for seconds, back in ((60, 0), (-4, 0), (3600, 0), (-3600, 3600), (10, 0)):
        clock.advance(timedelta(seconds=seconds))
        assert steps.back() == timedelta(seconds=back)
        assert not steps.back()


async def test_an_escalation_waits_no_longer_because_the_clock_was_set_back(tmp_path):
    clock = ManualClock(NOON)
    async with pagerduty.stand_in() as pager, service(tmp_path, pager.url, clock=clock) as relay:
        await relay.post({"version": "4", "groupKey": "g", "alerts": [told()]})
        await rung(pager, "INC-1/1.0/L1/")
        clock.advance(timedelta(minutes=-90))
        async with asyncio.timeout(20):
            while "relay_clock_set_back_total 1.0" not in (await relay.ask("GET", "/metrics"))[1]:
                await asyncio.sleep(0.02)
        clock.advance(timedelta(minutes=59))
        await relay.post({"version": "4", "groupKey": "g", "alerts": [told(service="other")]})
        await rung(pager, "INC-2/")
        assert len(pager.pages()) == 2
        clock.advance(timedelta(minutes=2))
        await rung(pager, "INC-1/1.0/L2/")


async def rung(pager, part):
    async with asyncio.timeout(20):
        while not [key for key in pager.pages() if part in key]:
            await asyncio.sleep(0.02)
