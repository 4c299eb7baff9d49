"""When a rule would have fired: as a plain state machine says, and as Prometheus' own rule engine does."""

import json
import math
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.config.promql import Comparison, comparison, read_query
from relay.reports.backtest import Grid, Recorded, envelope, firings, nearby, outcome, present, runs, union
from relay.reports.tradeoffs import Asked, Series, better_threshold, better_wait, by_threshold, by_wait, each, whole

START = datetime(2026, 1, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ABOVE = Comparison("x", ">", 1.0)
SAMPLES = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, None, math.nan]), max_size=40)
"""A minute's value: below, at and above the threshold, no sample, no number."""


def minutes(count):
    return timedelta(minutes=count)


def grid(points, step=MINUTE):
    return Grid(START, step, points)


def state_machine(samples, holds, wait, step):
    """Prometheus' rule evaluation, told as it is done: one evaluation after the other."""
    active, fires = None, []
    for i, value in enumerate(samples):
        if value is None or not holds(value):
            active = None
        elif active is None:
            active = i
        fires.append(active is not None and step * (i - active) >= wait)
    return fires


def fires_at(runs_, points):
    return [any(first <= i < behind for first, behind in runs_) for i in range(points)]


WAITS = st.integers(0, 12).map(lambda half: timedelta(seconds=30 * half))


@given(SAMPLES, WAITS)
@example([2.0, 2.0, None, 2.0, 2.0, math.nan, 2.0], MINUTE)
def test_it_fires_exactly_when_the_state_machine_does(samples, wait):
    fired = firings(runs(samples, ABOVE.holds), grid(len(samples)).steps(wait))
    assert fires_at(fired, len(samples)) == state_machine(samples, ABOVE.holds, wait, MINUTE)


@given(SAMPLES, WAITS, WAITS)
def test_a_longer_for_fires_never_more_often_nor_longer_nor_elsewhere(samples, one, other):
    short, long = sorted((one, other))
    true = [runs(samples, ABOVE.holds)]
    asked = Asked(grid(len(samples)), short, minutes(5), ABOVE, [Series({}, samples)])
    less, more = asked.outcome(true, long), asked.outcome(true, short)
    assert less.firings <= more.firings
    assert less.firing <= more.firing
    assert less.longest <= more.longest
    fewer, all_ = (fires_at(firings(true[0], asked.grid.steps(w)), len(samples)) for w in (long, short))
    assert all(b for a, b in zip(fewer, all_, strict=True) if a)


@given(SAMPLES, WAITS)
def test_who_fires_has_been_true_for_that_long_without_a_gap(samples, wait):
    steps = grid(len(samples)).steps(wait)
    for first, behind in firings(runs(samples, ABOVE.holds), steps):
        assert all(value is not None and value > 1 for value in samples[first - steps : behind])
        assert behind == len(samples) or samples[behind] is None or not samples[behind] > 1


@given(st.lists(SAMPLES.filter(bool).map(lambda s: (s * 40)[:40]), min_size=1, max_size=4), WAITS)
def test_the_time_firing_is_the_time_in_which_any_series_fires(series, wait):
    asked = Asked(grid(40), wait, minutes(5), ABOVE, [Series({"n": str(n)}, s) for n, s in enumerate(series)])
    together = [any(at) for at in zip(*(state_machine(s, ABOVE.holds, wait, MINUTE) for s in series), strict=True)]
    assert whole(asked).firing == MINUTE * sum(together)
    assert whole(asked).share == sum(together) / 40
    assert whole(asked).firings == sum(told.firings for _, told in each(asked))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=8))
def test_runs_that_are_joined_cover_the_same_time(pairs):
    every = sorted((first, first + length) for first, length in pairs)
    joined = union(every)
    assert fires_at(joined, 40) == fires_at(every, 40)
    assert all(a[1] < b[0] for a, b in pairwise(joined))


# ---- what is told of it -----------------------------------------------------------------------------------------


def test_what_is_counted():
    #          two of 3 minutes, one of 7, one that still fires
    samples = [2.0] * 3 + [0.0] + [2.0] * 3 + [0.0] * 2 + [2.0] * 7 + [0.0] + [2.0] * 3
    told = outcome([runs(samples, ABOVE.holds)], grid(len(samples)), short=minutes(5))
    assert (told.firings, told.short, told.unended) == (4, 2, 1)
    assert (told.median, told.longest, told.firing) == (minutes(3), minutes(7), minutes(16))
    assert told.share == 16 / 20


def test_nothing_is_counted_where_nothing_fires():
    told = outcome([[]], grid(10), short=minutes(5))
    assert (told.firings, told.firing, told.share, told.delay) == (0, timedelta(), 0.0, None)


def test_incidents_are_caught_by_overlap_and_delays_counted_from_their_start():
    samples = [0.0] * 10 + [2.0] * 10 + [0.0] * 10 + [2.0] * 5 + [0.0] * 25
    incidents = [
        Recorded("INC-1", "seen late", START + minutes(8), START + minutes(25)),
        Recorded("INC-2", "seen early", START + minutes(33), None),
        Recorded("INC-3", "missed", START + minutes(40), START + minutes(50)),
        Recorded("INC-4", "it ends as this begins", START + minutes(20), START + minutes(22)),
    ]
    told = outcome([runs(samples, ABOVE.holds)], grid(60), minutes(5), incidents)
    assert told.delays == {"INC-1": minutes(2), "INC-2": -minutes(3)}
    assert told.delay == timedelta(seconds=-30)
    assert told.alone == 0
    assert outcome([runs(samples, ABOVE.holds)], grid(60), minutes(5), incidents[1:]).alone == 1


def test_the_trade_offs_hold_the_rule_as_it_was_asked():
    samples = [0.0, 3.0, 3.0, 0.0] * 10 + [3.0] * 20
    asked = Asked(grid(60), minutes(3), minutes(5), Comparison("x", ">", 2.0), [Series({}, samples)])
    assert dict(by_wait(asked))[minutes(3)] == whole(asked)
    assert dict(by_threshold(asked))[2.0] == whole(asked)
    assert dict(by_wait(asked))[timedelta()].firings == 11
    assert dict(by_threshold(asked))[3.0].firings == 0


def test_what_fires_less_for_nothing_and_catches_as_much_is_found():
    samples = [0.0, 3.0, 3.0, 0.0] * 10 + [9.0] * 20  # ten blips, and an outage that is worse
    outage = [Recorded("INC-1", "the outage", START + minutes(40), None)]
    asked = Asked(grid(60), timedelta(), minutes(5), Comparison("x", ">", 2.0), [Series({}, samples)], outage)
    assert whole(asked).short == 10
    wait, told = better_wait(asked)
    assert (wait, told.firings, told.short) == (minutes(2), 1, 0)
    threshold, told = better_threshold(asked)
    assert (threshold, told.firings, told.short) == (3.0, 1, 0)
    assert better_wait(replace(asked, wait=minutes(5))) is None  # nothing is better


def test_nothing_is_better_that_misses_what_was_caught():
    samples = [3.0, 3.0, 0.0] * 10
    blip = [Recorded("INC-1", "a blip that mattered", START, START + minutes(1))]
    asked = Asked(grid(30), timedelta(), minutes(5), Comparison("x", ">", 2.0), [Series({}, samples)], blip)
    assert (better_wait(asked), better_threshold(asked)) == (None, None)


def test_an_expression_that_compares_nothing_is_true_wherever_it_has_a_sample():
    asked = Asked(grid(4), timedelta(), minutes(5), None, [Series({}, [0.0, math.nan, None, 1.0])])
    assert (whole(asked).firings, whole(asked).firing) == (2, minutes(3))
    assert by_threshold(asked) == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (100, [50, 75, 90, 100, 110, 125, 150, 200]),
        (-2, [-4, -3, -2.5, -2.2, -2, -1.8, -1.5, -1]),
        (0.999, [0.998, 0.9985, 0.99875, 0.9989, 0.999, 0.9991, 0.99925, 0.9995]),
        (0.05, [0.025, 0.0375, 0.045, 0.05, 0.055, 0.0625, 0.075, 0.1]),
    ],
)
def test_thresholds_nearby(number, expected):
    assert nearby(number) == expected


@given(st.lists(SAMPLES.filter(bool).map(lambda s: (s * 40)[:37]), max_size=3), st.integers(1, 60))
def test_a_curve_shows_the_worst_value(series, columns):
    curve = envelope(series, columns, max)
    numbers = [v for s in series for v in s if v is not None and math.isfinite(v)]
    assert len(curve) == columns
    assert max((v for v in curve if v is not None), default=None) == max(numbers, default=None)
    assert sum(present(series)) == sum(v is not None for s in series for v in s)


# ---- comparisons ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("x > 5", ("x", ">", 5.0)),
        ("(sum by (a) (rate(x[5m])) / 2 <= (0.5))", ("sum by (a) (rate(x[5m])) / 2", "<=", 0.5)),
        ("5 < x", ("x", ">", 5.0)),
        ("-1 >= x", ("x", "<=", -1.0)),
        ("x != 0", ("x", "!=", 0.0)),
        ("x > bool 5", None),
        ("x > y", None),
        ("x + 5", None),
        ("x > 5 and y > 3", None),
        ("absent(x)", None),
    ],
)
def test_a_comparison_with_a_number_is_taken_apart(query, expected):
    found = comparison(read_query(query))
    assert (found and (found.operand, found.op, found.number)) == expected


# ---- Prometheus itself ------------------------------------------------------------------------------------------


def promtool_test(samples, expr, wait):
    """A unit test for promtool that expects the alert exactly where we say it fires."""
    compared = comparison(read_query(expr))
    fired = fires_at(firings(runs(samples, compared.holds), grid(len(samples)).steps(wait)), len(samples))
    values = " ".join("stale" if v is None else "NaN" if math.isnan(v) else str(v) for v in samples)
    alert = {"exp_labels": {"service": "a"}}
    return {
        "interval": "1m",
        "input_series": [{"series": 'x{service="a"}', "values": values}],
        "alert_rule_test": [
            {"eval_time": f"{i}m", "alertname": "A", "exp_alerts": [alert] if fires else []}
            for i, fires in enumerate(fired)
        ],
    }


@pytest.mark.servers
@settings(max_examples=12, deadline=None)
@given(
    st.lists(SAMPLES.filter(bool), min_size=20, max_size=20),
    WAITS,
    st.sampled_from(["x > 1", "x < 2", "x == 1", "x != 1", "1 <= x"]),
)
def test_promtool_says_the_same(tmp_path_factory, many, wait, expr):
    """Prometheus' own rule engine, in its own time: gaps, NaN, and a `for` that is no multiple of the step."""
    path = tmp_path_factory.mktemp("promtool")
    rule = {"alert": "A", "expr": expr, "for": f"{wait.total_seconds():.0f}s"}
    (path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    tests = [promtool_test(samples, expr, wait) for samples in many]
    (path / "test.yml").write_text(
        json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests})
    )
    told = subprocess.run(["promtool", "test", "rules", str(path / "test.yml")], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
