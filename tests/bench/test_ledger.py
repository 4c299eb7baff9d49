"""The ledger finds what it is there to find."""

import pytest

from tests.bench.bench import Row
from tests.bench.ledger import Arrival, delays, judge


def page(key, *ids, action="trigger", at=1.0):
    return Arrival(at, action, key, frozenset(ids))


def test_all_is_well():
    verdict = judge({"a", "b"}, [page("INC-1/L1", "a")], {"a": "INC-1", "b": "INC-1"})
    assert verdict.right
    assert verdict.repeats == 0


def test_an_accepted_alert_that_nobody_knows_is_lost():
    assert judge({"a", "b"}, [page("INC-1/L1", "a")], {"a": "INC-1"}).lost == {"b"}


def test_an_incident_that_never_rang_is_found():
    assert judge({"a", "b"}, [page("INC-1/L1", "a")], {"a": "INC-1", "b": "INC-2"}).unpaged == {"b"}


def test_two_keys_for_one_incident_ring_twice():
    pages = [page("INC-1/L1", "a"), page("INC-1/L2", "a")]
    assert judge({"a"}, pages, {"a": "INC-1"}).doubled == {"INC-1"}


def test_a_trigger_after_the_end_rings_again_and_a_repeat_does_not():
    repeated = [page("INC-1/L1", "a"), page("INC-1/L1", "a")]
    assert judge({"a"}, repeated, {"a": "INC-1"}).repeats == 1
    assert judge({"a"}, repeated, {"a": "INC-1"}).right
    again = [page("INC-1/L1", "a"), page("INC-1/L1", action="resolve"), page("INC-1/L1", "a")]
    assert judge({"a"}, again, {"a": "INC-1"}).doubled == {"INC-1"}


def test_delays_are_from_the_answer_to_the_first_page():
    assert delays({"a": 1.0, "b": 2.0}, [page("k", "a", at=1.5), page("k", "a", at=3), page("j", "b", at=2.1)]) == [
        0.10000000000000009,
        0.5,
    ]


@pytest.mark.parametrize(
    ("target", "value", "missed"),
    [
        ("<= 1.2", 1.2, False),
        ("<= 1.2", 1.3, True),
        (">= 0.5", 0.4, True),
        (">= 0.5", 2.0, False),
        ("0", 0.0, False),
        ("0", 1.0, True),
        ("<= 1.2", float("nan"), True),
        (">= 0.5", float("nan"), True),
        ("", 9.0, False),
    ],
)
def test_a_missed_target_is_said(target, value, missed):
    row = Row("figure", [value], target)
    assert row.missed is missed
    assert str(row).endswith("missed") is missed
