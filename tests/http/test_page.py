"""The page of an incident: who may see it, that it does what it is told by nobody, and that a phone shows it."""

import asyncio
import base64

import pytest
from playwright.async_api import async_playwright
from service import TOKENS, service
from world import told

from relay.demo.programs import need

PAGE = "/incidents/INC-1"
ODD = "<script>document.title = 'taken'</script>\"' onmouseover=x"


def by_password(secret):
    return {"Authorization": "Basic " + base64.b64encode(f"me:{secret}".encode()).decode()}


def alert():
    annotations = {
        "summary": f"7 % of requests fail {ODD}",
        "runbook_url": "https://wiki.example.com/r?a=1&b=2",
        "dashboard_url": "javascript:alert(1)",
    }
    labels = {"alertname": "HighErrorRate", "service": "checkout", "pod": "checkout-" + "x" * 200, "note": ODD}
    return {**told(), "labels": labels, "annotations": annotations}


@pytest.fixture
async def relay(tmp_path):
    async with service(tmp_path) as running:
        await running.post({"version": "4", "groupKey": "{}:{}", "alerts": [alert()]})
        async with asyncio.timeout(5):
            while (await running.ask("GET", PAGE, role="viewer"))[0] != 200:
                await asyncio.sleep(0.01)
        yield running


async def test_a_browser_is_asked_for_a_token_and_may_read_nothing_but_the_page_with_it(relay):
    url = f"http://127.0.0.1:{relay.running.address[1]}"
    for headers in ({}, by_password("wrong"), by_password(""), {"Authorization": "Basic !!"}):
        async with relay.client.get(url + PAGE, headers=headers) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"][:6]) == (401, "Basic ")
    async with relay.client.get(url + PAGE, headers=by_password(TOKENS["viewer"])) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
        assert answer.headers["Cache-Control"] == "no-store"
    for method, path in (("GET", "/api/v1/incidents/INC-1"), ("POST", "/api/v1/incidents/INC-1/ack")):
        status, _ = await relay.ask(method, path, headers=by_password(TOKENS["admin"]))
        assert status == 401, "a browser sends its password with what another site lets it ask for"


async def test_what_alerts_say_is_text(relay):
    _, shown = await relay.ask("GET", PAGE, role="viewer")
    assert "<script" not in shown
    assert "&lt;script&gt;document.title" in shown
    assert 'href="https://wiki.example.com/r?a=1&amp;b=2"' in shown
    assert "javascript:alert" not in shown


async def test_an_alert_without_a_name_is_shown_by_its_fingerprint(relay):
    nameless = {**told(service="search", items="5"), "annotations": {}}
    del nameless["labels"]["alertname"]
    await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [nameless]})
    async with asyncio.timeout(5):
        while (found := await relay.ask("GET", "/incidents/INC-2", role="viewer"))[0] == 404:
            await asyncio.sleep(0.01)
    _, told_ = await relay.ask("GET", "/api/v1/incidents/INC-2", role="viewer")
    assert found[0] == 200
    assert f"<h3>{told_['alerts'][0]['fingerprint']}</h3>" in found[1]
    assert "items=5" in found[1]


@pytest.mark.parametrize("id_", ["INC-9", "INC-%00", "nonsense", "INC-" + "9" * 40])
async def test_what_is_no_incident_is_404(relay, id_):
    assert (await relay.ask("GET", f"/incidents/{id_}", role="viewer"))[0] == 404


@pytest.mark.servers
async def test_a_phone_shows_it(relay, tmp_path):
    chromium = str(need(["chromium"], print)["chromium"])
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium)
        context = await browser.new_context(
            viewport={"width": 390, "height": 844},
            device_scale_factor=2,
            http_credentials={"username": "ada", "password": TOKENS["viewer"]},
        )
        shown = await context.new_page()
        complaints = []
        shown.on("console", lambda message: complaints.append(message.text))
        await shown.goto(f"http://127.0.0.1:{relay.running.address[1]}{PAGE}")
        assert await shown.title() != "taken"
        assert "HighErrorRate (1 alert fires, since " in await shown.inner_text("h1")
        assert "relay incident ack INC-1" in await shown.inner_text("dl")
        assert await shown.get_by_text("paged Ada through pd-ada").count() == 1
        colour = "el => getComputedStyle(el).backgroundColor"
        assert await shown.eval_on_selector("header", colour) == "rgb(179, 38, 30)", "the style is not taken"
        assert await shown.evaluate("document.documentElement.scrollWidth") == 390, "it must not scroll sideways"
        assert complaints == []
        await shown.screenshot(path=tmp_path / "phone.png", full_page=True)
        await browser.close()
