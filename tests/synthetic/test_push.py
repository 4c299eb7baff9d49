"""Metrics pushed to a real Pushgateway."""

import asyncio
import sys

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from servers import running

from relay.demo.processes import free_port
from relay.demo.programs import need
from synthetic.checks import load
from synthetic.exposition import Exposition
from synthetic.push import NotPushed, Receiver, ask, follow, written

CHECKS = "checks:\n  - {name: way, kind: tcp, target: '127.0.0.1:1', interval: 200ms, timeout: 100ms}\n"


def metrics(port):
    async def ask():
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}/metrics") as answer:
            return await answer.text()

    return ask


async def until(ask, good):
    async with asyncio.timeout(15):
        while not good(text := await ask()):
            await asyncio.sleep(0.1)
    return text


@pytest.mark.servers
async def test_a_pushgateway_has_what_a_worker_sees_until_it_ends(tmp_path):
    (tmp_path / "probes.yaml").write_text(CHECKS)
    gateway, own = free_port(), free_port()
    program = need(["prometheus-pushgateway"], print)["prometheus-pushgateway"]
    with running([program, f"--web.listen-address=127.0.0.1:{gateway}"], lambda: None):
        where = ["--location", "eu-west", "--rules", str(tmp_path), "--listen", f"127.0.0.1:{own}"]
        push = ["--push-to", f"http://127.0.0.1:{gateway}/", "--push-every", "1"]
        worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "synthetic", *where, *push)
        ask = metrics(gateway)
        try:

            async def patiently():
                try:
                    return await ask()
                except aiohttp.ClientError:
                    return ""

            text = await until(patiently, lambda text: 'probe_failure_info{check="way"' in text)
            assert 'push_failure_time_seconds{instance="",job="relay-synthetic",location="eu-west"} 0' in text
            assert 'location="eu-west",reason="connect_refused"' in text
        finally:
            worker.terminate()
            assert await worker.wait() == 0
        assert "probe_failure_info" not in await ask()


async def test_a_pushgateway_that_is_gone_or_refuses_harms_nothing(tmp_path, caplog):
    answers, told = [500, 302, 200], asyncio.Event()
    (tmp_path / "probes.yaml").write_text(CHECKS)
    checks = load(tmp_path)

    async def take(request):
        assert request.headers["Authorization"] == "Bearer of-ours"
        await request.read()
        status = answers.pop(0) if answers else 200
        if status == 200:
            told.set()
        return web.Response(status=status, headers={"Location": "http://elsewhere.example/"})

    app = web.Application()
    app.router.add_route("*", "/metrics/job/relay-synthetic/location/eu", take)
    exposition = Exposition("eu")
    list(exposition.plan(checks, checks.checks.values()))
    async with TestServer(app) as server, asyncio.TaskGroup() as tasks:
        gateway = Receiver(str(server.make_url("/")), 0.01, "of-ours")
        pushing = tasks.create_task(follow(exposition, "eu", gateway))
        async with asyncio.timeout(5):
            await told.wait()
        pushing.cancel()
    assert answers == []
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NotPushed, match="cannot be asked"):
            await ask(session, "PUT", f"http://127.0.0.1:{free_port()}/", written(exposition))
