"""The service: everything started in order, and stopped in order."""

import asyncio
import errno
import gc
import logging
import resource
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from watchfiles import awatch

from relay.clock import Clock, WallClock
from relay.config.secrets import read_secret
from relay.config.settings import AlertmanagerSettings, PrometheusAlertsSettings, Settings
from relay.config.trouble import Trouble
from relay.engine.announcer import Announcer
from relay.engine.checkpoints import keep_log_short
from relay.engine.conditions import Conditions, Dated
from relay.engine.dispatch import Dispatch
from relay.engine.follow import FollowUp
from relay.engine.heartbeat import Heartbeat
from relay.engine.intake import Intake
from relay.engine.loop import Loop
from relay.engine.metrics import Metrics
from relay.engine.mirror import Mirror
from relay.engine.pace import Pace
from relay.engine.reconcile import Asked, Reconcile
from relay.engine.rules_in_use import RulesInUse
from relay.engine.schedule_watch import ScheduleWatch
from relay.engine.sweep import Sweep
from relay.engine.watchdogs import Watchdogs
from relay.engine.window_watch import WindowWatch
from relay.engine.writer import Writer
from relay.http.access import read_access
from relay.http.app import build
from relay.http.pagers import read_pagers
from relay.incident.effects import Effect, Measure
from relay.incident.events import Measured
from relay.incident.reconcile import Patience
from relay.integrations.alertmanager_api import AlertmanagerApi
from relay.integrations.courier import Courier
from relay.integrations.prometheus import Prometheus
from relay.integrations.prometheus_alerts import PrometheusAlerts
from relay.store.database import open_database

log = structlog.get_logger()

GRACE = 25.0
"""Seconds that errands under way have to end when the service stops; Kubernetes kills after 30."""


MOST_UNREVIEWED = 10_000
"""Objects that have come before the young ones are looked through for cycles; a turn makes hundreds, and few cycles."""
SILENT = 75.0
"""Seconds after which a connection that says nothing is closed: each takes a descriptor, which pages need as well."""
COMPANION_RESTS = 5.0
"""Seconds before what runs beside the loop is started again after a failure."""


class CannotListen(Trouble):
    """The address cannot be listened on. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs, and how to stop it."""

    address: tuple[str, int]
    stop: Callable[[], None]
    reconsider: Callable[[], None]
    rules: RulesInUse
    follow_up: FollowUp
    sweep: Sweep


async def serve(settings: Settings, clock: Clock | None = None) -> None:
    """Run the service until it is told to stop by SIGTERM or SIGINT; SIGHUP takes the rules anew.

    Raises `Rejected`, `SecretMissing`, `StoreUnusable` or `CannotListen` when it cannot start.
    """
    _take_all_descriptors()
    async with running(settings, clock or WallClock()) as service:
        loop, told = asyncio.get_running_loop(), asyncio.Queue[int]()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, told.put_nowait, number)
        gc.freeze()  # what is there now stays, and need not be looked through for cycles again and again
        gc.set_threshold(MOST_UNREVIEWED)
        log.info("listening", host=service.address[0], port=service.address[1], rules=service.rules.rules.revision)
        while await told.get() == signal.SIGHUP:
            if await service.rules.reload() is None:
                service.reconsider()
        log.info("stopping")


def _take_all_descriptors() -> None:
    """Use as many as are allowed: the usual limit, 1,024, is for programs that ask for more where they need it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # where a sandbox forbids it, what there is must do
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@asynccontextmanager
async def running(settings: Settings, clock: Clock) -> AsyncIterator[Running]:
    """Start the service; when the context ends, take no more, finish what is under way, and stop."""
    settings.check_secrets()
    metrics = Metrics()
    metrics.know(sources=settings.sources)
    access, pagers = read_access(settings), read_pagers(settings)
    rules = RulesInUse(
        settings.rules, settings.external_url, _of_settings(settings, clock), clock, metrics, settings.mistaken_targets
    )
    writer = Writer(open_database(settings.database_url()))
    intake, dispatch = Intake(), Dispatch(lambda: rules.couriers, Pace(rules.limits, time.monotonic), clock, metrics)
    loop = Loop(writer, intake, dispatch, lambda: rules.rules, clock, metrics)
    follow_up = FollowUp(lambda: rules.couriers, writer, lambda: rules.rules, clock, metrics, loop.look)
    sweep = Sweep(settings.retention.ages(), writer, intake, clock, metrics)
    window_watch = WindowWatch(rules, writer, clock, metrics, loop.reconsider)
    schedule_watch = ScheduleWatch(rules, writer, clock, metrics)
    try:
        await schedule_watch.begin()
        await window_watch.begin()
        loop.reconsider()  # the files may have changed since the last stop
        async with asyncio.TaskGroup() as tasks:
            companions = [
                tasks.create_task(_keep(partial(_watch, settings.rules, rules, loop))),
                *(
                    tasks.create_task(_keep(run))
                    for run in (
                        window_watch.run,
                        schedule_watch.run,
                        follow_up.run,
                        sweep.run,
                        *_companions(settings, writer, intake, loop, rules, clock, metrics),
                    )
                ),
            ]
            turning = tasks.create_task(loop.run())
            try:
                app = build(access, pagers, writer, intake, loop, rules, clock, metrics)
                async with _listening(settings, app) as address:
                    yield Running(address, loop.stop, loop.reconsider, rules, follow_up, sweep)
            finally:
                for companion in companions:
                    companion.cancel()
                loop.stop()
                await _end(turning)
    finally:
        writer.close()


async def _end(turning: asyncio.Task[None]) -> None:
    """Let the loop finish what is under way; what it cannot finish in time falls due again after the next start."""
    done, _ = await asyncio.wait([turning], timeout=GRACE)
    if not done:
        log.warning("stopped with errands under way: they are carried out again after the next start")
        turning.cancel()


@asynccontextmanager
async def _listening(settings: Settings, app: web.Application) -> AsyncIterator[tuple[str, int]]:
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=10,
        keepalive_timeout=SILENT,
        auto_decompress=False,  # nothing is unpacked for who may not post: see read_body
    )
    await runner.setup()
    try:
        host, port = settings.address
        site = web.TCPSite(runner, host, port, backlog=2048, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            raise CannotListen(_why_not(settings.listen, error)) from error
        bound: tuple[str, int] = runner.addresses[0][:2]
        yield bound
    finally:
        await runner.cleanup()  # answers what has been asked, and takes no more


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether what the HTTP server tells of is a failure of ours: what comes and is not HTTP is none."""
    failure = record.exc_info[1] if record.exc_info else None
    if not isinstance(failure, HttpProcessingError | web.RequestPayloadError):
        return True
    log.debug("what came is not HTTP", because=type(failure).__name__)  # its words quote what came: a token, perhaps
    return False


def _why_not(listen: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{listen} is in use by another program: stop it, or choose another address with --listen"
    return f"cannot listen on {listen}: {error.strerror}"


async def _watch(path: Path, rules: RulesInUse, loop: Loop) -> None:
    """Take the rules anew when their files change, a Kubernetes ConfigMap's included.

    And once the watch stands: what changed between their reading and then has told nobody.
    """
    stands = False
    async for changes in awatch(path, step=200, debounce=1000, rust_timeout=2000, yield_on_timeout=True):
        if changes or (not stands and await rules.files_differ()):
            await rules.reload()
            loop.reconsider()
        stands = True


def _companions(
    settings: Settings,
    writer: Writer,
    intake: Intake,
    loop: Loop,
    rules: RulesInUse,
    clock: Clock,
    metrics: Metrics,
) -> list[Callable[[], Awaitable[None]]]:
    """What runs beside the loop: it asks sources, watches watchdogs, and gives a sign of life."""
    asked = {
        name: _asked(name, source.alertmanager, clock)
        for name, source in settings.sources.items()
        if source.alertmanager
    }
    dated = {name: _dated(source.prometheus, clock) for name, source in settings.sources.items() if source.prometheus}
    limits = {name: source.watchdog_within for name, source in settings.sources.items() if source.watchdog_within}
    runs: list[Callable[[], Awaitable[None]]] = [
        Reconcile(asked, writer, intake, lambda: rules.rules, clock, metrics, loop.look).run,
        Conditions(dated, writer, lambda: rules.rules, clock, metrics).run,
        Watchdogs(limits, writer, intake, clock).run,
        Mirror({name: one.apis for name, one in asked.items()}, lambda: rules.rules.windows, clock, metrics).run,
        Announcer(lambda: rules.rules.windows, writer, clock, loop.look).run,
        partial(keep_log_short, writer),
    ]
    if beat := settings.heartbeat:
        runs.append(Heartbeat(beat, lambda: loop.healthy, metrics).run)
    return runs


def _asked(name: str, found: AlertmanagerSettings, clock: Clock) -> Asked:
    token = found.token()
    apis = [AlertmanagerApi(url, name, found.receiver, token, clock) for url in found.urls]
    return Asked(apis, found.every, Patience(found.missed_after, found.absent_after))


def _dated(found: PrometheusAlertsSettings, clock: Clock) -> Dated:
    token = found.token()
    return Dated([PrometheusAlerts(url, token, clock) for url in found.urls], found.every)


async def _keep(run: Callable[[], Awaitable[None]]) -> None:
    """Run a companion, again when it fails: the loop must go on without it."""
    while True:
        try:
            return await run()
        except Exception:
            log.exception("a companion of the engine failed, and is started again")
            await asyncio.sleep(COMPANION_RESTS)


class _NoPrometheus:
    """Answers for a Prometheus that nobody has named."""

    async def carry_out(self, effect: Effect, session: aiohttp.ClientSession) -> Measured:
        """Every fact is unknown."""
        asked = effect.queries if isinstance(effect, Measure) else {}
        return Measured({}, dict.fromkeys(asked, "no Prometheus is named in the settings"))


def _of_settings(settings: Settings, clock: Clock) -> dict[str, Courier]:
    """Couriers of systems that settings name."""
    found = settings.prometheus
    if found is None:
        return {"prometheus": _NoPrometheus()}
    token = read_secret(found.token_file, found.token_env) if found.token_file or found.token_env else None
    return {"prometheus": Prometheus(found.url, token=token, cache=found.cache, clock=clock)}
