"""What a machine does to a process: disks that take nothing, or take long, and clocks that are set."""

import asyncio
import errno
import mmap
import struct
import subprocess
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from e2e.ledger import Told, hold, record, storms
from e2e.relay_process import relay, until
from service import RULES
from world import told

from relay.clock import WallClock
from relay.demo.programs import need
from relay.demo.standins import pagerduty

pytestmark = pytest.mark.servers

SOURCE = Path(__file__).with_name("fate.c")
HOUR = 3600


class Fate:
    """What happens to the process from now on."""

    def __init__(self, file):
        self._shared = file

    def becomes(self, flush=0, write=0, clock=0):
        """Milliseconds that a flush takes besides; an errno of writes; seconds that the wall clock is off."""
        self._shared[:24] = struct.pack("3l", flush, write, clock)


@asynccontextmanager
async def fated(directory, pager, rules=RULES, clock=0):
    """Relay as a process with a fate that a test decides; its clock may be set before it starts."""
    need(["cc"], print)
    library, shared = directory / "fate.so", directory / "fate"
    build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    await asyncio.to_thread(subprocess.run, build, check=True)
    shared.write_bytes(struct.pack("3l", 0, 0, clock))
    with shared.open("r+b") as file, mmap.mmap(file.fileno(), 24) as mapped:
        async with relay(directory, pager.url, rules) as running:
            running.environment = {"LD_PRELOAD": str(library), "RELAY_FATE": str(shared)}
            await running.start()
            yield running, Fate(mapped)


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
async def test_a_disk_that_takes_no_writes_is_503_and_then_all_goes_on(tmp_path, number):
    async with pagerduty.stand_in(limit=None) as pager, fated(tmp_path, pager) as (running, fate):
        book = Told()

        async def fails():
            await asyncio.sleep(0.5)
            fate.becomes(write=number)
            statuses = {
                await book.fires(running, f"during{n}", annotations={"summary": "x" * 60_000}) for n in range(5)
            }
            assert statuses == {503}
            assert await running.status("/-/healthy") == 200
            await asyncio.sleep(1)
            fate.becomes()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(storms(book, 4, "s", running))
            tasks.create_task(fails())

        async def taken_again():
            return await book.fires(running, "after") == 200

        await until(taken_again)
        how = f"writes fail with {errno.errorcode[number]} in a storm, then succeed"
        await hold(running, pager, book, "the disk takes nothing", how)


async def test_a_disk_that_is_slow_only_delays(tmp_path):
    async with pagerduty.stand_in(limit=None) as pager, fated(tmp_path, pager) as (running, fate):
        book, loop = Told(), asyncio.get_running_loop()
        fate.becomes(flush=200)
        began = loop.time()
        assert await book.fires(running, "first") == 200
        assert loop.time() - began >= 0.2, "the flush took no longer: the fault was not there"
        await storms(book, 3, "slow", running)
        assert await running.status("/-/ready") == 200
        await hold(running, pager, book, "slow disk", "each flush takes 200 ms, in a storm", 60)


async def test_a_clock_that_is_set_loses_no_page_and_rings_nobody_twice(tmp_path):
    patient = RULES.replace("wait: 1h", "wait: 9h")
    async with pagerduty.stand_in(limit=None) as pager, fated(tmp_path, pager, patient) as (running, fate):
        book = Told()
        for name, offset in (("now", 0), ("ahead", HOUR), ("back", 0), ("behind", -HOUR), ("again", 0)):
            fate.becomes(clock=offset)
            await storms(book, 0.5, name, running)
        await hold(running, pager, book, "clock steps", "an hour ahead, back, an hour behind, back, in a storm", 60)
        metrics = await text(running, "/metrics")
        assert "relay_deadline_overdue_seconds 0.0" in metrics


async def test_an_escalation_goes_on_after_the_clock_was_set_back(tmp_path):
    quick = RULES.replace("wait: 1h", "wait: 5s")
    async with pagerduty.stand_in(limit=None) as pager, fated(tmp_path, pager, quick) as (running, fate):
        fate.becomes(clock=HOUR)
        assert await running.post(told()) == 200

        async def rung():
            return len(pager.pages()) >= 1

        await until(rung)
        fate.becomes(clock=0)  # its deadline would be an hour and seconds away, by this clock

        async def second_level():
            return any("/L2/" in key for key in pager.pages())

        await until(second_level)
        assert "relay_clock_set_back_total 1.0" in await text(running, "/metrics")
        record("clock steps", "back an hour while an escalation waits", 1, 0, 0)


WINDOW = """
windows:
  - name: night
    reason: it is tried
    owner: ada
    zone: Europe/Berlin
    weekly: {days: [sunday], from: "01:30", to: "TO"}
    matchers: ['service=~"held.*"']
"""


@pytest.mark.parametrize(
    ("to", "inside", "still", "ends"),
    [
        ("03:00", "2027-03-28T00:35:00Z", "2027-03-28T00:50:00Z", "2027-03-28T01:00:00Z"),  # 02:00 is 03:00
        ("02:30", "2026-10-25T00:10:00Z", "2026-10-25T00:59:58Z", "2026-10-25T01:30:00Z"),  # 03:00 is 02:00 again
    ],
    ids=["spring", "autumn"],
)
async def test_a_window_in_the_hour_that_clocks_change_ends_when_it_should(tmp_path, to, inside, still, ends):
    rules = RULES.replace("wait: 1h", "wait: 9h") + WINDOW.replace("TO", to).replace("{", "{{").replace("}", "}}")
    async with (
        pagerduty.stand_in(limit=None) as pager,
        fated(tmp_path, pager, rules, until_then(inside)) as (running, fate),
    ):
        book = Told()
        await storms(book, 0.5, "held", running)
        await storms(book, 0.5, "free", running)
        fate.becomes(clock=until_then(still))
        await asyncio.sleep(4)
        held = {i["service"] for i in await running.incidents() if i["phase"] == "held"}
        assert held >= {name for name in book.accepted - book.ending if name.startswith("held")}
        fate.becomes(clock=until_then(ends) - 2)
        how = f"a window ends at {ends}, in the hour in which clocks change; alerts in it and beside it"
        await hold(running, pager, book, "clocks change", how, 60)


def until_then(moment):
    """Seconds from now to a moment."""
    return int((datetime.fromisoformat(moment) - WallClock().now()).total_seconds())


async def text(running, path):
    async with running.client.get(f"http://127.0.0.1:{running.port}{path}") as answer:
        return await answer.text()
