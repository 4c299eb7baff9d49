"""What another `for` or another threshold would have changed: the same backtest, again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import isfinite
from typing import TypeVar

from relay.config.promql import Comparison
from relay.reports.backtest import Grid, Outcome, Recorded, Run, Samples, firings, nearby, outcome, runs

Value = TypeVar("Value", timedelta, float)

WAITS = tuple(timedelta(minutes=minutes) for minutes in (0, 1, 2, 5, 10, 15, 30))


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the query's answer, on the grid."""

    labels: Mapping[str, str]
    samples: Samples


@dataclass(frozen=True, slots=True)
class Asked:
    """The rule to try: `comparison` is None where the expression compares nothing with a number.

    Then the samples are those of the expression itself, and each of them makes it true, whatever its value.
    """

    grid: Grid
    wait: timedelta
    short: timedelta
    comparison: Comparison | None
    series: Sequence[Series]
    incidents: Sequence[Recorded] = ()
    """Those that began while the grid lasts."""
    earlier: Sequence[Recorded] = ()
    """Those that went on then, and had begun before."""

    def true(self, threshold: float | None = None) -> list[list[Run]]:
        """When the expression holds, for each series; with another threshold, if one is given."""
        compared = self.comparison
        if compared and threshold is not None:
            compared = replace(compared, number=threshold)
        holds = compared.holds if compared else _always
        return [runs(one.samples, holds) for one in self.series]

    def outcome(self, true: Sequence[Sequence[Run]], wait: timedelta) -> Outcome:
        """What comes of it with a `for`."""
        steps = self.grid.steps(wait)
        fired = [firings(of_one, steps) for of_one in true]
        return outcome(fired, self.grid, self.short, self.incidents, self.earlier)


def _always(value: float) -> bool:
    return True


def whole(asked: Asked) -> Outcome:
    """The rule as it was asked for."""
    return asked.outcome(asked.true(), asked.wait)


def each(asked: Asked) -> list[tuple[Mapping[str, str], Outcome]]:
    """The rule for each series that fired, the one that fired longest first."""
    each_true = zip(asked.series, asked.true(), strict=True)
    told = [(one.labels, asked.outcome([true], asked.wait)) for one, true in each_true]
    return sorted((one for one in told if one[1].firings), key=lambda one: one[1].firing, reverse=True)


def by_wait(asked: Asked) -> list[tuple[timedelta, Outcome]]:
    """The rule with other durations of `for`."""
    true = asked.true()
    return [(wait, asked.outcome(true, wait)) for wait in sorted({*WAITS, asked.wait})]


def better_wait(asked: Asked) -> tuple[timedelta, Outcome] | None:
    """The shortest `for` with the fewest short firings that catches every incident that is caught as asked.

    None where nothing is better: where as few are short as asked.
    """
    return _better(asked, by_wait(asked))


def better_threshold(asked: Asked) -> tuple[float, Outcome] | None:
    """The same of thresholds: the one nearest to that asked for."""
    number = asked.comparison.number if asked.comparison else 0.0
    return _better(asked, sorted(by_threshold(asked), key=lambda row: abs(row[0] - number)))


def _better(asked: Asked, rows: Sequence[tuple[Value, Outcome]]) -> tuple[Value, Outcome] | None:
    """The first of the rows with the fewest short firings: rows stand in the order in which they are preferred."""
    met = whole(asked)
    as_good = [row for row in rows if row[1].firings and row[1].delays.keys() >= met.delays.keys()]
    best = min(as_good, key=lambda row: row[1].short, default=None)
    return best if best and best[1].short < met.short else None


def by_threshold(asked: Asked) -> list[tuple[float, Outcome]]:
    """The rule with other thresholds; none where there is none, or where it cannot be scaled."""
    if asked.comparison is None or not asked.comparison.number or not isfinite(asked.comparison.number):
        return []
    thresholds = nearby(asked.comparison.number)
    return [(threshold, asked.outcome(asked.true(threshold), asked.wait)) for threshold in thresholds]
