"""Maintenance windows mirrored into Alertmanager: what is silent here is silent for its other receivers, too.

Nothing is remembered: silences there are held against windows here, and what differs is made the same. So windows
that end early, are extended or removed need nothing more, and replicas need not agree on who does it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import aiohttp
import structlog

from relay.clock import Clock
from relay.engine.metrics import Metrics
from relay.incident.maintenance import Windows
from relay.integrations.alertmanager_api import AlertmanagerApi, Silence
from relay.integrations.courier import Again, Never

log = structlog.get_logger()

EVERY = 15.0
"""Seconds between two looks."""
BY = "Relay, window "
"""How the author of our silences begins."""
_NEAR = timedelta(seconds=1)
"""Alertmanager keeps times less finely."""


class Mirror:
    """Keeps silences in step with windows. Its owner runs it in a task."""

    def __init__(
        self,
        sources: Mapping[str, Sequence[AlertmanagerApi]],
        windows: Callable[[], Windows],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._sources = sources
        """Alertmanagers of each source; those of one source are a cluster, which shares its silences."""
        self._windows = windows
        self._clock = clock
        self._metrics = metrics
        self._left: set[str] = set()
        """Sources that may have silences of ours."""

    async def run(self) -> None:
        """Keep them in step until cancelled, each source by itself: none waits for another that does not answer."""
        self._left = set(self._sources)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for name in self._sources:
                tasks.create_task(self._follow(name, session))

    async def _follow(self, name: str, session: aiohttp.ClientSession) -> None:
        while True:
            await self.look(name, session)
            await asyncio.sleep(EVERY)

    async def look(self, name: str, session: aiohttp.ClientSession) -> None:
        """Look once at a source; it is asked only where there is, or may be, something to keep in step."""
        wanted = wanted_silences(self._windows(), self._clock.now())
        if wanted or name in self._left:
            await self._keep(name, self._sources[name], wanted, session)

    async def _keep(
        self, name: str, cluster: Sequence[AlertmanagerApi], wanted: Sequence[Silence], session: aiohttp.ClientSession
    ) -> None:
        for api in cluster:
            try:
                for silence in changes(wanted, await api.silences(session)):
                    await _do(api, silence, session)
            except (Again, Never) as trouble:
                self._metrics.mirror_failures.labels(name).inc()
                log.warning("silences cannot be kept in step with windows", source=name, because=str(trouble))
            else:
                self._left = self._left | {name} if wanted else self._left - {name}
                return


async def _do(api: AlertmanagerApi, silence: Silence, session: aiohttp.ClientSession) -> None:
    if silence.ends <= silence.starts:
        await api.end_silence(silence.id, session)
    else:
        await api.silence(silence, session)


def wanted_silences(windows: Windows, now: datetime) -> list[Silence]:
    """What should be silent now: each set of matchers of a window until the last end of the times it is open at.

    Not in its grace: what begins in it is to page, and a silence would keep it from Relay.
    """
    found: dict[tuple[object, ...], Silence] = {}
    for window in windows:
        if not window.mirror or window.mode != "enforce":
            continue
        for occasion in window.occasions(now, now + _NEAR):  # in order: of those that overlap, one takes over
            if occasion.starts > now:
                continue
            for matchers in window.sets():
                one = Silence(matchers, occasion.starts, occasion.ends, f"{BY}{window.name}", window.because)
                known = found.get(_what(one))
                found[_what(one)] = replace(known, ends=max(known.ends, one.ends)) if known else one
    return list(found.values())


def changes(wanted: Sequence[Silence], there: Sequence[Silence]) -> list[Silence]:
    """Say what has to be made, changed (with the id of what is there), or ended (with no time left)."""
    ours: dict[tuple[object, ...], Silence] = {}
    ended = []
    for silence in there:
        if not silence.by.startswith(BY):
            continue
        if _what(silence) in ours or all(_what(silence) != _what(one) for one in wanted):
            ended.append(replace(silence, ends=silence.starts))
        else:
            ours[_what(silence)] = silence
    made = []
    for one in wanted:
        known = ours.get(_what(one))
        if known is None or known.comment != one.comment or abs(known.ends - one.ends) > _NEAR:
            made.append(replace(one, id=known.id, starts=known.starts) if known else one)
    return [*ended, *made]


def _what(silence: Silence) -> tuple[object, ...]:
    return silence.by, frozenset((one.name, one.op, one.value) for one in silence.matchers)
