"""Child processes on loopback: started, waited for, and always ended."""

import asyncio
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

START_WITHIN = 30.0
"""Seconds that a process has to become ready."""
END_WITHIN = 15.0
"""Seconds that a process has to end after SIGTERM, before it is killed."""


class DidNotStart(Exception):
    """A process ended, or was not ready in time. The message holds the end of its log."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now, below those that the system gives to connections."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@asynccontextmanager
async def process(
    command: Sequence[str | Path], log: Path, ready: str, directory: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command (in a directory) until the context ends; `ready` is an address that answers 200 when it is.

    Raises `DidNotStart`.
    """
    with log.open("wb") as sink:
        child = await asyncio.create_subprocess_exec(*command, stdout=sink, stderr=sink, cwd=directory)
    try:
        await _wait(child, str(command[0]), ready, log)
        yield child
    finally:
        await end(child)


async def end(child: asyncio.subprocess.Process) -> None:
    """End a process: SIGTERM, and SIGKILL if that is not enough."""
    if child.returncode is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(child.wait(), END_WITHIN)
    except TimeoutError:
        child.kill()
        await child.wait()


async def _wait(child: asyncio.subprocess.Process, name: str, ready: str, log: Path) -> None:
    until = time.monotonic() + START_WITHIN
    async with aiohttp.ClientSession() as client:
        while time.monotonic() < until:
            if child.returncode is not None:
                raise DidNotStart(f"{name} ended with {child.returncode}:\n{tail(log)}")
            try:
                async with client.get(ready, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.1)
    raise DidNotStart(f"{name} was not ready within {START_WITHIN:.0f} s:\n{tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
