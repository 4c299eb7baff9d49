"""Rotations that change: the past stays, and nobody's present turn is moved."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.incident.rotation import Rotation, turn_at, turn_beside, turns

THREE = ["ada", "bob", "chen"]


def a_rotation(*changes, **fields):
    return Rotation.model_validate(
        {"zone": "Europe/Berlin", "starts": "2026-01-05", "people": THREE, "changes": changes, **fields}
    )


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def weeks(rotation, count=6, since="2026-01-06"):
    """Who is on call on the Tuesdays of some weeks."""
    found = [turn_at(rotation, utc(f"{since}T12:00") + timedelta(weeks=week)) for week in range(count)]
    return "".join(turn.person[0] if turn else "-" for turn in found)


CHANGES = [
    ([], "abcabc"),
    # somebody more: who is on call stays so, and the others follow as the new list says
    ([{"starts": "2026-01-14", "people": ["ada", "dee", "bob", "chen"]}], "abcadb"),
    ([{"starts": "2026-01-12", "people": ["ada", "dee", "bob", "chen"]}], "adbcad"),
    # somebody less: after the last turn comes whoever was next and is still there
    ([{"starts": "2026-01-12", "people": ["bob", "chen"]}], "abcbcb"),
    ([{"starts": "2026-01-19", "people": ["chen", "ada"]}], "abcaca"),
    ([{"starts": "2026-01-12", "people": ["dee", "eve"]}], "adeded"),
    # said by name
    ([{"starts": "2026-01-12", "people": ["ada", "dee", "bob"], "first": "bob"}], "abadba"),
    ([{"starts": "2026-01-19", "every": "2w"}], "abccaa"),
    # two changes, the second on top of the first
    ([{"starts": "2026-01-12", "people": ["ada", "dee"]}, {"starts": "2026-01-26", "every": "2w"}], "adadda"),
    # of the same week: the later one counts
    ([{"starts": "2026-01-07", "people": ["dee"]}, {"starts": "2026-01-08", "people": ["ada", "eve"]}], "aeaeae"),
    # before the rotation begins
    ([{"starts": "2026-01-06", "people": ["dee"]}], "addddd"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_a_change_goes_on_after_whoever_has_the_turn_before_it(changes, expected):
    assert weeks(a_rotation(*changes)) == expected


def test_a_change_of_the_handover_ends_the_turn_before_it_early():
    rotation = a_rotation({"starts": "2026-01-13", "handover": {"day": "wednesday", "at": "12:00"}})
    spans = [(turn.person, f"{turn.starts:%d %H}", f"{turn.ends:%d %H}") for turn in turns(rotation, *JANUARY)]
    assert spans == [("ada", "05 08", "12 08"), ("bob", "12 08", "14 11"), ("chen", "14 11", "21 11"), *REST]


JANUARY = utc("2026-01-01T00:00"), utc("2026-01-30T00:00")
REST = [("ada", "21 11", "28 11"), ("bob", "28 11", "04 11")]


def test_a_name_that_comes_twice_keeps_its_place():
    rotation = a_rotation({"starts": "2026-01-19", "every": "2w"}, people=["ada", "bob", "ada", "chen"])
    assert weeks(rotation) == "abaacc"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"changes": [{"starts": "2026-02-02"}]}, "write what changes"),
        ({"changes": [{"starts": "2026-02-02", "every": "36h"}]}, "whole days or weeks"),
        ({"changes": [{"starts": "2026-02-02", "people": ["ada"], "first": "bob"}]}, 'of "bob", who is not among them'),
        ({"changes": [{"starts": "2026-01-05", "people": ["ada"]}]}, "each of a later day"),
        ({"every": "1d", "changes": [{"starts": "2026-02-02", "handover": {"day": "friday"}}]}, "no day of the week"),
    ],
)
def test_what_cannot_be_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        a_rotation(**fields)


changes = st.lists(
    st.builds(
        lambda days, people, every: {
            "starts": date(2026, 1, 6) + timedelta(days=days),
            "people": people,
            **({"every": f"{every}d"} if every else {}),
        },
        st.integers(0, 300),
        st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True),
        st.sampled_from([0, 0, 1, 7, 14]),
    ),
    max_size=4,
    unique_by=lambda change: change["starts"],
).map(lambda found: sorted(found, key=lambda change: change["starts"]))


@given(changes, st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"]))
def test_turns_follow_each_other_without_a_gap_whatever_changes(found, zone):
    rotation = a_rotation(*found, zone=zone)
    everything = list(turns(rotation, utc("2026-01-01T00:00"), utc("2027-02-01T00:00")))
    for one, other in pairwise(everything):
        assert one.ends == other.starts
        assert one.starts < one.ends
        assert turn_at(rotation, one.starts) == one
        assert turn_at(rotation, one.ends - timedelta(microseconds=1)) == one
        assert turn_beside(rotation, one, 1) == other
        assert turn_beside(rotation, other, -1) == one


@given(changes, st.integers(0, 400))
def test_what_is_before_a_change_is_as_if_it_were_not(found, day):
    now = utc("2026-01-05T12:00") + timedelta(days=day)
    past = [change for change in found if change["starts"] <= now.date()]
    assert turn_at(a_rotation(*found), now).person == turn_at(a_rotation(*past), now).person
