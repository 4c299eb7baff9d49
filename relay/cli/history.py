"""Asking Prometheus what a query gave in the past.

Contract: Prometheus' HTTP API, `POST /api/v1/query_range`, which evaluates the query at each step as a rule would, and
`POST /api/v1/query`, which does so once.
"""

import json
from collections.abc import Iterator
from typing import Any

import requests

from relay.reports.backtest import Grid
from relay.reports.tradeoffs import Series

CHUNK = 10_000
"""Evaluations in one question; Prometheus gives at most 11,000."""
MOST_SAMPLES = 4_000_000
MOST_BYTES = 256 * 1024 * 1024
TIMEOUT = 120.0
"""Seconds for one question."""
_CONNECT = 5.0
_SMALLER = "aggregate the expression, take a larger --step or a shorter --since"


class Unanswered(Exception):
    """Prometheus could not be asked, or did not answer with samples; the text says why."""


class History:
    """A Prometheus, or what speaks like it. `token` is sent as bearer token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.warnings: list[str] = []
        """What Prometheus warned of: data that is missing, above all."""

    def fetch(self, query: str, grid: Grid) -> list[Series]:
        """Give every series of the query at each evaluation of the grid. Raises `Unanswered`."""
        found: dict[tuple[tuple[str, str], ...], list[float | None]] = {}
        for first, last in _chunks(grid):
            for labels, values in self._ask(query, grid, first, last):
                key = tuple(sorted(labels.items()))
                samples = found.setdefault(key, [None] * grid.points)
                if len(found) * grid.points > MOST_SAMPLES:
                    raise Unanswered(f"more than {MOST_SAMPLES:,} samples: {_SMALLER}")
                for at, text in values:
                    samples[round((at - grid.start.timestamp()) / grid.step.total_seconds())] = float(text)
        return [Series(dict(key), samples) for key, samples in sorted(found.items())]

    def _ask(self, query: str, grid: Grid, first: int, last: int) -> Iterator[tuple[dict[str, str], list[Any]]]:
        form = {
            "query": query,
            "start": f"{grid.at(first).timestamp():.3f}",
            "end": f"{grid.at(last).timestamp():.3f}",
            "step": f"{grid.step.total_seconds():.3f}",
            "timeout": f"{TIMEOUT - 10:.0f}s",
        }
        told = self._post("query_range", form)
        match told:
            case {"status": "success", "data": {"resultType": "matrix", "result": list(result)}}:
                self.warnings += [str(one) for one in told.get("warnings") or () if str(one) not in self.warnings]
            case _:
                raise Unanswered("the answer is not Prometheus': check --prometheus")
        for one in result:
            if "values" not in one:
                raise Unanswered("it answers with native histograms: take a number of them, as histogram_quantile does")
            yield one["metric"], one["values"]

    def at(self, query: str, moment: int) -> Any:
        """Give what Prometheus answers to the query at a moment, in seconds since 1970. Raises `Unanswered`."""
        return self._post("query", {"query": query, "time": str(moment)})

    def _post(self, path: str, form: dict[str, str]) -> Any:
        try:
            with requests.post(
                f"{self._url}/{path}",
                data=form,
                headers=self._headers,
                timeout=(_CONNECT, TIMEOUT),
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = _read(answer)
                status = answer.status_code
        except requests.Timeout:
            raise Unanswered(f"no answer within {TIMEOUT:g} s: record it by a rule, or {_SMALLER}") from None
        except requests.RequestException as error:
            raise Unanswered(f"cannot be reached ({type(error).__name__}): check --prometheus") from None
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if isinstance(told, dict) and told.get("status") == "error":
            raise Unanswered(f"refused it (HTTP {status}): {told.get('error')}{_hint(str(told.get('error')))}")
        if status != 200:
            hint = ": give --prometheus-token-file" if status in (401, 403) else ": check --prometheus"
            raise Unanswered(f"answered HTTP {status}{hint}")
        return told


def _read(answer: requests.Response) -> bytes:
    body = bytearray()
    for part in answer.iter_content(1024 * 1024):
        body += part
        if len(body) > MOST_BYTES:
            raise Unanswered(f"answers more than {MOST_BYTES // 1024 // 1024} MiB at once: {_SMALLER}")
    return bytes(body)


def _hint(error: str) -> str:
    large = any(words in error for words in ("too many samples", "timed out", "exceeded"))
    return f"; {_SMALLER}" if large else ""


def _chunks(grid: Grid) -> Iterator[tuple[int, int]]:
    for first in range(0, grid.points, CHUNK):
        yield first, min(first + CHUNK, grid.points) - 1
