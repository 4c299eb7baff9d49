"""Faults, done for real to a real process: what is accepted is never lost, and nobody is rung twice."""

import asyncio
import os
import random
import resource
import signal
import sys

import pytest
from e2e.ledger import hold, record
from e2e.relay_process import relay, until
from world import ended, told

from relay.demo.standins import pagerduty
from relay.demo.standins.faults import Fault

pytestmark = pytest.mark.servers


async def storm(running, accepted: set[str], stop: asyncio.Event, start: int) -> None:
    """Post one-alert webhooks, each an incident of its own, until told to stop."""
    number = start
    while not stop.is_set():
        service = f"s{number}"
        number += 8
        if await running.post(told(service=service)) == 200:
            accepted.add(service)


KILLS = int(os.environ.get("RELAY_KILLS", "6"))
"""`make reliability` asks for 200."""


@pytest.mark.parametrize("seed", range(KILLS))
async def test_kill_9_loses_nothing_and_rings_nobody_twice(tmp_path, seed):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        accepted: set[str] = set()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for worker in range(8):
                tasks.create_task(storm(running, accepted, stop, worker))
            await asyncio.sleep(random.Random(seed).uniform(0.05, 1.0))
            await running.kill()
            stop.set()
        await running.start()
        await hold(running, pager, accepted, "kill -9", "at a seeded moment of a storm, then started again")


async def test_sigterm_under_load_answers_what_it_has_taken_and_ends_well(tmp_path):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        accepted: set[str] = set()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for worker in range(8):
                tasks.create_task(storm(running, accepted, stop, worker))
            await asyncio.sleep(0.7)
            assert await running.terminate() == 0
            stop.set()
        await running.start()
        await hold(running, pager, accepted, "SIGTERM", "in a storm, then started again")


async def test_a_pager_that_is_down_gets_every_page_when_it_is_back(tmp_path):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        pager.faults.add(Fault("status", status=503), 10**6)
        statuses = [await running.post(told(service=f"s{n}")) for n in range(20)]
        assert set(statuses) == {200}
        await running.post(ended(told(service="s0")))
        await asyncio.sleep(2)
        assert pager.pages() == ()
        pager.faults.clear()

        async def nineteen():
            return len(pager.pages()) == 19

        await until(nineteen, 90)
        rung = [key.partition("/")[0] for key in pager.pages()]
        record(
            "the pager is down", "503 for two seconds, then well", 19, 19 - len(set(rung)), len(rung) - len(set(rung))
        )
        assert "INC-1" not in rung, "what was over before the page left rang"


async def test_a_page_whose_answer_is_lost_is_sent_again_and_rings_once(tmp_path):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        pager.faults.add(Fault("ghost"), 1)
        await running.post(told())

        async def twice():
            return sum(pager.triggers(key) for key in pager.pages()) == 2

        await until(twice)
        record(
            "the pager's answer is lost", "the connection breaks after it took the page", 1, 0, len(pager.pages()) - 1
        )
        assert len(pager.pages()) == 1


async def test_a_full_disk_refuses_with_503_and_passes(tmp_path):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        assert await running.post(told(service="before")) == 200
        limit = 4 * 1024 * 1024
        resource.prlimit(running.child.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        filling = {**told(service="filling"), "annotations": {"summary": "x" * 60_000}}
        statuses = [200]
        while statuses[-1] == 200:
            statuses.append(await running.post({**filling, "fingerprint": f"f{len(statuses)}"}))
            assert len(statuses) < 200, "the disk was never full"
        assert statuses[-1] == 503
        resource.prlimit(running.child.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        async def taken_again():
            return await running.post(told(service="after")) == 200

        await until(taken_again)

        async def paged():
            return {"before", "after"} <= {i["service"] for i in await running.incidents() if i["pages"]}

        await until(paged)


async def test_a_second_process_is_refused_the_same_data(tmp_path):
    async with pagerduty.stand_in() as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        command = ["serve", "--config", "relay.yaml", "--rules", "rules", "--data", "data", "--listen", "127.0.0.1:0"]
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay", *command, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        _, said = await other.communicate()
        assert other.returncode == 3
        assert b"is in use by another Relay" in said


async def test_sighup_takes_rules_anew_and_keeps_the_good_ones(tmp_path):
    async with pagerduty.stand_in() as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        rules = tmp_path / "rules" / "all.yaml"
        rules.write_text(rules.read_text().replace("wait: 1h", "wiat: 1h"))
        running.child.send_signal(signal.SIGHUP)

        async def refused():
            async with running.client.get(f"http://127.0.0.1:{running.port}/metrics") as answer:
                return "relay_config_last_reload_successful 0.0" in await answer.text()

        await until(refused)
        assert 'did you mean \\"wait\\"?' in running.log.read_text()
        assert await running.post(told()) == 200
