"""The dead man's switch and the sign of life, in the whole service with a clock that is set by hand."""

import asyncio
import time
from datetime import timedelta
from threading import Event

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playbook import NOON
from service import service
from test_reconciling import incidents, metric, until

from relay.clock import ManualClock
from relay.demo.standins import pagerduty
from relay.store.reading import firing_of

pytestmark = pytest.mark.servers

WATCHDOG = {"labels": {"alertname": "Watchdog"}, "status": "firing", "startsAt": "2026-01-01T00:00:00Z"}


@pytest.fixture
def clock():
    return ManualClock(NOON)


async def beat(relay):
    assert (await relay.post({"version": "4", "groupKey": "w", "alerts": [WATCHDOG]}))[0] == 200


async def test_a_silent_watchdog_pages_and_a_loud_one_ends_it(tmp_path, clock):
    watched = {"watchdog_within": "5m"}
    async with (
        pagerduty.stand_in() as vendor,
        service(tmp_path, vendor.url, source=watched, clock=clock) as relay,
    ):
        await beat(relay)
        clock.advance(timedelta(minutes=4))
        await asyncio.sleep(1.2)
        assert await incidents(relay, "all")() == []
        clock.advance(timedelta(minutes=2))
        [incident] = await until(incidents(relay, "triggered"))
        assert "RelayWatchdogSilent" in incident["title"]
        await beat(relay)
        await until(incidents(relay, "resolved"))


async def test_a_beat_that_comes_during_a_slow_look_counts_from_when_it_came(tmp_path, clock, monkeypatch):
    looking = Event()

    def slow_at_first(connection, source):
        if not looking.is_set():
            looking.set()
            time.sleep(1)
        return firing_of(connection, source)

    monkeypatch.setattr("relay.engine.watchdogs.firing_of", slow_at_first)
    async with service(tmp_path, source={"watchdog_within": "5m"}, clock=clock) as relay:
        await until(lambda: asyncio.sleep(0, looking.is_set()))
        await beat(relay)
        clock.advance(timedelta(minutes=4))
        await asyncio.sleep(2.5)
        clock.advance(timedelta(minutes=2))
        await until(incidents(relay, "triggered"))


async def test_a_restart_proves_no_watchdog(tmp_path, clock):
    watched = {"watchdog_within": "5m"}
    async with pagerduty.stand_in() as vendor:
        async with service(tmp_path, vendor.url, source=watched, clock=clock) as relay:
            await beat(relay)
            clock.advance(timedelta(minutes=7))
            await until(incidents(relay, "triggered"))
            await until(lambda: asyncio.sleep(0, vendor.open_keys()))
        clock.advance(timedelta(seconds=10))
        async with service(tmp_path, vendor.url, source=watched, clock=clock) as relay:
            await asyncio.sleep(1.5)
            clock.advance(timedelta(minutes=6))
            await asyncio.sleep(1.5)
            assert len(await incidents(relay, "triggered")()) == 1
            assert len(vendor.pages()) == len(vendor.open_keys()) == 1
            await beat(relay)
            await until(incidents(relay, "resolved"))


async def test_what_relay_could_not_hear_while_it_was_down_is_no_silence(tmp_path, clock):
    async with service(tmp_path, source={"watchdog_within": "5m"}, clock=clock) as relay:
        await beat(relay)
    clock.advance(timedelta(hours=1))
    async with service(tmp_path, source={"watchdog_within": "5m"}, clock=clock) as relay:
        await asyncio.sleep(1.5)
        assert await incidents(relay, "all")() == []
        clock.advance(timedelta(minutes=6))
        await until(incidents(relay, "triggered"))


async def test_a_clock_that_is_set_forward_is_no_silence(tmp_path, clock):
    async with service(tmp_path, source={"watchdog_within": "5m"}, clock=clock) as relay:
        await beat(relay)
        await asyncio.sleep(1.2)
        clock.step(timedelta(hours=1))
        await asyncio.sleep(1.5)
        assert await incidents(relay, "all")() == []


async def test_a_clock_that_is_set_back_hides_none(tmp_path, clock):
    async with service(tmp_path, source={"watchdog_within": "5m"}, clock=clock) as relay:
        await beat(relay)
        await asyncio.sleep(1.2)
        clock.step(timedelta(hours=-1))
        clock.advance(timedelta(minutes=6))
        await until(incidents(relay, "triggered"))
        await beat(relay)
        await until(incidents(relay, "resolved"))


async def test_a_silence_that_somebody_has_seen_to_does_not_page_twice(tmp_path, clock):
    async with service(tmp_path, source={"watchdog_within": "3m"}, clock=clock) as relay:
        clock.advance(timedelta(minutes=4))
        await until(incidents(relay, "triggered"))
        await relay.ask("POST", "/api/v1/incidents/INC-1/resolve", {}, role="responder")
        await asyncio.sleep(1.5)
        assert len(await incidents(relay, "all")()) == 1
        assert await incidents(relay, "triggered")() == []


@pytest.fixture
async def listener():
    """Somebody outside who waits for Relay's sign of life."""
    heard, status = [], [200]

    async def hear(request):
        heard.append((request.method, request.path, request.headers.get("Authorization"), await request.text()))
        return web.Response(status=status[0])

    app = web.Application()
    app.router.add_route("*", "/{key}", hear)
    server = TestServer(app)
    await server.start_server()
    yield heard, status, str(server.make_url("/s3cret-key"))
    await server.close()


async def test_a_sign_of_life_is_given_and_a_refusal_counted_without_the_address(tmp_path, listener, capfd):
    heard, status, url = listener
    (tmp_path / "beat").write_text(url)
    async with service(tmp_path, heartbeat={"url_file": str(tmp_path / "beat"), "every": "1s"}) as relay:
        await until(lambda: asyncio.sleep(0, len(heard) >= 1))
        status[0] = 500
        await until(lambda: metric(relay, "relay_heartbeat_failures_total"))
    assert set(heard) == {("GET", "/s3cret-key", None, "")}
    written = capfd.readouterr()
    assert "no heartbeat" in written.err
    assert "s3cret" not in written.out + written.err


async def test_a_sign_of_life_can_be_authorized_and_posted(tmp_path, listener):
    heard, _, url = listener
    secrets = {"url_file": url, "authorization_file": "GenieKey k3y", "body_file": '{"routing_key": "r"}'}
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret + "\n")
    told = {name: str(tmp_path / name) for name in secrets}
    async with service(tmp_path, heartbeat={**told, "method": "POST", "every": "1s"}):
        await until(lambda: asyncio.sleep(0, len(heard) >= 1))
    assert set(heard) == {("POST", "/s3cret-key", "GenieKey k3y", '{"routing_key":"r"}')}
