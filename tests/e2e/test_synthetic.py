"""Three locations, a real Prometheus with the shipped rules, a real Alertmanager, Relay: who is paged for what.

The rules are those of rules/prometheus, with waits of seconds instead of minutes.
"""

import asyncio
import re
import ssl
import sys
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import aiohttp
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import trustme
from locations import NAME_SERVER, Way, leading_to, locations
from prometheus_client.parser import text_string_to_metric_families
from service import HOOK, service
from service import RULES as RULES_OF_RELAY

from relay.clock import WallClock
from relay.demo.monitoring import alertmanager, prometheus
from relay.demo.processes import free_port, process
from relay.demo.programs import need
from relay.demo.standins import pagerduty

pytestmark = pytest.mark.servers

RULES = Path(__file__).parents[2] / "rules" / "prometheus" / "synthetic.rules.yml"
PATIENCE = 300
"""Looks, five a second."""
SERVERS = (
    "shop", "search", "cart", "far", "orders", "mail", "names", "pay", "control", "stock", "shelf", "front", "deep",
)  # fmt: skip
TOKEN = "of-the-workers"
FRONT = "front.shop.example"
QUICK = "interval: 1s, timeout: 500ms, confirm: {after: [100ms, 200ms]}"
WRITTEN = {
    "page": 'kind: http, target: "http://SHOP/", service: checkout, body_matches: [fine]',
    "search": 'kind: http, target: "http://SEARCH/", service: search',
    "cart": 'kind: http, target: "http://CART/", service: cart',
    "far": 'kind: http, target: "http://FAR/", service: far',
    "orders": 'kind: http, target: "http://ORDERS/", service: books, body_matches: [fine], depends_on: [ledger]',
    "ledger": 'kind: redis, target: "LEDGER", service: ledger, layer: database',
    "mail": 'kind: http, target: "http://MAIL/", service: mail, depends_on: [names]',
    "names": 'kind: dns, target: "NAMES", query: mail.example, transport: tcp, service: names, layer: network',
    "pay": 'kind: tls, target: "PAY", tls: {ca_file: CA, server_name: pay.example}, service: pay, layer: network',
    "stock": 'kind: redis, target: "STOCK", service: stock, layer: database',
    "shelf": 'kind: http, target: "http://SHELF/", service: shelf, depends_on: [stock]',
    "front": 'kind: http, target: "http://FRONT/", service: front',
    "deep": 'kind: http, target: "http://DEEP/", body_matches: [fine]',
    "control": 'kind: tcp, target: "CONTROL", role: control, conversation: [{expect: hello}]',
}
NEVER = QUICK.replace("1s", "300d")
"""Only when somebody asks."""
PROBES = "locations: [ap, eu, us]\nchecks:\n" + "".join(
    f"  - {{name: {name}, {keys}, {NEVER if name == 'deep' else QUICK}}}\n" for name, keys in WRITTEN.items()
)


class Shop:
    """What is probed: pages, which need a database, names and a certificate; and what everybody can reach."""

    def __init__(self, directory):
        self.answers = {}
        self.slips = Counter()
        """How many answers more will be wrong."""
        self.unresolved = set()
        """Locations whose name server does not know the front any more."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        self._valid = authority.issue_cert("pay.example")
        self._expired = authority.issue_cert("pay.example", not_after=WallClock().now() - timedelta(days=1))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate(expired=False)

    def certificate(self, expired):
        (self._expired if expired else self._valid).configure_cert(self.tls)

    def server(self, what):
        own = {"names": self.names, "control": self.control, "pay": self.pay, "stock": self.stock}
        return own.get(what) or self.page(what)

    def page(self, what):
        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            answer = self.answers.get(what, b"fine")
            if self.slips[what]:
                self.slips[what] -= 1
                answer = b"slip"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
            await writer.drain()

        return serve

    async def names(self, reader, writer):
        asked = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
        wire = dns.message.make_response(asked).to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        await writer.drain()

    def name_server(self, location, address):
        async def serve(reader, writer):
            while True:
                asked = dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
                answer = dns.message.make_response(asked)
                if location in self.unresolved:
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                elif asked.question[0].rdtype == dns.rdatatype.A:
                    answer.answer.append(dns.rrset.from_text(f"{FRONT}.", 1, "IN", "A", address))
                wire = answer.to_wire()
                writer.write(len(wire).to_bytes(2) + wire)
                await writer.drain()

        return serve

    async def control(self, reader, writer):
        writer.write(b"hello\n")
        await writer.drain()

    async def pay(self, reader, writer):
        await reader.read(1)


def hurried(rules):
    """The shipped rules, in seconds."""
    text = rules.replace("interval: 15s", "interval: 1s").replace("keep_firing_for: 2m", "keep_firing_for: 3s")
    return re.sub(r"\bfor: (30s|1m|2m)\b", "for: 3s", text)


class World:
    """Everything that runs, and what came of it."""

    def __init__(self, places, shop, ways, relay, vendor, ledger, workers):
        self.places, self.shop, self.relay, self.vendor, self.ledger = places, shop, relay, vendor, ledger
        self._ways, self._workers = ways, workers

    async def at(self, place, mood, *what):
        for one in what:
            await self._ways[place, one].be(mood)

    async def runs(self, check, *results):
        """How often a check has run with such results, by location."""
        found = dict.fromkeys(self.places, 0)
        async with aiohttp.ClientSession() as client:
            for name, address in self._workers.items():
                async with client.get(f"http://{address}/metrics") as answer:
                    for family in text_string_to_metric_families(await answer.text()):
                        for sample in family.samples if family.name == "probe_runs" else ():
                            if sample.labels["check"] == check and sample.labels["result"] in results:
                                found[name] += int(sample.value)
        return found

    async def run(self, place, check):
        """Let a worker run a check now."""
        asked, token = {"checks": [check]}, {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession(headers=token) as client,
            client.post(f"http://{self._workers[place]}/api/v1/run", json=asked) as answer,
        ):
            assert answer.status == 200, await answer.text()

    def pages(self):
        """What was on the phones: title, and text."""
        asked = [entry.body["payload"] for entry in self.vendor.journal if entry.action == "trigger"]
        return [f"{payload['summary']}: {payload['custom_details']}" for payload in asked]

    async def until_paged(self, *parts):
        for _ in range(PATIENCE):
            if any(all(part in page for part in parts) for page in self.pages()):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"nobody was paged with {parts}, but with: {self.pages()}")


@pytest.fixture
async def world(tmp_path):
    programs = need(["prometheus", "prometheus-alertmanager", "redis-server"], print)
    async with AsyncExitStack() as stack:
        places = stack.enter_context(locations("ap", "eu", "us"))
        shop = Shop(tmp_path)
        vendor = await stack.enter_async_context(pagerduty.stand_in(limit=None))
        apart = RULES_OF_RELAY.replace("group_by: [service]", "group_by: [service, alertname]")
        relay = await stack.enter_async_context(service(tmp_path, vendor.url, rules=apart))
        hook = f"http://127.0.0.1:{relay.running.address[1]}/api/v1/webhooks/alertmanager/prod"
        ledger, ledger_port = await redis(stack, tmp_path, programs)
        _, stock_port = await redis(stack, tmp_path, programs)
        shop.stock = leading_to("127.0.0.1", stock_port)
        ways = {
            (name, what): Way(shop.server(what), place, number, shop.tls if what == "pay" else None)
            for name, place in places.items()
            for number, what in enumerate(SERVERS)
        }
        workers = {name: f"{place.address}:{free_port()}" for name, place in places.items()}
        for name, place in places.items():
            if place.has_name_server:
                serve = shop.name_server(name, ways[name, "front"].address)
                ways[name, "name server"] = Way(serve, place, NAME_SERVER, port=53)
            for number, (other, address) in enumerate(workers.items(), len(SERVERS)):
                ways[name, other] = Way(leading_to(*address.split(":")), place, number)
        for way in ways.values():
            await way.open()
            stack.callback(way.close)
        for name, place in places.items():
            where = {what: f"{ways[name, what].address}:{ways[name, what].port}" for what in (*SERVERS, *workers)}
            where["ledger"] = f"{ways[name, 'shop'].address}:{ledger_port}"
            if place.has_name_server:
                where["front"] = f"{FRONT}:{ways[name, 'front'].port}"
            await worker(stack, tmp_path, place, where, workers)
        targets = {f"relay-synthetic-{name}": address for name, address in workers.items()}
        am = await stack.enter_async_context(
            alertmanager(programs["prometheus-alertmanager"], tmp_path / "am", hook, HOOK)
        )
        rules = tmp_path / "synthetic.rules.yml"
        rules.write_text(hurried(RULES.read_text()))
        (tmp_path / "prom").mkdir()
        await stack.enter_async_context(prometheus(programs["prometheus"], tmp_path / "prom", rules, targets, (am,)))
        await asyncio.sleep(6)  # all has been seen to be well
        yield World(places, shop, ways, relay, vendor, ledger, workers)


async def redis(stack, directory, programs):
    """Start a Redis; gives it, and its port."""
    port = free_port()
    command = [programs["redis-server"], "--port", str(port), "--protected-mode", "no", "--save", ""]
    server = await asyncio.create_subprocess_exec(*command, cwd=directory, stdout=asyncio.subprocess.DEVNULL)
    stack.push_async_callback(killed, server)
    return server, port


async def worker(stack, directory, place, where, workers):
    """Start the worker of a location; `where` says how everything is reached from there."""
    peers = "".join(f"  {other}: http://{where[other]}\n" for other in workers)
    text = PROBES.replace("CA,", f"{directory}/ca.pem,")
    for what in ("ledger", *SERVERS):
        text = text.replace(what.upper(), where[what])
    rules = directory / place.name
    rules.mkdir()
    (rules / "probes.yaml").write_text(f"peers:\n{peers}{text}")
    (directory / "worker-token").write_text(TOKEN)
    command = [*place.command, sys.executable, "-m", "synthetic", "--location", place.name, "--rules", str(rules)]
    listen = ["--listen", workers[place.name], "--token-file", str(directory / "worker-token")]
    log = directory / f"{place.name}.log"
    await stack.enter_async_context(process([*command, *listen], log, f"http://{workers[place.name]}/-/ready"))


async def killed(server):
    if server.returncode is None:
        server.kill()
        await server.wait()


async def test_each_page_names_the_layer_and_the_region_and_a_blip_pages_nobody(world):
    shop = world.shop
    seen = sum((await world.runs("page", "failure")).values())
    shop.slips["shop"] = 2  # a blip: gone before it is confirmed
    for _ in range(PATIENCE):
        if sum((await world.runs("page", "failure")).values()) == seen + 2:
            break
        await asyncio.sleep(0.2)
    else:
        raise AssertionError("nobody has seen the blip")
    await asyncio.sleep(8)
    assert world.pages() == []

    shop.answers |= {"shop": b"wrong", "orders": b"no ledger"}
    shop.certificate(expired=True)
    await world.at("eu", "refused", "search")
    await world.at("us", "slow", "cart")
    await world.at("eu", "hole", "far")
    await world.at("ap", "broken", "names", "mail")
    await world.at("us", "refused", "stock", "shelf")
    world.ledger.kill()
    resolving = world.places["eu"].has_name_server
    if resolving:
        shop.unresolved.add("eu")
    everywhere, hole = "fails at 3 of 3 trusted locations", world.places["eu"].hole_reason
    one = "fails at 1 of 3 trusted locations"
    for page in [
        (f"page {everywhere}", "global", "application layer of checkout", "(assertion)"),
        (f"search {one}", "regional: eu", "application layer of search", "(connect_refused)"),
        (f"cart {one}", "regional: us", "application layer of cart", "(http_timeout)"),
        (f"far {one}", "regional: eu", "application layer of far", f"({hole})"),
        (f"ledger {everywhere}", "global", "database layer of ledger", "(connect_refused)"),
        (f"names {one}", "regional: ap", "network layer of names", "(broken_off)"),
        (f"stock {one}", "regional: us", "database layer of stock", "(connect_refused)"),
        *([(f"front {one}", "regional: eu", "application layer of front", "(dns_nxdomain)")] if resolving else []),
        (f"pay {everywhere}", "global", "network layer of pay", "(tls_expired)"),
    ]:
        await world.until_paged(*page)
    await asyncio.sleep(5)
    explained = ("orders fails", "mail fails", "shelf fails")
    assert [page for page in world.pages() if any(part in page for part in explained)] == []

    await world.at("eu", "well", "search", "far")
    await world.at("us", "well", "cart", "stock", "shelf")
    await world.at("ap", "well", "names", "mail")
    shop.answers.clear()
    shop.unresolved.clear()
    shop.certificate(expired=False)
    for _ in range(PATIENCE):  # what is well again is over, and the ledger is not
        _, found = await world.relay.ask("GET", "/api/v1/incidents?phase=triggered,held", role="viewer")
        if [incident["service"] for incident in found["incidents"]] == ["ledger"]:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(found)


async def test_a_location_that_is_cut_off_is_not_believed(world):
    await world.at("ap", "broken", *SERVERS)
    await world.until_paged("ap")
    await asyncio.sleep(8)
    assert [title for title in world.pages() if "fails at" in title] == []


async def test_one_other_location_is_asked_to_look_and_asks_nobody_in_turn(world):
    world.shop.answers["deep"] = b"broken"
    await world.run("eu", "deep")
    for _ in range(PATIENCE):  # each looks three times: at once, and after its two waits
        runs = await world.runs("deep", "failure")
        if runs == {"ap": 3, "eu": 3, "us": 0}:
            break
        await asyncio.sleep(0.2)
    else:
        raise AssertionError(runs)
    await asyncio.sleep(1)
    assert await world.runs("deep", "failure") == runs
