"""Probe files read by a process of its own: `python -m synthetic.apart PATH` writes what `load` gives, pickled.

To read ten thousand checks takes seconds, in which probes would measure us instead of what they ask, and memory that
Python does not give back.
"""

import asyncio
import gc
import pickle
import sys
from pathlib import Path
from typing import Any

from relay.config.complaints import Complaint, Rejected
from relay.config.document import Place
from synthetic.checks import Checks, load


async def load_apart(path: Path) -> Checks:
    """Read and check the probe files of a directory, or the one file. Raises `Rejected`."""
    command = (sys.executable, "-m", "synthetic.apart", str(path))
    try:
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    except OSError as error:
        raise _not_read(path, f"cannot be started: {error.strerror}") from None
    try:
        told, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise _not_read(path, f"ended with {child.returncode}")
    found: Checks | tuple[Complaint, ...] = await asyncio.to_thread(_unpickle, told)
    if isinstance(found, tuple):
        raise Rejected(found)
    return found


def _not_read(path: Path, why: str) -> Rejected:
    problem = f"the process that reads the probe files {why}"
    return Rejected([Complaint(Place(str(path), 0), problem, "look at this machine's memory, and at its log")])


def _unpickle(told: bytes) -> Any:
    """Take over what was read, so that the garbage collector never looks at it: 70 ms each time for ten thousand."""
    gc.collect()
    gc.disable()
    try:
        return pickle.loads(told)
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    try:
        result: Checks | tuple[Complaint, ...] = load(Path(sys.argv[1]))
    except Rejected as rejected:
        result = rejected.complaints
    sys.stdout.buffer.write(pickle.dumps(result))
