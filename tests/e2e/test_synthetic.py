"""Three locations, a real Prometheus with the shipped rules, a real Alertmanager, Relay: who is paged for what.

The rules are those of rules/prometheus, with waits of seconds instead of minutes.
"""

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from service import HOOK, service
from service import RULES as RULES_OF_RELAY

from relay.demo.monitoring import alertmanager, prometheus
from relay.demo.processes import free_port, process
from relay.demo.programs import need
from relay.demo.standins import pagerduty

pytestmark = pytest.mark.servers

RULES = Path(__file__).parents[2] / "rules" / "prometheus" / "synthetic.rules.yml"
LOCATIONS = ("ap", "eu", "us")
PATIENCE = 300
"""Looks, five a second."""
SERVERS = ("shop", "db", "control")
PROBES = """
locations: [ap, eu, us]
checks:
  - name: page
    kind: http
    target: http://127.0.0.1:{shop}/
    service: checkout
    body_matches: [fine]
    depends_on: [db]
    {fast}
  - name: db
    kind: tcp
    target: 127.0.0.1:{db}
    service: checkout
    layer: database
    conversation: [{{expect: ready}}]
    {fast}
  - {{name: control, kind: tcp, target: "127.0.0.1:{control}", role: control, {quick}, conversation: [{hello}]}}
"""
QUICK = "interval: 1s, timeout: 500ms, confirm: {after: [100ms, 200ms]}"


class Way:
    """How one location reaches one server: through a forwarder whose mood a test sets."""

    def __init__(self, server):
        self._server = server
        self.mood = "well"

    async def serve(self, reader, writer):
        try:
            if self.mood == "hole":
                await asyncio.sleep(5)
            elif self.mood == "well":
                await self._server(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Shop:
    """A page, which needs a database, and something outside that everybody can reach."""

    def __init__(self):
        self.answer, self.greeting = b"fine", b"ready\n"
        self.ways = {
            (place, what): Way(getattr(self, what)) for place in LOCATIONS for what in ("shop", "db", "control")
        }

    async def shop(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(self.answer), self.answer))
        await writer.drain()

    async def db(self, reader, writer):
        writer.write(self.greeting)
        await writer.drain()

    async def control(self, reader, writer):
        writer.write(b"hello\n")
        await writer.drain()

    def at(self, place, mood, *what):
        for one in what:
            self.ways[place, one].mood = mood


def hurried(rules):
    """The shipped rules, in seconds."""
    text = rules.replace("interval: 15s", "interval: 1s").replace("keep_firing_for: 2m", "keep_firing_for: 3s")
    return re.sub(r"\bfor: (30s|1m|2m)\b", "for: 3s", text)


class World:
    """Everything that runs, and what came of it."""

    def __init__(self, shop, relay, vendor):
        self.shop, self.relay, self.vendor = shop, relay, vendor

    async def pages(self):
        """What was on the phones: title, and text."""
        asked = [entry.body["payload"] for entry in self.vendor.journal if entry.action == "trigger"]
        return [f"{payload['summary']}: {payload['custom_details']}" for payload in asked]

    async def until_paged(self, *parts):
        for _ in range(PATIENCE):
            pages = await self.pages()
            if any(all(part in page for part in parts) for page in pages):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"nobody was paged with {parts}, but with: {pages}")

    async def until_over(self):
        for _ in range(PATIENCE):
            _, found = await self.relay.ask("GET", "/api/v1/incidents?phase=triggered,held", role="viewer")
            if not found["incidents"]:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"it is not over: {await self.pages()}")


@pytest.fixture
async def world(tmp_path):
    programs = need(["prometheus", "prometheus-alertmanager"], print)
    shop = Shop()
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(pagerduty.stand_in(limit=None))
        apart = RULES_OF_RELAY.replace("group_by: [service]", "group_by: [service, alertname]")
        relay = await stack.enter_async_context(service(tmp_path, vendor.url, rules=apart))
        hook = f"http://127.0.0.1:{relay.running.address[1]}/api/v1/webhooks/alertmanager/prod"
        receiver = alertmanager(programs["prometheus-alertmanager"], tmp_path / "am", hook, HOOK)
        workers = {place: await worker(stack, tmp_path, shop, place) for place in LOCATIONS}
        rules = tmp_path / "synthetic.rules.yml"
        rules.write_text(hurried(RULES.read_text()))
        am = await stack.enter_async_context(receiver)
        targets = {f"relay-synthetic-{place}": address for place, address in workers.items()}
        (tmp_path / "prom").mkdir()
        await stack.enter_async_context(prometheus(programs["prometheus"], tmp_path / "prom", rules, targets, (am,)))
        await asyncio.sleep(6)  # all has been seen to be well
        yield World(shop, relay, vendor)


async def worker(stack, directory, shop, place):
    """Start the ways of a location, and its worker; gives the worker's address."""
    ports = {}
    for what in SERVERS:
        server = await asyncio.start_server(shop.ways[place, what].serve, "127.0.0.1", 0)
        stack.push_async_callback(close, server)
        ports[what] = server.sockets[0].getsockname()[1]
    rules = directory / place
    rules.mkdir()
    fast = QUICK.replace(", confirm", "\n    confirm").replace(", timeout", "\n    timeout")
    (rules / "probes.yaml").write_text(PROBES.format(**ports, fast=fast, quick=QUICK, hello="{expect: hello}"))
    port = free_port()
    where = ["--location", place, "--rules", str(rules), "--listen", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "synthetic", *where]
    await stack.enter_async_context(process(command, directory / f"{place}.log", f"http://127.0.0.1:{port}/-/ready"))
    return f"127.0.0.1:{port}"


async def close(server):
    server.close()


async def test_a_page_names_layer_and_region_and_a_blip_pages_nobody(world):
    shop = world.shop
    shop.answer = b"broken"  # a blip: gone before it is confirmed
    await asyncio.sleep(0.3)
    shop.answer = b"fine"
    await asyncio.sleep(8)
    assert await world.pages() == []

    shop.answer = b"broken"
    await world.until_paged(
        "page fails at 3 of 3 trusted locations", "global", "application layer of checkout", "(assertion)"
    )
    shop.answer = b"fine"
    await world.until_over()

    shop.at("eu", "hole", "shop")
    await world.until_paged("page fails at 1 of 3 trusted locations", "regional: eu", "(http_timeout)")
    shop.at("eu", "well", "shop")
    await world.until_over()


async def test_the_lowest_layer_is_to_blame_and_what_needs_it_does_not_page(world):
    shop = world.shop
    shop.greeting, shop.answer = b"starting\n", b"no database"
    await world.until_paged("db fails at 3 of 3 trusted locations", "global", "database layer of checkout")
    await asyncio.sleep(5)
    assert [title for title in await world.pages() if "page fails" in title] == []


async def test_a_location_that_is_cut_off_is_not_believed(world):
    world.shop.at("ap", "broken", "shop", "db", "control")
    await world.until_paged("ap")
    await asyncio.sleep(8)
    assert [title for title in await world.pages() if "fails at" in title] == []
