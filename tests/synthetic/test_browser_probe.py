"""The probe browser, in a real Chromium, against a small shop."""

import asyncio
import base64
import json
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner
from places import certificate, listening, silent
from playwright.async_api import async_playwright
from pydantic import TypeAdapter, ValidationError

from relay.cli import main
from relay.clock import WallClock
from relay.demo.processes import free_port
from relay.demo.programs import need
from synthetic.checks import Module, load
from synthetic.execute import execute
from synthetic.run import REASONS
from synthetic.server import Server, describe
from synthetic.worker import BROWSERS_AT_ONCE, Worker

MODULE = TypeAdapter(Module)
SECRET = "s3cret-of-the-probe"
SHOP = """<!doctype html><meta charset=utf-8><title>Shop</title>
<body style="margin:0;background:#00f">
<form action=/greet method=post><input name=user><input id=pass name=pass style="width:300px;height:40px">
<select name=size><option>small<option>large</select><button>Log in</button></form>
<p id=busy>Busy</p><script>setTimeout(() => document.querySelector('#busy').remove(), 50)</script>"""
LOG_IN = [
    {"name": "user", "fill": "input[name=user]", "with": "${user}"},
    {"name": "password", "fill": "#pass", "with": "${password}"},
    {"name": "size", "select": "select", "with": "large"},
    {"name": "ready", "gone": "text=Busy"},
]

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True, scope="module")
def chromium():
    need(["chromium"], print)


@pytest.fixture
async def shop():
    asked = []

    async def front(request):
        return web.Response(text=SHOP, content_type="text/html")

    async def greet(request):
        asked.append(dict(await request.post()))
        return web.Response(text=f"<h1>Hello {asked[-1]['user']}</h1>", content_type="text/html")

    async def broken(request):
        return web.Response(text="<script>throw new Error('the cart is gone')</script>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", front)
    app.router.add_post("/greet", greet)
    app.router.add_get("/broken", broken)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), asked


async def run(target, **more):
    result = await execute(MODULE.validate_python({"kind": "browser", "timeout": "20s", **more}), target, WallClock())
    assert result.reason in ("", *REASONS)
    return result


@pytest.fixture
def secrets(tmp_path):
    (tmp_path / "password").write_text(SECRET)
    return {"variables": {"user": "Ada Ä"}, "secrets": {"password": str(tmp_path / "password")}}


async def test_a_user_logs_in(shop, secrets):
    url, asked = shop
    steps = [*LOG_IN, {"name": "in", "click": "text=Log in"}, {"name": "hello", "see": "text=Hello ${user}"}]
    result = await run(url, steps=steps, **secrets)
    assert (result.reason, result.text) == ("", "")
    assert asked == [{"user": "Ada Ä", "pass": SECRET, "size": "large"}]
    assert SECRET not in str(result)
    taken = {labels for (name, labels), value in result.samples.items() if name == "probe_step_success" and value}
    assert taken == {f'step="{name}"' for name in ("open", "user", "password", "size", "ready", "in", "hello")}
    assert result.samples["probe_browser_duration_seconds", 'phase="load"'] > 0
    assert result.screenshot == b""


@pytest.mark.parametrize("written", ["${password}", "$password", "${password}$password"])
async def test_a_failure_leaves_a_screenshot_without_the_secret(shop, secrets, written):
    began = time.perf_counter()
    password = {"name": "password", "fill": "#pass", "with": written}
    steps = [LOG_IN[0], password, *LOG_IN[2:], {"name": "thanks", "see": "text=Thank you"}]
    result = await run(shop[0], timeout="6s", viewport={"width": 800, "height": 600}, steps=steps, **secrets)
    assert (result.reason, "the step thanks" in result.text) == ("timeout", True)
    assert time.perf_counter() - began < 7
    size, pixels = await look_at(result.screenshot)
    assert size == [800, 600]
    assert sum(blue > 200 and red < 60 for red, green, blue in pixels) > 2000  # the page
    assert sum(red > 200 and blue > 200 and green < 60 for red, green, blue in pixels) > 50  # what hides the secret


LOOK = """async (url) => {
    const image = new Image(); image.src = url; await image.decode();
    const canvas = new OffscreenCanvas(80, 60), at = canvas.getContext('2d');
    at.drawImage(image, 0, 0, 80, 60);
    return [[image.width, image.height], [...at.getImageData(0, 0, 80, 60).data]];
}"""


async def look_at(jpeg):
    """The size of a picture, and 80 x 60 of its pixels."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=str(need(["chromium"], print)["chromium"]))
        page = await browser.new_page()
        size, flat = await page.evaluate(LOOK, f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}")
        await browser.close()
    return size, [tuple(flat[i : i + 3]) for i in range(0, len(flat), 4)]


WALL = """
checks:
  - {name: wall, kind: browser, target: '%s', interval: 1m, timeout: 10s, steps: [{name: a, goto: nothing}]}
"""


async def test_screenshots_are_for_those_who_may_see_them(shop, tmp_path):
    (tmp_path / "probes.yaml").write_text(WALL % shop[0])
    worker = Worker(load(tmp_path), "fra", WallClock())
    ((check, result),) = await worker.run_now(["wall"])
    assert base64.b64decode(describe(check, result, "fra")["screenshot"]) == result.screenshot != b""
    server = Server(worker, "worker-token", lambda: None)
    bearer = {"Authorization": "Bearer worker-token"}
    async with TestClient(TestServer(server.build())) as client:
        assert (await client.get("/screenshot?id=1")).status == 401
        assert (await client.get("/screenshot?id=2", headers=bearer)).status == 404
        found = await client.get("/screenshot?id=1", headers=bearer)
        assert (found.content_type, await found.read()) == ("image/jpeg", result.screenshot)


async def test_a_screenshot_is_kept_in_a_file(shop, tmp_path):
    (tmp_path / "probes.yaml").write_text(WALL % shop[0])
    command = ["probe", "run", "wall", "--rules", str(tmp_path), "--screenshot", str(tmp_path / "seen.jpg")]
    found = await asyncio.to_thread(CliRunner().invoke, main, [*command, "-o", "json"])
    assert (found.exit_code, json.loads(found.output)["reason"]) == (1, "http_status")
    assert "screenshot" not in json.loads(found.output)
    assert (tmp_path / "seen.jpg").read_bytes().startswith(b"\xff\xd8")


async def test_few_browsers_run_at_a_time(tmp_path, monkeypatch):
    running = most = 0

    async def slow(keys, target, run):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1

    monkeypatch.setattr("synthetic.execute.probe_of", lambda kind: slow)
    one = "  - {name: b%d, kind: browser, target: 'http://127.0.0.1/', interval: 1m}\n"
    (tmp_path / "probes.yaml").write_text("checks:\n" + "".join(one % i for i in range(6)))
    worker = Worker(load(tmp_path), "fra", WallClock())
    results = await worker.run_now([f"b{i}" for i in range(6)])
    assert (len(results), most) == (6, BROWSERS_AT_ONCE)


@pytest.mark.parametrize(
    ("path", "more", "reason", "said"),
    [
        ("nothing", {}, "http_status", "in the step open: answers 404"),
        ("broken", {"page_errors": "fail"}, "page_error", "the cart is gone"),
        ("broken", {}, "", ""),
        ("", {"steps": [{"name": "a", "click": "input"}]}, "assertion", "resolved to 2 elements"),
        ("", {"steps": [{"name": "a", "click": "text=Nobody"}], "timeout": "8s"}, "timeout", "the step a"),
        ("", {"steps": [{"name": "b", "press": "Nokey"}]}, "assertion", "Unknown key"),
        ("", {"steps": [{"name": "b", "goto": "/nothing"}]}, "http_status", "in the step b"),
    ],
)
async def test_what_pages_do(shop, path, more, reason, said):
    result = await run(shop[0] + path, **more)
    assert (result.reason, said in result.text) == (reason, True), result.text
    assert bool(result.screenshot) == bool(reason)
    if path == "broken":
        assert result.samples["probe_browser_page_errors", ""] == 1


async def test_what_networks_do(tmp_path):
    assert (await run(f"http://127.0.0.1:{free_port()}/")).reason == "connect_refused"
    assert (await run("http://nowhere.invalid/")).reason == "dns_nxdomain"
    context, _ = certificate(tmp_path, "localhost")

    async def page(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()

    async with listening(page, context) as port:
        assert (await run(f"https://localhost:{port}/")).reason == "tls_untrusted"
        assert (await run(f"https://localhost:{port}/", verify_certificates=False)).success
    async with listening(silent) as port:
        assert (await run(f"http://127.0.0.1:{port}/", timeout="4s")).reason == "timeout"


async def test_without_chromium_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setenv("RELAY_CHROMIUM", "/nowhere/chromium")
    result = await run("http://127.0.0.1:1/")
    assert (result.reason, "does not start" in result.text) == ("unsupported", True)
    monkeypatch.delenv("RELAY_CHROMIUM")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install chromium" in (await run("http://127.0.0.1:1/")).text


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"name": "a", "click": "b", "see": "c"}, "write one of goto"),
        ({"name": "a", "fill": "b"}, '"with"'),
        ({"name": "a", "see": "${b}"}, "nothing is called"),
    ],
)
def test_mistakes_are_told(step, said):
    with pytest.raises(ValidationError, match=said):
        MODULE.validate_python({"kind": "browser", "steps": [step]})
