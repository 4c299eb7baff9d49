"""The worker as a process: files, worker, server, signals."""

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import structlog
from aiohttp import web

from relay.clock import WallClock
from relay.config.complaints import Rejected
from synthetic.checks import Check, load
from synthetic.dial import forget_contexts
from synthetic.peers import second_opinion
from synthetic.server import RELOAD_OK, Server
from synthetic.worker import Worker

log = structlog.get_logger()

GRACE = 5.0
"""Seconds for requests that are under way when the worker ends."""


async def serve(
    rules: Path, location: str, listen: tuple[str, int], token: str, at_once: int, ready: Callable[[int], None]
) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises `Rejected` for files that cannot be used, OSError for the address.

    `ready` is told the port.
    """
    clock, loop = WallClock(), asyncio.get_running_loop()
    opinions: set[asyncio.Task[None]] = set()

    def suspected(check: Check) -> None:
        elsewhere = {name: url for name, url in worker.checks.peers.items() if name != location}
        if token and elsewhere:
            task = tasks.create_task(second_opinion(elsewhere, token, check.name))
            opinions.add(task)
            task.add_done_callback(opinions.discard)

    def reload() -> Rejected | None:
        try:
            checks = load(rules)
        except Rejected as rejected:
            RELOAD_OK.set(0)
            log.error("the probe files cannot be used, the last good ones stay", complaints=str(rejected))
            return rejected
        forget_contexts()
        worker.take(checks)
        RELOAD_OK.set(1)
        log.info("probe files taken into use", revision=checks.revision)
        return None

    worker = Worker(load(rules), location, clock, at_once, suspected)
    RELOAD_OK.set(1)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    runner = web.AppRunner(Server(worker, clock, token, reload).build(), access_log=None, shutdown_timeout=GRACE)
    await runner.setup()
    try:
        site = web.TCPSite(runner, *listen, reuse_address=True)
        await site.start()
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(worker.run())
            bound: tuple[str, int] = runner.addresses[0][:2]
            ready(bound[1])
            log.info("probing", location=location, checks=len(worker.mine()), address=f"{bound[0]}:{bound[1]}")
            await stop.wait()
            for task in (working, *opinions):
                task.cancel()
    finally:
        await runner.cleanup()


def bind_error(error: OSError, listen: str) -> str:
    """Say why the address cannot be listened on."""
    if isinstance(error, socket.gaierror):
        return f"{listen} is no address"
    return f"cannot listen on {listen}: {error.strerror}"
