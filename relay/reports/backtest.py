"""Backtest: when an alerting rule would have fired over samples of the past.

Contract: Prometheus' rule evaluation (its `rules/alerting.go`). At each evaluation a series for which the expression
gives a sample is pending, and fires from the first evaluation at which it has been so for at least `for`; one
evaluation without ends it. Times are evaluations, numbered from 0 at the start of the grid.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite
from statistics import median

Samples = Sequence[float | None]
"""A value at each evaluation; None where there is no sample."""
Run = tuple[int, int]
"""Evaluations from the first to the one behind the last."""

FACTORS = (0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2)


@dataclass(frozen=True, slots=True)
class Grid:
    """The evaluations: `points` of them, `step` apart."""

    start: datetime
    step: timedelta
    points: int

    def at(self, evaluation: int) -> datetime:
        """When an evaluation is."""
        return self.start + self.step * evaluation

    def steps(self, span: timedelta) -> int:
        """How many steps it takes until at least `span` has passed."""
        return -(-span // self.step)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An incident that was; `ended` is None while it is open."""

    id: str
    title: str
    started: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an alert would have done, over one series or all of them together.

    `unended` firings still fired at the last evaluation: how long they last is not known, and none of them is short.
    `firing` is the time in which at least one series fired. `delays` are from an incident's start to the firing that
    catches it, by its id, below zero where the alert was earlier; `alone` counts firings that meet no incident.
    """

    firings: int
    short: int
    unended: int
    median: timedelta
    longest: timedelta
    firing: timedelta
    share: float
    delays: Mapping[str, timedelta]
    alone: int

    @property
    def delay(self) -> timedelta | None:
        """The median delay."""
        return _middle(self.delays.values()) if self.delays else None


def runs(samples: Samples, holds: Callable[[float], bool]) -> list[Run]:
    """Find where the expression is true at every evaluation, without a gap."""
    found: list[Run] = []
    first: int | None = None
    for i, value in enumerate(samples):
        if value is not None and holds(value):
            first = i if first is None else first
        elif first is not None:
            found.append((first, i))
            first = None
    if first is not None:
        found.append((first, len(samples)))
    return found


def firings(true: Iterable[Run], steps: int) -> list[Run]:
    """Leave out the pending part of each run: the first `steps` evaluations."""
    return [(first + steps, behind) for first, behind in true if first + steps < behind]


def outcome(
    fired: Sequence[Sequence[Run]],
    grid: Grid,
    short: timedelta,
    incidents: Sequence[Recorded] = (),
    earlier: Sequence[Recorded] = (),
) -> Outcome:
    """Sum up the firings of some series. Those that end within `short` are short.

    Whether incidents that began `earlier` were caught, the grid does not show; a firing amid one is not alone.
    """
    every = sorted(run for one in fired for run in one)
    spans = [grid.step * (behind - first) for first, behind in every]
    ended = [span for (_, behind), span in zip(every, spans, strict=True) if behind < grid.points]
    firing = sum(behind - first for first, behind in union(every))
    met = {incident.id: _meeting(incident, every, grid) for incident in incidents}
    delays = {i.id: grid.at(met[i.id][0][0]) - i.started for i in incidents if met[i.id]}
    matched = {run for of_one in met.values() for run in of_one}
    matched |= {run for incident in earlier for run in _meeting(incident, every, grid)}
    return Outcome(
        firings=len(every),
        short=sum(span <= short for span in ended),
        unended=len(every) - len(ended),
        median=_middle(spans) if spans else timedelta(),
        longest=max(spans, default=timedelta()),
        firing=grid.step * firing,
        share=firing / grid.points if grid.points else 0.0,
        delays=delays,
        alone=sum(run not in matched for run in every) if incidents or earlier else 0,
    )


def _middle(spans: Iterable[timedelta]) -> timedelta:
    return timedelta(seconds=median(span.total_seconds() for span in spans))


def _meeting(incident: Recorded, every: Sequence[Run], grid: Grid) -> list[Run]:
    """The firings that overlap an incident, in their order."""
    ended = incident.ended or grid.at(grid.points)
    return [run for run in every if grid.at(run[0]) <= ended and grid.at(run[1]) > incident.started]


def union(every: Iterable[Run]) -> list[Run]:
    """Join runs that overlap or touch; `every` is in order."""
    joined: list[Run] = []
    for first, behind in every:
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], behind))
        else:
            joined.append((first, behind))
    return joined


def nearby(threshold: float) -> list[float]:
    """Thresholds around one, in order. Between 0.5 and 1 it is a good ratio, and its distance to 1 is what scales."""
    if 0.5 <= threshold < 1:
        scaled = [1 - (1 - threshold) * factor for factor in FACTORS]
    else:
        scaled = [threshold * factor for factor in FACTORS]
    return sorted({float(f"{one:.9g}") for one in scaled} | {threshold})


def envelope(series: Sequence[Samples], columns: int, worst: Callable[[Iterable[float]], float]) -> list[float | None]:
    """Reduce series to so many columns: the worst value of any of them in each; None where there is none."""
    points = max(map(len, series), default=0)
    edges = [points * i // columns for i in range(columns + 1)]
    reduced: list[float | None] = []
    for first, behind in pairwise(edges):
        values = [value for one in series for value in one[first:behind] if value is not None and isfinite(value)]
        reduced.append(worst(values) if values else None)
    return reduced


def present(series: Sequence[Samples]) -> list[float]:
    """Count at each evaluation the series that have a sample."""
    return [float(sum(value is not None for value in at)) for at in zip(*series, strict=True)]
