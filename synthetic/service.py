"""The worker as a process: files, worker, server, signals."""

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web

from relay.clock import WallClock
from relay.config.complaints import Rejected
from synthetic import push
from synthetic.checks import Check, load
from synthetic.dial import forget_contexts
from synthetic.peers import second_opinion
from synthetic.probes import probe_of
from synthetic.pull import EVERY, NotPulled, pull, was_pulled
from synthetic.push import Pushgateway
from synthetic.run import Failed
from synthetic.server import RELOAD_OK, Server
from synthetic.worker import Worker

log = structlog.get_logger()

GRACE = 5.0
"""Seconds for requests that are under way when the worker ends."""


class Service:
    """A worker with its files, its server and its tasks. Raises `Rejected` for files that cannot be used."""

    def __init__(self, rules: Path, location: str, token: str, at_once: int, relay: str = "", etag: str = "") -> None:
        self._rules = rules
        self._relay, self._etag = relay, etag
        self._token = token
        self._tasks = asyncio.TaskGroup()
        self._opinions: set[asyncio.Task[None]] = set()
        self.worker = Worker(load(rules), location, WallClock(), at_once, self._suspected)
        self._warn()
        RELOAD_OK.set(1)

    async def run(
        self, listen: tuple[str, int], ready: Callable[[int], None], gateway: Pushgateway | None = None
    ) -> None:
        """Probe until SIGTERM or SIGINT. Raises OSError for the address. `ready` is told the port."""
        stop = _until_a_signal(self.reload)
        server = Server(self.worker, self._token, self.reload)
        runner = web.AppRunner(server.build(), access_log=None, shutdown_timeout=GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, *listen, reuse_address=True).start()
            async with self._tasks:
                working = [self._tasks.create_task(self.worker.run())]
                if self._relay:
                    working.append(self._tasks.create_task(self._follow()))
                if gateway:
                    pushing = push.follow(self.worker.exposition, self.worker.location, gateway)
                    working.append(self._tasks.create_task(pushing))
                host, port = runner.addresses[0][:2]
                ready(port)
                log.info("probing", checks=len(self.worker.mine()), address=f"{host}:{port}")
                await stop.wait()
                for task in (*working, *self._opinions):
                    task.cancel()
        finally:
            await runner.cleanup()

    def reload(self) -> Rejected | None:
        """Take the files anew; gives what is wrong with them, and then nothing changes."""
        try:
            checks = load(self._rules)
        except Rejected as rejected:
            RELOAD_OK.set(0)
            log.error("the probe files cannot be used, the last good ones stay", complaints=str(rejected))
            return rejected
        forget_contexts()
        self.worker.take(checks)
        self._warn()
        RELOAD_OK.set(1)
        log.info("probe files taken into use", revision=checks.revision)
        return None

    def _warn(self) -> None:
        """Say which checks cannot succeed here, before somebody is woken by them."""
        kinds = {check.kind for check, _ in self.worker.mine()}
        for kind in sorted(kinds | {module.kind for module in self.worker.checks.modules.values()}):
            try:
                probe_of(kind)
            except Failed as failed:
                log.warning("checks of a kind will fail", kind=kind, because=str(failed))

    async def _follow(self) -> None:
        """Take over files that have changed at Relay."""
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(EVERY)
                try:
                    fresh = await pull(self._relay, self._token, self._etag, self._rules, session)
                except (NotPulled, OSError) as trouble:
                    log.warning("the probe files stay as they are", because=str(trouble))
                    continue
                if fresh != self._etag:
                    self._etag = fresh
                    self.reload()

    def _suspected(self, check: Check) -> None:
        """Let somebody elsewhere look, too."""
        peers = {name: url for name, url in self.worker.checks.peers.items() if name != self.worker.location}
        if self._token and peers:
            task = self._tasks.create_task(second_opinion(peers, self._token, check.name))
            self._opinions.add(task)
            task.add_done_callback(self._opinions.discard)


def _until_a_signal(reload: Callable[[], object]) -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return stop


async def serve(
    rules: Path,
    location: str,
    listen: tuple[str, int],
    token: str,
    at_once: int,
    ready: Callable[[int], None],
    relay: str = "",
    gateway: Pushgateway | None = None,
) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises `Rejected` for the files, OSError for the address.

    With `relay`, the address of a Relay, the files are pulled from there; those that were pulled before serve while it
    is down. Raises `NotPulled` when there are none. With `gateway`, metrics are pushed there, too.
    """
    etag = ""
    if relay:
        async with aiohttp.ClientSession() as session:
            try:
                etag = await pull(relay, token, "", rules, session)
            except NotPulled as trouble:
                if not was_pulled(rules):
                    raise
                log.warning("the probe files are those pulled before", because=str(trouble))
    await Service(rules, location, token, at_once, relay, etag).run(listen, ready, gateway)


def bind_error(error: OSError, listen: str) -> str:
    """Say why the address cannot be listened on."""
    if isinstance(error, socket.gaierror):
        return f"{listen} is no address"
    return f"cannot listen on {listen}: {error.strerror}"
