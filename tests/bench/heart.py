"""A worker with a heart: it says how late its loop was, and when. `python -m tests.bench.heart RULES PORT`.

It is relay-synthetic as it is, with one task more. How late each beat is goes to `beats` in its directory when it ends.
"""

import asyncio
import struct
import sys
import time
from array import array
from pathlib import Path

from synthetic.exposition import Exposition
from synthetic.service import Tokens, serve
from synthetic.worker import AT_ONCE

EVERY = 0.002
"""Seconds."""
BEATS = Path("beats")


async def beat(exposition: Exposition) -> None:
    """Beat until cancelled."""
    beats = array("d")
    try:
        while True:
            began = time.monotonic()
            await asyncio.sleep(EVERY)
            now = time.monotonic()
            beats.extend((now, now - began - EVERY))
    finally:
        _keep(beats)


def _keep(beats: array) -> None:
    BEATS.write_bytes(beats.tobytes())


def read_beats(directory: Path) -> list[tuple[float, float]]:
    """When (by the machine's monotonic clock), and how many milliseconds late."""
    return [(at, late * 1000) for at, late in struct.iter_unpack("dd", (directory / BEATS).read_bytes())]


if __name__ == "__main__":
    rules, port = sys.argv[1:]
    where = ("127.0.0.1", int(port))
    asyncio.run(serve(Path(rules), "here", where, Tokens(), AT_ONCE, lambda bound: None, pushes=[beat]))
