"""Faults, done for real to a real process: what is accepted is never lost, and nobody is rung twice."""

import asyncio
import os
import random
import signal
import sys

import pytest
from e2e.ledger import Told, hold, record, storm
from e2e.relay_process import relay, until
from world import told

from relay.demo.standins import pagerduty
from relay.demo.standins.faults import Fault

pytestmark = pytest.mark.servers


KILLS = int(os.environ.get("RELAY_KILLS", "6"))
"""`make reliability` asks for 200."""


async def under_load(running, seconds, what):
    """Let something happen in a storm, which ends with it; gives what was told."""
    book, stop = Told(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for sender in range(8):
            tasks.create_task(storm(running, book, stop, f"s{sender}"))
        await asyncio.sleep(seconds)
        await what()
        stop.set()
    return book


@pytest.mark.parametrize("seed", range(KILLS))
async def test_kill_9_loses_nothing_and_rings_nobody_twice(tmp_path, seed):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        book = await under_load(running, random.Random(seed).uniform(0.05, 1.0), running.kill)
        await running.start()
        await hold(running, pager, book, "kill -9", "at a seeded moment of a storm, then started again")


async def test_sigterm_under_load_answers_what_it_has_taken_and_ends_well(tmp_path):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()

        async def end():
            assert await running.terminate() == 0

        book = await under_load(running, 0.7, end)
        await running.start()
        await hold(running, pager, book, "SIGTERM", "in a storm, then started again")


async def test_a_pager_that_is_down_gets_every_page_when_it_is_back_and_none_of_what_is_over(tmp_path):
    async with pagerduty.stand_in(limit=None) as pager, relay(tmp_path, pager.url) as running:
        await running.start()
        pager.faults.add(Fault("status", status=503), 10**6)
        book = Told()
        for number in range(40):
            assert await book.fires(running, f"s{number}") == 200
        for number in range(0, 40, 2):
            assert await book.ends(running, f"s{number}") == 200
        await asyncio.sleep(2)
        assert pager.pages() == ()
        pager.faults.clear()
        await hold(running, pager, book, "the pager is down", "503 for two seconds, then well", 90)
        assert len(pager.pages()) == 20, "what was over before its page left rang"


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
