"""Since when the condition behind an incident is true, asked of a Prometheus."""

import asyncio
import json
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playbook import NOON, Playbook, an_alert
from service import service
from world import told

from relay.clock import WallClock
from relay.engine.conditions import date
from relay.incident.events import ConditionDated
from relay.integrations.courier import Again
from relay.integrations.prometheus_alerts import Active, PrometheusAlerts


def ago(seconds, **labels):
    return Active(labels, NOON - timedelta(seconds=seconds))


LABELS = {"alertname": "A", "service": "checkout", "cluster": "eu", "instance": "a:1"}


@pytest.mark.parametrize(
    ("active", "seconds"),
    [
        ([ago(60, alertname="A", service="checkout")], 60),  # "cluster" is an external label
        ([ago(60, alertname="A", service="checkout"), ago(30, alertname="A", service="checkout")], 60),  # a pair
        ([ago(90, alertname="A"), ago(60, alertname="A", service="checkout", instance="a:1")], 60),
        ([ago(60, alertname="A", service="search")], None),
        ([ago(60, alertname="B", service="checkout")], None),
        ([ago(60, alertname="A", service="checkout", instance="b:1")], None),
        ([], None),
    ],
)
def test_an_alert_is_found_by_the_labels_that_prometheus_shows(active, seconds):
    incident = Playbook().fires(an_alert("A", **LABELS)).incident
    source = next(iter(incident.alerts))[0]
    expected = {} if seconds is None else {incident.id: NOON - timedelta(seconds=seconds)}
    assert date([incident], source, active) == expected
    assert date([incident], "another", active) == {}


def test_the_first_condition_counts_and_the_next_episode_begins_anew():
    story = Playbook().fires(an_alert("A")).when(ConditionDated(NOON - timedelta(minutes=2)))
    story.when(ConditionDated(NOON - timedelta(minutes=5))).when(ConditionDated(NOON - timedelta(minutes=1)))
    assert story.incident.condition_since == NOON - timedelta(minutes=5)


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        '{"data": {"alerts": [{"labels": {}, "state": "firing"}]}}',
        '{"data": {"alerts": [{"labels": {}, "state": "firing", "activeAt": "soon"}]}}',
        '{"data": {"alerts": [{"labels": 3, "state": "firing", "activeAt": "2026-01-07T12:00:00Z"}]}}',
    ],
)
async def test_an_answer_that_is_none_is_no_answer(body):
    app = web.Application()

    async def alerts(request):
        return web.Response(text=body)

    app.router.add_get("/api/v1/alerts", alerts)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        with pytest.raises(Again, match="is not understood"):
            await PrometheusAlerts(str(server.make_url("/")).rstrip("/")).ask(session)


@pytest.mark.servers
async def test_the_timeline_says_when_it_began(tmp_path):
    since = WallClock().now().replace(microsecond=0) - timedelta(minutes=3)
    alert = told()
    app = web.Application()
    asked = []

    async def alerts(request):
        asked.append(request.headers.get("Authorization"))
        shown = {name: value for name, value in alert["labels"].items() if name != "cluster"}
        written = since.isoformat().replace("+00:00", ".123456789Z")
        pending = {"labels": shown, "state": "pending", "activeAt": "2020-01-01T00:00:00Z"}
        firing = {"labels": shown, "state": "firing", "activeAt": written, "value": "1e+00"}
        return web.Response(text=json.dumps({"data": {"alerts": [pending, firing]}}))

    app.router.add_get("/api/v1/alerts", alerts)
    (tmp_path / "prometheus").write_text("prom-token")
    async with TestServer(app) as server:
        found = {"urls": ["http://127.0.0.1:9", str(server.make_url("/"))], "every": "100ms"}
        source = {"prometheus": {**found, "token_file": str(tmp_path / "prometheus")}}
        async with service(tmp_path, source=source) as relay:
            await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [alert]})
            async with asyncio.timeout(10):
                while True:
                    status, shown = await relay.ask("GET", "/api/v1/incidents/INC-1", role="viewer")
                    if status == 200 and shown["condition_since"]:
                        break
                    await asyncio.sleep(0.02)
            assert shown["condition_since"].startswith(f"{since:%Y-%m-%dT%H:%M:%S}")
            assert any(entry["text"].startswith("Prometheus says that it began at") for entry in shown["timeline"])
            times = len(asked)
            await asyncio.sleep(0.5)
            assert len(asked) <= times + 1  # what is known is not asked for again
    assert set(asked) == {"Bearer prom-token"}
