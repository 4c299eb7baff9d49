"""From the first failure to certainty, and back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic.checks import Confirm
from synthetic.watch import State, Watch

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)


def states(results, **confirm):
    """The states after each result: + and -, one a second."""
    watch = Watch(Confirm.model_validate(confirm))
    said = ""
    for second, result in enumerate(results):
        watch.take(result == "+", NOON + timedelta(seconds=second))
        said += watch.state.name[0]
    return said


@pytest.mark.parametrize(
    ("results", "confirm", "said"),
    [
        ("+++", {}, "OOO"),
        ("-++", {}, "SSO"),  # a blip
        ("---", {}, "SSF"),  # three of four
        ("-+--", {}, "SSSF"),
        ("-+-+-", {}, "SSSSS"),  # flaps, and is never sure
        ("---+-+", {}, "SSFFFF"),
        ("---++-", {}, "SSFFOS"),
        ("-", {"failures": 1, "of": 1}, "F"),
        ("-+", {"failures": 1, "of": 1, "successes": 1}, "FO"),
        ("--+-", {"failures": 2, "of": 2}, "SFFF"),
    ],
)
def test_what_is_believed(results, confirm, said):
    assert states(results, **confirm) == said


def test_a_first_failure_is_looked_at_again_soon_and_so_is_a_first_success():
    watch = Watch(Confirm())
    soon = (timedelta(seconds=2), timedelta(seconds=5))
    assert watch.take(False, NOON) == soon
    assert watch.take(False, NOON) == ()
    assert watch.take(False, NOON) == ()
    assert watch.take(True, NOON) == soon[:1]
    assert watch.take(True, NOON) == ()


def test_a_failure_began_with_the_first_run_that_failed():
    watch = Watch(Confirm())
    for second in range(3):
        watch.take(False, NOON + timedelta(seconds=second))
    assert (watch.state, watch.since) == (State.FAILING, NOON)


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.integers(0, 5), st.integers(1, 4))
def test_whatever_comes_it_fails_only_when_confirmed_and_mends_only_when_confirmed(results, failures, more, successes):
    confirm = Confirm(failures=failures, of=failures + more, successes=successes)
    watch, seen = Watch(confirm), []
    for number, result in enumerate(results):
        before = watch.state
        watch.take(result, NOON + timedelta(seconds=number))
        seen.append(result)
        if watch.state == State.FAILING and before != State.FAILING:
            assert seen[-confirm.of :].count(False) >= failures
        if watch.state == State.OK and before != State.OK:
            assert all(seen[-successes:])
    if results[-successes:] == [True] * successes:
        assert watch.state == State.OK
