"""The worker: runs each check when it is due, confirms what fails, and keeps what came of it.

Checks are spread over their interval by a hash of their names: the same after every start, and otherwise at every
location. One loop and one heap of due times serve all of them.
"""

import asyncio
import hashlib
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import structlog

from relay.clock import Clock
from synthetic.checks import Check, Checks
from synthetic.execute import execute
from synthetic.exposition import Exposition
from synthetic.history import History, Remembered
from synthetic.inquiry import Inquiry
from synthetic.run import Result
from synthetic.watch import State, Watch

log = structlog.get_logger()

AT_ONCE = 500
"""Runs at the same time."""
BROWSERS_AT_ONCE = 2
"""Browsers at the same time: each needs a processor and some 300 MiB."""
FRESH = 5.0
"""Seconds for which what is looked at because something else fails need not be looked at again."""
STEP = 200
"""Checks that are taken over before others get their turn."""


class Worker:
    """Runs the checks of one location. Its owner runs it in a task."""

    def __init__(
        self,
        checks: Checks,
        location: str,
        clock: Clock,
        at_once: int = AT_ONCE,
        suspected: Callable[[Check], None] = lambda check: None,
    ) -> None:
        self.location = location
        self.exposition = Exposition(location)
        self.history = History()
        self._clock = clock
        self._suspected = suspected
        """Called when a check fails for the first time: others may look, too."""
        self._places = asyncio.Semaphore(at_once)
        self._asked = asyncio.Semaphore(at_once)
        """Places for `/probe`, apart: whoever asks must not keep checks from running."""
        self._browsers = asyncio.Semaphore(BROWSERS_AT_ONCE)
        self._due: list[tuple[float, int, str, bool]] = []
        """When, a number that breaks ties, which check, and whether it is planned (and so comes again)."""
        self._numbers = itertools.count()
        self._watches: dict[str, Watch] = {}
        self._running: dict[str, asyncio.Task[Result]] = {}
        self._began: dict[str, float] = {}
        """When the run of a check that is under way, or the last one, was begun."""
        self._ended: dict[str, float] = {}
        self._told: dict[str, float] = {}
        """Until when others, who have told us of a failure, are not told of ours."""
        self._changed = asyncio.Event()
        self._mine: dict[str, Check] = {}
        self.checks = checks
        deque(self._take(checks), maxlen=0)

    async def take(self, checks: Checks) -> None:
        """Take other checks, while probes run; what is known of those that stay as they are is kept."""
        for _ in self._take(checks):
            await asyncio.sleep(0)

    def _take(self, checks: Checks) -> Iterator[None]:
        mine: dict[str, Check] = {}
        watches: dict[str, Watch] = {}
        for number, check in enumerate(checks.at(self.location)):
            before = self._mine.get(check.name)
            if before and _same(before, check):
                mine[check.name], watches[check.name] = before, self._watches[check.name]
            else:
                mine[check.name], watches[check.name] = check, Watch(check.confirm)
            if number % STEP == 0:
                yield
        fresh = {name for name, check in mine.items() if check is not self._mine.get(name)}
        self._mine, self._watches = mine, watches
        self.checks = replace(checks, checks={**checks.checks, **mine})
        self._due = [one for one in self._due if one[2] in mine and one[2] not in fresh]
        heapq.heapify(self._due)
        yield from self.exposition.plan(self.checks, mine.values())
        for number, name in enumerate(fresh):
            self._push(_next(mine[name], self.location, _time()), name, planned=True)
            if number % STEP == 0:
                yield

    async def run(self) -> None:
        """Run checks until cancelled."""
        try:
            while True:
                self._changed.clear()
                wait = self._due[0][0] - _time() if self._due else None
                if wait is None or wait > 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), wait)
                    continue
                due, _, name, planned = heapq.heappop(self._due)
                self._begin(name, due, planned)
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)  # journeys clean up

    async def run_now(self, names: Iterable[str]) -> list[tuple[Check, Result]]:
        """Run checks at once, and wait for what comes of it. A run that had begun before does not count."""
        chosen = [self._mine[name] for name in names if name in self._mine]
        results = await asyncio.gather(*map(self._anew, chosen))
        return list(zip(chosen, results, strict=True))

    async def _anew(self, check: Check) -> Result:
        """Run a check, once no run is under way that had begun earlier; those who wait together share one."""
        asked = _time()
        while (task := self._running.get(check.name)) and self._began[check.name] < asked:
            await asyncio.wait([task])
        return await asyncio.shield(self._task(check, _time()))

    async def ask(self, inquiry: Inquiry) -> Remembered | None:
        """Run a module for `/probe`; gives nothing when too many run already."""
        places = self._browsers if inquiry.keys.kind == "browser" else self._asked
        if places.locked():
            return None
        async with places:
            result = await execute(inquiry.keys, inquiry.target, self._clock)
        return self.history.add_asked(inquiry.module, inquiry.target, result)

    def unknown(self, names: Sequence[str], tags: Sequence[str]) -> list[str]:
        """Which of these names and tags no check here has."""
        here = {tag for check in self._mine.values() for tag in check.tags}
        return [*(name for name in names if name not in self._mine), *(tag for tag in tags if tag not in here)]

    def told_of(self, names: Iterable[str]) -> None:
        """Somebody elsewhere sees these fail, and asks others already: what comes of it here is not asked on."""
        for name in names:
            if check := self._mine.get(name):
                self._told[name] = _time() + check.timeout.total_seconds() + FRESH

    def tagged(self, tags: Sequence[str]) -> list[str]:
        """Names of the checks here that have one of the tags."""
        return [name for name, check in self._mine.items() if set(tags) & set(check.tags)]

    def mine(self) -> list[tuple[Check, Watch]]:
        """The checks of this location, and what is believed of them."""
        return [(check, self._watches[name]) for name, check in self._mine.items()]

    def _begin(self, name: str, due: float, planned: bool) -> None:
        check = self._mine.get(name)
        if check is None:
            return
        if planned:
            coming = due + check.interval.total_seconds()
            if coming < _time():  # the process has slept: what was missed is not made up for
                coming = _next(check, self.location, _time())
            self._push(coming, name, planned=True)
        if name in self._running or self._places.locked():
            self.exposition.skip(check)
            return
        self._task(check, due)

    def _task(self, check: Check, due: float) -> asyncio.Task[Result]:
        task = self._running.get(check.name)
        if task is None:
            self._began[check.name] = _time()
            task = self._running[check.name] = asyncio.create_task(self._once(check, due))  # noqa: TID251
            task.add_done_callback(lambda done: self._ends(check, done))
        return task

    def _ends(self, check: Check, task: asyncio.Task[Result]) -> None:
        self._running.pop(check.name, None)
        if not task.cancelled() and (crash := task.exception()):
            log.error("a run of a check crashed", check=check.name, exc_info=crash)

    async def _once(self, check: Check, due: float) -> Result:
        async with self._browsers if check.kind == "browser" else self._places:
            lag = max(0.0, _time() - due)
            result = await execute(check, check.target, self._clock)
        self._ended[check.name] = _time()
        self.history.add(check.name, check.target, result)
        watch = self._watches.get(check.name)
        if watch is None or self._mine.get(check.name) is not check:
            return result
        before, now = watch.state, self._clock.now()
        again = watch.take(result.success, now)
        self.exposition.take(check, result, watch, lag, now)
        for soon in again:
            self._push(_time() + soon.total_seconds(), check.name, planned=False)
        if watch.state != before:
            log.info("a check", check=check.name, state=watch.state.name, reason=result.reason, found=result.text)
        if before == State.OK and watch.state != State.OK:
            self._look_around(check)
        return result

    def _look_around(self, check: Check) -> None:
        """When a check fails: are this location's controls well, and what it depends on? And what do others see?"""
        controls = [name for name, other in self._mine.items() if other.role == "control"]
        for name in dict.fromkeys((*controls, *check.depends_on)):
            if name != check.name and _time() - self._ended.get(name, -FRESH) >= FRESH:
                self._push(_time(), name, planned=False)
        if self._told.get(check.name, 0.0) < _time():
            self._suspected(check)

    def _push(self, due: float, name: str, planned: bool) -> None:
        heapq.heappush(self._due, (due, next(self._numbers), name, planned))
        self._changed.set()


def _time() -> float:
    """The loop's own clock, which is never set."""
    return asyncio.get_running_loop().time()


def _same(before: Check, check: Check) -> bool:
    """Whether a check has not changed, wherever it stands in its file."""
    return before == check.model_copy(update={"place": before.place})


def _next(check: Check, location: str, after: float) -> float:
    """The next planned start of a check after a moment: on its own grid, shifted by its name's hash."""
    interval = check.interval / timedelta(seconds=1)
    digest = hashlib.sha256(f"{location}/{check.name}".encode()).digest()
    offset = int.from_bytes(digest[:8]) / 2**64 * interval
    return offset + ((after - offset) // interval + 1) * interval
