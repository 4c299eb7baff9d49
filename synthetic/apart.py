"""Probe files read by a process of its own: `python -m synthetic.apart PATH` writes what `load` gives, pickled.

To read ten thousand checks takes seconds, in which probes would measure us instead of what they ask, and memory that
Python does not give back.
"""

import asyncio
import pickle
import sys
from pathlib import Path

from relay.config.complaints import Complaint, Rejected
from synthetic.checks import Checks, load


async def load_apart(path: Path) -> Checks:
    """Read and check the probe files of a directory, or the one file. Raises `Rejected`."""
    command = (sys.executable, "-m", "synthetic.apart", str(path))
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        told, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise RuntimeError(f"the process that reads the probe files ended with {child.returncode}")
    found: Checks | tuple[Complaint, ...] = await asyncio.to_thread(pickle.loads, told)
    if isinstance(found, tuple):
        raise Rejected(found)
    return found


if __name__ == "__main__":
    try:
        result: Checks | tuple[Complaint, ...] = load(Path(sys.argv[1]))
    except Rejected as rejected:
        result = rejected.complaints
    sys.stdout.buffer.write(pickle.dumps(result))
