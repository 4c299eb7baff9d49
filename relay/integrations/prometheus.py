"""Prometheus: looks facts up. What it does not know for certain is unknown, with the reason in words.

Contract: Prometheus' HTTP API, `POST /api/v1/query`. Values are strings; no series at all is a success without data.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp

from relay.clock import Clock, WallClock
from relay.incident.effects import Effect, Measure
from relay.incident.events import Measured
from relay.integrations.courier import Again, Never
from relay.integrations.exchange import MOST_BYTES, Exchange
from relay.integrations.fitting import cut, one_line

TIMEOUT = 2.0
"""Seconds for a query, its wait for a free place included."""
BELIEVED = 30.0
"""Seconds for which a value is taken from memory."""
FAILURE_BELIEVED = 5.0
"""Seconds for which an unknown is, so that a Prometheus in trouble is not asked all the time."""
AT_ONCE = 8
MOST_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class _Remembered:
    found: float | str
    at: datetime
    believed: timedelta


class Prometheus:
    """Answers `Measure` from one Prometheus; `timeout` and `cache` in seconds."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float = TIMEOUT,
        cache: float = BELIEVED,
        clock: Clock | None = None,
    ) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = timeout
        self._believed = timedelta(seconds=cache)
        self._clock = clock or WallClock()
        self._exchange = Exchange("Prometheus", token or "", timeout, self._clock)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._memory: dict[str, _Remembered] = {}
        self._asking: dict[str, asyncio.Future[float | str]] = {}

    async def carry_out(self, effect: Effect, session: aiohttp.ClientSession) -> Measured:
        """Look all facts up at once. Raises `Never` for anything but `Measure`: for facts there is always an answer."""
        if not isinstance(effect, Measure):
            raise Never(f"Prometheus cannot carry out {type(effect).__name__}")
        async with asyncio.TaskGroup() as tasks:
            lookups = {name: tasks.create_task(self._look_up(query, session)) for name, query in effect.queries.items()}
        found = {name: lookup.result() for name, lookup in lookups.items()}
        values = {name: value for name, value in found.items() if isinstance(value, float)}
        unknown = {name: reason for name, reason in found.items() if isinstance(reason, str)}
        return Measured(values, {**unknown, **effect.unanswerable})

    async def _look_up(self, query: str, session: aiohttp.ClientSession) -> float | str:
        """Give the value or the reason why there is none: from memory, from a question under way, or by asking."""
        if query in self._asking:
            return await asyncio.shield(self._asking[query])  # who gives up waiting must not stop the others
        if (known := self._memory.get(query)) and timedelta() <= self._clock.now() - known.at < known.believed:
            return known.found
        self._asking[query] = answered = asyncio.get_running_loop().create_future()
        found: float | str = "the question was broken off"
        try:
            found = await self._ask(query, session)
            self._remember(query, found)
        finally:
            del self._asking[query]
            answered.set_result(found)
        return found

    async def _ask(self, query: str, session: aiohttp.ClientSession) -> float | str:
        form = {"query": query, "timeout": f"{self._timeout * 900:.0f}ms"}
        try:
            async with asyncio.timeout(self._timeout), self._places:
                answer = await self._exchange.send(session, "POST", self._url, form=form, headers=self._headers)
        except TimeoutError:
            return f"Prometheus did not answer within {self._timeout:g} s"
        except (Again, Never) as trouble:
            return str(trouble)
        if not answer.whole:
            return f"Prometheus answered more than {MOST_BYTES // 1024} KiB: the query must give one number"
        told = answer.told()
        if answer.status != 200 or told.get("status") != "success":
            return str(self._exchange.refusal(answer))
        return read_answer(told)

    def _remember(self, query: str, found: float | str) -> None:
        believed = self._believed if isinstance(found, float) else timedelta(seconds=FAILURE_BELIEVED)
        self._memory.pop(query, None)
        self._memory[query] = _Remembered(found, self._clock.now(), min(believed, self._believed))
        while len(self._memory) > MOST_REMEMBERED:
            del self._memory[next(iter(self._memory))]


def read_answer(told: Mapping[str, Any]) -> float | str:
    """Read an instant query's answer: one finite number, or the reason why it is none."""
    if warning := _of_missing_data(told.get("warnings")):
        return f"Prometheus warns that data is missing: {cut(one_line(warning), 200)}"
    match told.get("data"):
        case {"resultType": "scalar", "result": [_, str(text)]}:
            return _number(text)
        case {"resultType": "vector", "result": [{"value": [_, str(text)]}]}:
            return _number(text)
        case {"resultType": "vector", "result": []}:
            return "Prometheus answered nothing for it (empty result)"
        case {"resultType": "vector", "result": [_]}:
            return "Prometheus answered something that is not a number, perhaps a histogram"
        case {"resultType": "vector", "result": list(series)}:
            return f"Prometheus answered {len(series)} series where one number was expected: aggregate the query"
        case {"resultType": kind}:
            return f"Prometheus answered with a {cut(one_line(str(kind)), 20)} where one number was expected"
        case _:
            return "Prometheus answered with no result at all"


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return f"Prometheus answered {cut(text, 20)!r}, which is not a number"
    if math.isfinite(value):
        return value
    return f"Prometheus answered {text}, as a division by nothing gives: there may be no traffic"


def _of_missing_data(warnings: Any) -> str:
    """Give the first warning that tells of missing data: a store that failed, a partial or a limited result.

    A "PromQL warning" is about how the query is written; Prometheus, Thanos and Mimir warn otherwise only of data.
    """
    told = warnings if isinstance(warnings, list) else []
    return next((str(warning) for warning in told if not str(warning).startswith("PromQL")), "")
