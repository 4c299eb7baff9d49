"""The rules in use: those of the files, with what people and calendars make of their windows.

They change one change at a time, on the event loop; what takes long is read in a thread beside it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import structlog

from relay.clock import Clock
from relay.config.complaints import Complaint, Rejected
from relay.config.document import Route
from relay.config.files import read_all, revision
from relay.engine.metrics import Metrics
from relay.engine.ruleset import Ruleset, load
from relay.engine.windows import Dated, join_windows
from relay.incident.decide import Rules
from relay.incident.maintenance import Windows
from relay.incident.schedule import Told
from relay.integrations.courier import Courier
from relay.store.window_log import WindowAct

log = structlog.get_logger()

Result = TypeVar("Result")


class RulesInUse:
    """The last good rules. A reload that fails leaves them as they are."""

    def __init__(
        self,
        path: Path,
        link_base: str,
        extra: Mapping[str, Courier],
        clock: Clock,
        metrics: Metrics,
        mistaken: Callable[[Mapping[str, str]], Iterable[tuple[Route, str]]] = lambda types: (),
    ) -> None:
        """`mistaken` says what is wrong with targets that others name, given the types of all there are."""
        self.path = path
        """Where the rule files are."""
        self._link_base = link_base
        self._extra = extra
        self._clock = clock
        self._metrics = metrics
        self._mistaken = mistaken
        self._changing = asyncio.Lock()
        self._beside = ThreadPoolExecutor(1, "relay-rules")
        """A thread of their own: asyncio's may all be at what takes long."""
        self._acts: Sequence[WindowAct] = ()
        self._calendars: Mapping[str, str] = {}
        self._dated: Dated = {}
        self._told: Mapping[str, Told] = {}
        self._rules: Rules
        self._windows = Windows()
        self._ruleset = load(path, link_base)
        self._take_windows(self._join_windows(self._ruleset, (), {}))
        self._tell()

    @property
    def rules(self) -> Rules:
        """The rules of the files, with the windows that people have made, and those that calendars tell of."""
        return self._rules

    @property
    def couriers(self) -> Mapping[str, Courier]:
        """The couriers of the rules' targets, and of those that settings name."""
        return self._all

    def types(self) -> Mapping[str, str]:
        """The types of the rules' targets, by name."""
        return {name: target.type for name, target in self._ruleset.targets.items()}

    def limits(self) -> Mapping[str, int]:
        """Requests a minute that each target takes; 0 for no limit."""
        return self._limits

    @property
    def warnings(self) -> tuple[Complaint, ...]:
        """What `relay check` warns of."""
        return self._ruleset.warnings

    async def take_acts(self, acts: Sequence[WindowAct]) -> None:
        """Take in what people have done to windows over the API: all of it, or what an older look has shown."""
        async with self._changing:
            if len(acts) >= len(self._acts):  # acts only become more: who looked earlier may come later
                await self._change(self._ruleset, acts, self._calendars)

    async def take_calendar(self, window: str, text: str | None) -> None:
        """Take in the text of a window's calendar; None for a calendar that is to be forgotten."""
        async with self._changing:
            calendars = {name: known for name, known in self._calendars.items() if name != window}
            if text is not None:
                calendars[window] = text
            await self._change(self._ruleset, self._acts, calendars)

    def take_told(self, schedule: str, told: Told) -> None:
        """Take in what a provider has told of its schedule."""
        self._told = {**self._told, schedule: told}
        self._rules = replace(self._rules, roster=replace(self._rules.roster, told=self._told))

    async def files_differ(self) -> bool:
        """Whether the files hold other rules by now, or none that can be read."""
        try:
            documents, complaints = await self._think(read_all, self.path)
        except Rejected:
            return True
        return bool(complaints) or revision(documents) != self._rules.revision

    async def reload(self) -> Rejected | None:
        """Take the files anew; gives what is wrong with them when they cannot be used, and then nothing changes."""
        async with self._changing:
            try:
                ruleset = await self._think(load, self.path, self._link_base)
            except Rejected as rejected:
                self._metrics.reload_ok.set(0)
                log.error(
                    "the rules cannot be used, the last good ones stay",
                    complaints=[str(c) for c in rejected.complaints],
                )
                return rejected
            await self._change(ruleset, self._acts, self._calendars)
            self._tell()
            log.info("rules taken into use", revision=self.rules.revision)
            return None

    async def _change(self, ruleset: Ruleset, acts: Sequence[WindowAct], calendars: Mapping[str, str]) -> None:
        windows = await self._think(self._join_windows, ruleset, acts, calendars)
        self._ruleset, self._acts, self._calendars = ruleset, acts, calendars
        self._take_windows(windows)

    async def _think(self, work: Callable[..., Result], *given: object) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._beside, work, *given)

    def _join_windows(self, ruleset: Ruleset, acts: Sequence[WindowAct], calendars: Mapping[str, str]) -> Windows:
        now = self._clock.now()
        joined = join_windows(ruleset.rules.windows, acts, calendars, now, self._dated)
        windows = Windows(joined, self._windows)
        windows.open(now)  # computes when each opens and ends, here and not while an alert waits
        return windows

    def _take_windows(self, windows: Windows) -> None:
        rules, self._windows = self._ruleset.rules, windows
        self._rules = replace(rules, windows=windows, roster=replace(rules.roster, told=self._told))

    def _tell(self) -> None:
        """Take what else the files say, and tell of it."""
        self._all = {**self._ruleset.couriers, **self._extra}
        self._limits = {name: target.per_minute for name, target in self._ruleset.targets.items()}
        self._metrics.know(targets=self._all, policies=self._ruleset.rules.policies)
        self._metrics.reload_ok.set(1)
        self._metrics.reload_at.set(self._clock.now().timestamp())
        for warning in self._ruleset.warnings:
            log.warning("rules", warning=f"{warning.place}: {warning.problem}: {warning.advice}")
        for way, said in self._mistaken(self.types()):
            log.warning("settings", warning=f"{'.'.join(map(str, way))}: {said}")
