"""The worker as a process: files, worker, server, signals."""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web

from relay.clock import WallClock
from relay.config.complaints import Rejected
from synthetic.apart import load_apart
from synthetic.checks import Check, Checks
from synthetic.dial import renew_contexts
from synthetic.exposition import Exposition
from synthetic.kinds import Tls
from synthetic.peers import second_opinion
from synthetic.probes import probe_of
from synthetic.pull import EVERY, NotPulled, Unusable, pull, was_pulled
from synthetic.run import Failed
from synthetic.server import RELOAD_OK, Server
from synthetic.worker import Worker

log = structlog.get_logger()

Push = Callable[[Exposition], Coroutine[None, None, None]]
"""Tells somebody of what is seen, until it is cancelled."""
GRACE = 5.0
"""Seconds for requests that are under way when the worker ends."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Who shows what to whom; empty for none."""

    own: str = ""
    """Whoever lets this worker run checks, or reload."""
    peers: str = ""
    """Workers to each other: to run checks."""
    relay: str = ""
    """This worker to Relay: of a viewer."""


class Service:
    """A worker with its files, its server and its tasks. `checks` are what the files say now."""

    def __init__(
        self,
        checks: Checks,
        rules: Path,
        location: str,
        tokens: Tokens,
        at_once: int,
        relay: str = "",
        etag: str = "",
    ) -> None:
        self._rules = rules
        self._relay, self._etag = relay, etag
        self._tokens = tokens
        self._tasks = asyncio.TaskGroup()
        self._opinions: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._told_to_reload = asyncio.Event()
        self.worker = Worker(checks, location, WallClock(), at_once, self._suspected)
        self._warn()
        RELOAD_OK.set(1)

    async def run(self, listen: tuple[str, int], ready: Callable[[int], None], pushes: Sequence[Push] = ()) -> None:
        """Probe until SIGTERM or SIGINT. Raises OSError for the address. `ready` is told the port."""
        stop = _until_a_signal(self._told_to_reload)
        server = Server(self.worker, self._tokens.own, self.reload, self._tokens.peers)
        runner = web.AppRunner(server.build(), access_log=None, shutdown_timeout=GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, *listen, reuse_address=True).start()
            async with self._tasks:
                working = [self._tasks.create_task(each) for each in (self.worker.run(), self._reload_when_told())]
                if self._relay:
                    working.append(self._tasks.create_task(self._follow()))
                working += [self._tasks.create_task(push(self.worker.exposition)) for push in pushes]
                host, port = runner.addresses[0][:2]
                ready(port)
                log.info("probing", checks=len(self.worker.mine()), address=f"{host}:{port}")
                await stop.wait()
                for task in (*working, *self._opinions):
                    task.cancel()
        finally:
            await runner.cleanup()

    async def reload(self) -> Rejected | None:
        """Take the files anew, while probes run; gives what is wrong with them, and then nothing changes."""
        async with self._reloading:
            try:
                checks = await _read(self._rules)
            except Rejected as rejected:
                RELOAD_OK.set(0)
                log.error("the probe files cannot be used, the last good ones stay", complaints=str(rejected))
                return rejected
            await self.worker.take(checks)
            self._warn()
            RELOAD_OK.set(1)
            log.info("probe files taken into use", revision=checks.revision)
            return None

    async def _reload_when_told(self) -> None:
        while True:
            await self._told_to_reload.wait()
            self._told_to_reload.clear()
            await self.reload()

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
                    fresh = await pull(self._relay, self._tokens.relay, self._etag, self._rules, session)
                except Unusable as trouble:
                    self._etag = trouble.etag
                    RELOAD_OK.set(0)
                    log.error("the probe files stay as they are", because=str(trouble))
                    continue
                except (NotPulled, OSError) as trouble:
                    log.warning("the probe files stay as they are", because=str(trouble))
                    continue
                if fresh != self._etag:
                    self._etag = fresh
                    await self.reload()

    def _suspected(self, check: Check) -> None:
        """Let somebody elsewhere look, too."""
        peers = {name: url for name, url in self.worker.checks.peers.items() if name != self.worker.location}
        if self._tokens.peers and peers:
            task = self._tasks.create_task(second_opinion(peers, self._tokens.peers, check.name))
            self._opinions.add(task)
            task.add_done_callback(self._opinions.discard)


async def _read(rules: Path) -> Checks:
    """Read the files, and those with certificates that they name. Raises `Rejected`."""
    checks = await load_apart(rules)
    await asyncio.to_thread(lambda: renew_contexts(_contexts_of(checks)))
    return checks


def _contexts_of(checks: Checks) -> set[tuple[Tls, str]]:
    """The ways in which the files want TLS to be spoken."""
    ways = ((keys, keys.kind) for keys in (*checks.checks.values(), *checks.modules.values()))
    return {(tls, "h2" if kind == "grpc" else "") for keys, kind in ways if (tls := getattr(keys, "tls", None))}


def _until_a_signal(reload: asyncio.Event) -> asyncio.Event:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    return stop


async def serve(
    rules: Path,
    location: str,
    listen: tuple[str, int],
    tokens: Tokens,
    at_once: int,
    ready: Callable[[int], None],
    relay: str = "",
    pushes: Sequence[Push] = (),
) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises `Rejected` for the files, OSError for the address.

    With `relay`, the address of a Relay, the files are pulled from there; those that were pulled before serve while it
    is down. Raises `NotPulled` when there are none.
    """
    etag = ""
    if relay:
        async with aiohttp.ClientSession() as session:
            try:
                etag = await pull(relay, tokens.relay, "", rules, session)
            except NotPulled as trouble:
                if not was_pulled(rules):
                    raise
                log.warning("the probe files are those pulled before", because=str(trouble))
    checks = await _read(rules)
    await Service(checks, rules, location, tokens, at_once, relay, etag).run(listen, ready, pushes)


def bind_error(error: OSError, listen: str) -> str:
    """Say why the address cannot be listened on."""
    if isinstance(error, socket.gaierror):
        return f"{listen} is no address"
    return f"cannot listen on {listen}: {error.strerror}"
