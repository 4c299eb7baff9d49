"""A source is slow to answer: what webhooks tell meanwhile is newer than its answer."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from service import service
from test_reconciling import a_told, incidents, source, until

from relay.demo.standins import pagerduty

pytestmark = pytest.mark.servers

EARLIER, LATER = "2026-01-07T11:58:00Z", "2026-01-07T12:30:00Z"


class Slow:
    """Stands before an Alertmanager, and holds back what is asked for after the alerts."""

    def __init__(self, alertmanager):
        self.alertmanager, self.holds = alertmanager, False
        self.held, self.goes_on = asyncio.Event(), asyncio.Event()

    async def answer(self, request):
        if request.path == "/api/v2/status" and self.holds:
            self.held.set()
            await self.goes_on.wait()
        return await self.alertmanager.answer(request)

    async def hold(self):
        self.holds = True
        await self.held.wait()

    def go_on(self):
        self.holds = False
        self.goes_on.set()


@pytest.fixture
async def slow(alertmanagers):
    there = Slow(alertmanagers[0])
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", there.answer)
    async with TestServer(app) as server:
        there.url = str(server.make_url("")).rstrip("/")
        yield there
        there.go_on()


def tell(relay, starts):
    return relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [a_told(startsAt=starts)]})


async def test_what_fires_anew_while_its_source_answers_is_not_taken_as_ended(tmp_path, slow):
    patient = source(slow.url, absent_after="1s", missed_after="20s")
    async with pagerduty.stand_in() as vendor, service(tmp_path, vendor.url, source=patient) as relay:
        await tell(relay, EARLIER)
        await until(incidents(relay, "triggered"))
        await asyncio.sleep(0.7)  # it is gone there, and no message told its end
        await slow.hold()
        await asyncio.sleep(0.6)
        slow.alertmanager.fires()
        slow.alertmanager.alerts["HighErrorRate"]["startsAt"] = LATER
        await tell(relay, LATER)
        slow.go_on()
        await asyncio.sleep(1)
        assert await incidents(relay, "triggered")()


async def test_a_silence_that_ends_while_its_source_answers_closes_no_page(tmp_path, slow):
    slow.alertmanager.fires(muted="5ec75ec7-0000")
    patient = source(slow.url, missed_after="20s", absent_after="20s")
    async with pagerduty.stand_in() as vendor, service(tmp_path, vendor.url, source=patient) as relay:
        await asyncio.sleep(0.3)
        await slow.hold()
        slow.alertmanager.fires()
        await tell(relay, EARLIER)
        await until(incidents(relay, "triggered"))
        await until(lambda: asyncio.sleep(0, vendor.open_keys()))
        slow.go_on()
        await asyncio.sleep(1)
        assert len(vendor.pages()) == len(vendor.open_keys()) == 1


async def test_an_absence_lasts_from_answer_to_question(tmp_path, slow):
    patient = source(slow.url, absent_after="2s", missed_after="20s")
    async with pagerduty.stand_in() as vendor, service(tmp_path, vendor.url, source=patient) as relay:
        slow.alertmanager.fires()
        await tell(relay, EARLIER)
        await until(incidents(relay, "triggered"))
        await asyncio.sleep(0.3)
        asked = len(slow.alertmanager.asked)
        slow.alertmanager.alerts.clear()  # a restart, say: Prometheus tells it again in a second
        await until(lambda: asyncio.sleep(0, len(slow.alertmanager.asked) >= asked + 8))
        await slow.hold()
        slow.alertmanager.fires()
        await asyncio.sleep(2)
        slow.go_on()
        await asyncio.sleep(0.5)
        assert await incidents(relay, "triggered")()
