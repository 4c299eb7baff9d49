"""A worker on real sockets: it probes when it should, confirms what fails, and tells Prometheus."""

import asyncio
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from places import answering, listening, ok
from prometheus_client.parser import text_string_to_metric_families

from relay.clock import WallClock
from synthetic.checks import load
from synthetic.exposition import HELP
from synthetic.server import Server
from synthetic.worker import Worker

TOKEN = "worker-token"
FAST = "interval: 200ms, timeout: 200ms, confirm: {after: [20ms, 40ms]}"


class Site:
    """A server whose mood a test sets."""

    def __init__(self):
        self.answer = ok(b"well")
        self.asked = 0

    async def serve(self, reader, writer):
        self.asked += 1
        await answering(self.answer)(reader, writer)


@asynccontextmanager
async def working(tmp_path, text, location="fra", **more):
    """A worker that runs, its server's address, and a client."""
    (tmp_path / "probes.yaml").write_text(text)
    worker = Worker(load(tmp_path), location, WallClock(), **more)

    async def reload():
        await worker.take(load(tmp_path))

    server = TestServer(Server(worker, TOKEN, reload).build())
    await server.start_server()
    running = asyncio.get_running_loop().create_task(worker.run())
    try:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            yield worker, client, str(server.make_url("/")).rstrip("/")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await server.close()


async def told(client, url):
    """Every series: name and labels to value."""
    async with client.get(f"{url}/metrics") as answer:
        text = await answer.text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def value(client, url, name, **labels):
    found = [v for (n, ls), v in (await told(client, url)).items() if n == name and labels.items() <= dict(ls).items()]
    return found[0] if found else None


async def until(holds, seconds=8):
    async with asyncio.timeout(seconds):
        while not (found := await holds()):
            await asyncio.sleep(0.02)
        return found


def shop(port, more=""):
    return f"checks:\n  - {{name: home, kind: http, target: 'http://127.0.0.1:{port}/', service: shop, {FAST}}}\n{more}"


@pytest.fixture
async def site():
    standing = Site()
    async with listening(standing.serve) as port:
        standing.port = port
        yield standing


async def test_a_check_is_run_again_and_again_and_told(tmp_path, site):
    async with working(tmp_path, shop(site.port)) as (_, client, url):
        await until(lambda: value(client, url, "probe_success", check="home"))
        series = await told(client, url)
        labels = {"check": "home", "service": "shop", "layer": "application", "role": "check", "location": "fra"}
        whole = {**labels, "kind": "http", "instance": f"http://127.0.0.1:{site.port}/"}
        assert series["probe_success", tuple(sorted(whole.items()))] == 1
        assert series["probe_check_info", tuple(sorted(labels.items()))] == 1
        assert await value(client, url, "probe_state", check="home") == 0
        assert await value(client, url, "probe_check_interval_seconds") == 0.2
        assert {name for name, _ in series if name.startswith("probe_")} <= set(HELP)
        runs = await value(client, url, "probe_runs_total", result="success")
        await until(lambda: _more(client, url, runs + 2))


async def _more(client, url, least):
    return await value(client, url, "probe_runs_total", result="success") >= least


async def test_what_fails_is_confirmed_told_and_mends(tmp_path, site):
    more = (
        "  - {name: db, kind: tcp, target: '127.0.0.1:1', layer: database, interval: 1h}\n"
        f"  - {{name: outside, kind: http, role: control, target: 'http://127.0.0.1:{site.port}/', interval: 1h}}\n"
    )
    text = shop(site.port, more).replace("service: shop,", "service: shop, depends_on: [db],")
    async with working(tmp_path, text) as (worker, client, url):
        await until(lambda: value(client, url, "probe_success", check="home"))
        site.answer = ok(status="503 No")

        async def failing():
            return await value(client, url, "probe_state", check="home") == 2

        await until(failing)
        assert await value(client, url, "probe_failure_info", check="home", reason="http_status") == 1
        assert await value(client, url, "probe_http_status_code", check="home") == 503
        # the control and what it depends on have been looked at, long before they were due
        assert await value(client, url, "probe_success", check="outside") in (0, 1)
        assert await value(client, url, "probe_failure_info", check="db", reason="connect_refused") == 1
        assert await value(client, url, "probe_dependency_info", check="home", depends_on="db") == 1
        site.answer = ok()

        async def well():
            return await value(client, url, "probe_state", check="home") == 0

        await until(well)
        assert await value(client, url, "probe_failure_info", check="home") is None
        async with client.get(f"{url}/") as page:
            listed = await page.text()
        failed = next(one for one in worker.history.all() if one.name == "home" and not one.result.success)
        assert f"logs?id={failed.id}" in listed
        async with client.get(f"{url}/logs?id={failed.id}") as log:
            assert "failed: http_status: answers 503, and not 2xx" in await log.text()
        async with client.get(f"{url}/logs?id=x") as log:
            assert log.status == 404


async def test_a_reload_takes_checks_in_and_out_and_keeps_what_is_known(tmp_path, site):
    async with working(tmp_path, shop(site.port)) as (_, client, url):
        await until(lambda: value(client, url, "probe_success", check="home"))
        (tmp_path / "more.yaml").write_text(
            f"checks:\n  - {{name: new, kind: tcp, target: '127.0.0.1:{site.port}', {FAST}}}"
        )
        async with client.post(f"{url}/-/reload") as answer:
            assert answer.status == 200
        assert await value(client, url, "probe_success", check="home") == 1
        await until(lambda: value(client, url, "probe_success", check="new"))
        (tmp_path / "probes.yaml").unlink()
        async with client.post(f"{url}/-/reload"):
            pass
        assert await value(client, url, "probe_runs_total", check="home") is None
        asked = site.asked
        await asyncio.sleep(0.5)
        assert site.asked - asked <= 4  # only the other one


async def test_smoke_suites_run_on_demand(tmp_path, site):
    more = f"  - {{name: buy, kind: http, target: 'http://127.0.0.1:{site.port}/', tags: [smoke], interval: 1h}}\n"
    async with working(tmp_path, shop(site.port, more)) as (_, client, url):

        async def run(body, headers=None):
            async with client.post(f"{url}/api/v1/run", json=body, headers=headers) as answer:
                return answer.status, await (answer.json() if answer.status in (200, 404, 422) else answer.text())

        status, found = await run({"tags": ["smoke"]})
        assert status == 200
        [result] = found["results"]
        assert (result["check"], result["location"], result["success"], result["reason"]) == ("buy", "fra", True, "")
        assert result["samples"]["probe_http_status_code"] == 200
        assert (await run({"checks": ["nothing"]}))[0] == 404
        assert (await run({"cheks": ["buy"]}))[0] == 422
        assert (await run({"tags": ["smoke"]}, {"Authorization": "Bearer no"}))[0] == 401
        async with client.get(f"{url}/api/v1/checks") as answer:
            assert {check["name"]: check["state"] for check in (await answer.json())["checks"]}["buy"] == "OK"


MODULES = """
modules:
  http_2xx: {kind: http, timeout: 10s}
  tcp_connect: {kind: tcp}
"""


async def test_prometheus_can_ask_as_it_asks_blackbox_exporter(tmp_path, site):
    async with working(tmp_path, MODULES) as (_, client, url):

        async def probe(query, **headers):
            async with client.get(f"{url}/probe?{query}", headers=headers) as answer:
                return answer.status, await answer.text()

        status, text = await probe(f"target=127.0.0.1:{site.port}")
        assert status == 200
        assert "\nprobe_success 1.0\n" in text
        assert 'probe_http_duration_seconds{phase="connect"}' in text
        assert list(text_string_to_metric_families(text))
        site.answer = ok(status="500 No")
        assert "\nprobe_success 0.0\n" in (await probe(f"target=http://127.0.0.1:{site.port}/&module=http_2xx"))[1]
        assert "failed: http_status" in (await probe(f"target=127.0.0.1:{site.port}&debug=true"))[1]
        assert (await probe("module=http_2xx"))[0] == 400
        assert (await probe("target=x&module=other")) == (400, 'Unknown module "other"\n')
        site.answer = b""
        hanging = {"X-Prometheus-Scrape-Timeout-Seconds": "0.7"}
        assert (await probe(f"target=127.0.0.1:{site.port}", **hanging))[0] == 200


async def test_no_more_run_at_once_than_may_and_the_others_are_counted(tmp_path):
    async def slow(reader, writer):
        await asyncio.sleep(1)

    async with listening(slow) as port:
        checks = "".join(
            f"  - {{name: c{n}, kind: http, target: 'http://127.0.0.1:{port}/', interval: 300ms, timeout: 300ms}}\n"
            for n in range(6)
        )
        async with working(tmp_path, f"checks:\n{checks}", at_once=2) as (_, client, url):

            async def skipped():
                series = await told(client, url)
                return sum(
                    v for (name, ls), v in series.items() if name == "probe_runs_total" and ("result", "skipped") in ls
                )

            await until(skipped)
