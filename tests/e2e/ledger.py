"""The ledger: what was accepted, against what is known and what rang. It keeps the count for docs/reliability.md."""

import json
import os
from contextlib import suppress
from pathlib import Path

from e2e.relay_process import until

RECORD = os.environ.get("RELAY_RELIABILITY")
"""File to which each fault that was tried is added (`make reliability`)."""


async def hold(running, pager, accepted: set[str], fault: str, how: str, seconds: float = 30) -> None:
    """Hold what was accepted against what is known, and what rang; each alert is an incident of its own."""

    async def all_paged():
        return len(set(pager.pages())) >= len(accepted)

    with suppress(TimeoutError):  # what is missing is said below
        await until(all_paged, seconds)
    incidents = {i["service"]: i["id"] for i in await running.incidents()}
    rung = [key.partition("/")[0] for key in pager.pages()]
    lost = {service for service in accepted if incidents.get(service) not in rung}
    doubled = {id_ for id_ in rung if rung.count(id_) > 1}
    record(fault, how, len(accepted), len(lost), len(doubled))
    assert not lost, "accepted, and lost or never paged"
    assert not doubled, "rang twice"
    assert (await running.get("/api/v1/verify"))["problems"] == {}


def record(fault: str, how: str, accepted: int, lost: int, doubled: int) -> None:
    """Add one try of a fault to the record, if there is one."""
    if RECORD:
        told = {"fault": fault, "how": how, "accepted": accepted, "lost": lost, "doubled": doubled}
        with Path(RECORD).open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
