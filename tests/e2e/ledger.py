"""The ledger: what was told and accepted, against what is known, what rang, and what is still open at the pager.

It keeps the count for docs/reliability.md.
"""

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from e2e.relay_process import until
from world import ended, told

RECORD = os.environ.get("RELAY_RELIABILITY")
"""File to which each fault that was tried is added (`make reliability`)."""
FEW = 3
"""Alerts that a sender lets fire before it ends the first of them."""


@dataclass
class Told:
    """Services whose alert was told of; each alert is an incident of its own."""

    accepted: set[str] = field(default_factory=set)
    """The alert was answered with 200."""
    ending: set[str] = field(default_factory=set)
    """Its end was sent."""
    over: set[str] = field(default_factory=set)
    """Its end was answered with 200."""

    async def fires(self, running, service: str, **more) -> int:
        status = await running.post({**told(service=service), **more})
        if status == 200:
            self.accepted.add(service)
        return status

    async def ends(self, running, service: str) -> int:
        self.ending.add(service)
        status = await running.post(ended(told(service=service)))
        if status == 200:
            self.over.add(service)
        return status


async def storm(running, book: Told, stop: asyncio.Event, name: str) -> None:
    """Tell of one alert after the other until stopped; of every four, one ends at once, and one a little later."""
    number, firing = 0, []
    while not stop.is_set():
        service = f"{name}-{number}"
        if await book.fires(running, service) == 200:
            if number % 4 == 0:
                await book.ends(running, service)
            elif number % 4 == 2:
                firing.append(service)
        if len(firing) > FEW:
            await book.ends(running, firing.pop(0))
        number += 1


async def storms(book: Told, seconds: float, name: str, *running) -> None:
    """Four senders to each of some Relays, for a time."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for sender in range(4):
            for place, one in enumerate(running):
                tasks.create_task(storm(one, book, stop, f"{name}-{place}-{sender}"))
        await asyncio.sleep(seconds)
        stop.set()


async def hold(running, pager, book: Told, fault: str, how: str, seconds: float = 30) -> None:
    """Hold what was told against what is known, what rang, and what is open."""
    assert book.accepted, "nothing was accepted: the fault was not tried"
    found = await _found(running, pager, book)

    async def as_it_should_be():
        nonlocal found
        found = await _found(running, pager, book)
        return not any(found)

    with suppress(TimeoutError):  # what is wrong is said below
        await until(as_it_should_be, seconds, every=0.3)
    lost, doubled, left_open = found
    record(fault, how, len(book.accepted), len(lost), len(doubled), len(left_open))
    assert not lost, f"accepted, and lost or not ringing: {sorted(lost)}: {await _told_of(running, pager, lost)}"
    assert not doubled, "rang twice"
    assert not left_open, f"over, and left open at the pager: {await _told_of(running, pager, left_open)}"
    assert (await running.get("/api/v1/verify"))["problems"] == {}


async def _found(running, pager, book: Told) -> tuple[set[str], set[str], set[str]]:
    """What is lost, has rung twice, is open though it is over. An end that nobody has answered may count or not."""
    incidents = {i["service"]: i["id"] for i in await running.incidents()}
    rung = [key.partition("/")[0] for key in pager.pages()]
    open_ = {key.partition("/")[0] for key in pager.open_keys()}
    lost = {name for name in book.accepted if name not in incidents}
    lost |= {name for name in book.accepted - book.ending if incidents.get(name) not in open_}
    doubled = {id_ for id_ in rung if rung.count(id_) > 1} if len(set(rung)) < len(rung) else set()
    return lost, doubled, {name for name in book.over & incidents.keys() if incidents[name] in open_}


async def _told_of(running, pager, services: set[str]) -> str:
    """What is known of one of these, and what is open at the pager."""
    one = next((i for i in await running.incidents() if i["service"] in services), None)
    if one is None:
        return "nothing is known of them"
    detail = await running.get(f"/api/v1/incidents/{one['id']}")
    open_ = [key for key in pager.open_keys() if key.startswith(f"{one['id']}/")]
    return "\n".join([str(open_), *(f"{e['recorded_at']} {e['text']}" for e in detail["timeline"])])


def record(fault: str, how: str, accepted: int, lost: int, doubled: int, left_open: int = 0) -> None:
    """Add one try of a fault to the record, if there is one."""
    if RECORD:
        told = {"fault": fault, "how": how, "accepted": accepted, "lost": lost, "doubled": doubled, "open": left_open}
        with Path(RECORD).open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
