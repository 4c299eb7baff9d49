"""Alertmanager is asked, and what it shows finds its way to the pager: over real sockets, in the whole service."""

import asyncio
from datetime import timedelta

import pytest
from service import service
from world import told

from relay.clock import WallClock
from relay.demo.monitoring import alertmanager
from relay.demo.programs import need
from relay.demo.standins import pagerduty
from relay.integrations.alertmanager import fingerprint

pytestmark = pytest.mark.servers


def source(*urls, **more):
    patience = {"missed_after": "0s", "absent_after": "0s"}
    return {"alertmanager": {"urls": urls, "receiver": "relay", "every": "100ms", **patience, **more}}


async def until(condition, seconds=8):
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.05)
        return found


def incidents(relay, phase):
    async def ask():
        _, listed = await relay.ask("GET", f"/api/v1/incidents?phase={phase}", role="viewer")
        return listed["incidents"]

    return ask


async def timeline(relay, id_="INC-1"):
    _, shown = await relay.ask("GET", f"/api/v1/incidents/{id_}", role="viewer")
    return [entry["text"] for entry in shown["timeline"]]


async def metric(relay, name):
    _, text = await relay.ask("GET", "/metrics")
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def a_told(**more):
    labels = {"alertname": "HighErrorRate", "service": "checkout"}
    return {**told(), "labels": labels, "fingerprint": fingerprint(labels), **more}


@pytest.fixture
async def vendor():
    async with pagerduty.stand_in() as standing:
        yield standing


async def test_what_no_webhook_tells_of_is_raised_and_paged(tmp_path, alertmanagers, vendor):
    one, two = alertmanagers
    two.fires()
    two.fires("NotOurs", receiver="chat")
    async with service(tmp_path, vendor.url, source=source(one.url, two.url)) as relay:
        [incident] = await until(incidents(relay, "triggered"))
        assert incident["started_at"].startswith("2026-01-07T11:58:00")
        assert "HighErrorRate fired; no message has told of it, its source was asked" in await timeline(relay)
        assert await metric(relay, "relay_reconciled_alerts_total") == 1
        assert len(await incidents(relay, "all")()) == 1


async def test_what_is_gone_at_every_member_is_over_without_a_time_of_recovery(tmp_path, alertmanagers, vendor):
    one, two = alertmanagers
    two.fires()
    async with service(tmp_path, vendor.url, source=source(one.url, two.url)) as relay:
        await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [a_told()]})
        await until(incidents(relay, "triggered"))
        asked = len(one.asked)
        await until(lambda: asyncio.sleep(0, len(one.asked) > asked + 6))
        assert await incidents(relay, "triggered")()  # one member still shows it
        two.alerts.clear()
        await until(incidents(relay, "resolved"))
        assert "1 alert gone from its source, which has told of no end" in await timeline(relay)
        await until(lambda: asyncio.sleep(0, not vendor.open_keys()))


@pytest.mark.parametrize("trouble", ["away", "broken", "garbage", "proxy", "young", "half"])
async def test_a_source_that_cannot_be_asked_ends_nothing(tmp_path, alertmanagers, vendor, trouble):
    one, two = alertmanagers
    match trouble:
        case "away":
            one.url = "http://127.0.0.1:9"
        case "broken":
            one.status = 503
        case "garbage":
            one.garbage = '{"alerts": 5}'
        case "proxy":
            one.garbage = "<html>log in</html>"
        case "young":
            one.up_since = WallClock().now()
        case "half":
            one.fires()
            one.alerts["HighErrorRate"]["labels"] = 5
    patient = {"absent_after": "2s"} if trouble == "young" else {}
    async with service(tmp_path, vendor.url, source=source(one.url, two.url, **patient)) as relay:
        await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [a_told()]})
        await until(incidents(relay, "triggered"))
        one.up_since = WallClock().now()
        asked = len(two.asked)
        await until(lambda: asyncio.sleep(0, len(two.asked) > asked + 5))
        assert await incidents(relay, "triggered")()
        failures = await metric(relay, "relay_reconcile_failures_total")
        assert failures == 0 if trouble == "young" else failures >= 1


async def test_a_silence_there_holds_here_and_pages_again_when_it_ends(tmp_path, alertmanagers, vendor):
    one, _ = alertmanagers
    one.fires()
    async with service(tmp_path, vendor.url, source=source(one.url)) as relay:
        await until(incidents(relay, "triggered"))
        await until(lambda: asyncio.sleep(0, vendor.open_keys()))
        one.fires(muted="5ec75ec7-0000")
        await until(incidents(relay, "held"))
        assert "silence 5ec75ec7 in Alertmanager by ana: planned work" in " ".join(await timeline(relay))
        await until(lambda: asyncio.sleep(0, not vendor.open_keys()))
        one.fires()
        await until(incidents(relay, "triggered"))
        assert await until(lambda: asyncio.sleep(0, vendor.open_keys())) == {"INC-1/1.1/L1/ada"}


async def test_what_ends_under_a_silence_pages_nobody(tmp_path, alertmanagers, vendor):
    one, _ = alertmanagers
    one.fires()
    async with service(tmp_path, vendor.url, source=source(one.url, absent_after="1s")) as relay:
        await until(incidents(relay, "triggered"))
        await until(lambda: asyncio.sleep(0, vendor.open_keys()))
        one.fires(muted="5ec75ec7-0000")
        await until(incidents(relay, "held"))
        one.ends()
        await until(incidents(relay, "resolved"))
        assert len(vendor.pages()) == 1


async def test_a_receiver_that_is_not_there_ends_nothing(tmp_path, alertmanagers, vendor):
    one, _ = alertmanagers
    one.fires()
    async with service(tmp_path, vendor.url, source=source(one.url, receiver="realy")) as relay:
        await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [a_told()]})
        await until(incidents(relay, "triggered"))
        asked = len(one.asked)
        await until(lambda: asyncio.sleep(0, len(one.asked) > asked + 10))
        assert await incidents(relay, "triggered")()
        assert await metric(relay, "relay_reconcile_failures_total") >= 1


async def test_one_alert_that_cannot_be_used_proves_no_end_and_loses_no_other(tmp_path, alertmanagers, vendor):
    one, _ = alertmanagers
    one.fires()
    one.fires("Odd")
    one.alerts["Odd"]["labels"] = 5
    async with service(tmp_path, vendor.url, source=source(one.url)) as relay:
        await until(incidents(relay, "triggered"))  # nobody has told of it but the list
        one.ends()
        asked = len(one.asked)
        await until(lambda: asyncio.sleep(0, len(one.asked) > asked + 10))
        assert await incidents(relay, "triggered")()
        assert await metric(relay, "relay_reconcile_failures_total") >= 1
        one.ends("Odd")
        await until(incidents(relay, "resolved"))


async def test_what_is_silenced_and_unknown_is_counted(tmp_path, alertmanagers):
    one, _ = alertmanagers
    one.fires(muted="5ec75ec7-0000")
    async with service(tmp_path, source=source(one.url)) as relay:
        await until(lambda: metric(relay, 'relay_reconcile_quiet_alerts{source="prod"} 1.0'))
        assert await incidents(relay, "all")() == []


async def test_a_real_alertmanager_is_understood(tmp_path, vendor):
    """Relay was down when it fired; Alertmanager silences it; it ends while Relay cannot be reached."""
    program = need(["prometheus-alertmanager"], print)["prometheus-alertmanager"]
    async with alertmanager(program, tmp_path / "am", "http://127.0.0.1:9/nobody", "x") as address:
        url = f"http://{address}"
        async with service(tmp_path, vendor.url, source=source(url)) as relay:

            async def say(path, body):
                async with relay.client.post(url + path, json=body) as answer:
                    assert answer.status == 200
                    return await answer.json() if path.endswith("silences") else None

            def alert(**more):
                return [
                    {"labels": {"alertname": "Down", "service": "shop"}, "annotations": {"summary": "down"}, **more}
                ]

            await say("/api/v2/alerts", alert())
            await until(incidents(relay, "triggered"))
            now = WallClock().now()
            matcher = {"name": "alertname", "value": "Down", "isRegex": False, "isEqual": True}
            times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(seconds=4)).isoformat()}
            await say("/api/v2/silences", {"matchers": [matcher], **times, "createdBy": "ana", "comment": "deploy"})
            await until(incidents(relay, "held"))
            await until(incidents(relay, "triggered"), 15)
            await say("/api/v2/alerts", alert(endsAt=WallClock().now().isoformat()))
            await until(incidents(relay, "resolved"), 15)
