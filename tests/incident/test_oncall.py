from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.types import to_utc
from relay.incident.oncall import Override, Roster, on_call
from relay.incident.rotation import Rotation

PEOPLE = ("ada", "bob", "chen")
ZONES = sorted(available_timezones() - {"localtime", "posixrules", "Factory"})


def a_rotation(**fields):
    return Rotation.model_validate({"zone": "UTC", "starts": "2026-01-05", "people": PEOPLE, **fields})


def an_override(**fields):
    return Override.model_validate({"rotation": "r", **fields})


def who(rotation, when, *overrides):
    now = datetime.fromisoformat(when)
    return found(rotation, now if now.tzinfo else now.replace(tzinfo=UTC), *overrides).person


def found(rotation, now, *overrides):
    return on_call("r", Roster(rotations={"r": rotation}, overrides=overrides), now)


# ---- turns ------------------------------------------------------------------------------------------------------

TURNS = [  # the rotation, when (UTC), who
    ({}, "2026-01-05T08:59", None),  # the first turn begins with its first handover
    ({}, "2026-01-05T09:00", "ada"),
    ({}, "2026-01-12T08:59:59", "ada"),
    ({}, "2026-01-12T09:00", "bob"),
    ({}, "2026-01-19T09:00", "chen"),
    ({}, "2026-01-26T09:00", "ada"),
    ({"every": "1d"}, "2026-01-06T08:59", "ada"),
    ({"every": "1d"}, "2026-01-06T09:00", "bob"),
    ({"every": "1d"}, "2026-01-08T09:00", "ada"),
    ({"every": "2w"}, "2026-01-19T08:59", "ada"),
    ({"every": "2w"}, "2026-01-19T09:00", "bob"),
    ({"every": "10d"}, "2026-01-15T09:00", "bob"),
    # the rotation starts on a Thursday, the first handover is on the Monday after
    ({"starts": "2026-01-01"}, "2026-01-05T08:59", None),
    ({"starts": "2026-01-01"}, "2026-01-05T09:00", "ada"),
    ({"starts": "2026-01-01", "handover": {"day": "friday", "at": "17:00"}}, "2026-01-02T17:00", "ada"),
    ({"starts": "2026-01-01", "handover": {"day": "friday", "at": "17:00"}}, "2026-01-09T16:59", "ada"),
    ({"starts": "2026-01-01", "handover": {"day": "friday", "at": "17:00"}}, "2026-01-09T17:00", "bob"),
    ({"starts": "2026-01-01", "every": "1d", "handover": {"at": "00:00"}}, "2026-01-01T00:00", "ada"),
    # it ends with the handover of that day
    ({"ends": "2026-01-13"}, "2026-01-13T08:59", "bob"),
    ({"ends": "2026-01-13"}, "2026-01-13T09:00", None),
    # half a century and 2609 weeks on the arithmetic still holds
    ({}, "2076-01-06T09:00", "chen"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "when", "expected"), TURNS)
def test_people_take_turns(fields, when, expected):
    assert who(a_rotation(**fields), when) == expected


HANDOVERS = [  # zone, handover, the last minute of ada (UTC), who then
    ("Europe/Berlin", "2026-01-12T07:59", "2026-01-12T08:00"),  # 09:00 CET
    ("Europe/Berlin", "2026-03-30T06:59", "2026-03-30T07:00"),  # 09:00 CEST, the Monday after the spring change
    ("Europe/Berlin", "2026-10-26T07:59", "2026-10-26T08:00"),  # 09:00 CET again
    ("America/New_York", "2026-03-09T12:59", "2026-03-09T13:00"),
    ("Australia/Lord_Howe", "2026-04-05T22:29", "2026-04-05T22:30"),  # Monday the 6th, 09:00 +10:30
    ("Asia/Kathmandu", "2026-01-12T03:14", "2026-01-12T03:15"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "before", "after"), HANDOVERS)
def test_a_handover_stays_at_its_hour_when_the_clocks_change(zone, before, after):
    rotation = a_rotation(zone=zone)
    assert who(rotation, before) != who(rotation, after)


def test_a_handover_in_the_hour_that_spring_skips_happens_an_hour_later():
    rotation = a_rotation(zone="Europe/Berlin", every="1d", handover={"at": "02:30"})
    assert who(rotation, "2026-03-29T01:29") != who(rotation, "2026-03-29T01:30")  # 03:30 CEST


def test_a_handover_in_the_hour_that_autumn_repeats_happens_once_at_the_first_pass():
    rotation = a_rotation(zone="Europe/Berlin", every="1d", handover={"at": "02:30"})
    first, second = "2026-10-25T00:30", "2026-10-25T01:30"
    assert who(rotation, "2026-10-25T00:29") != who(rotation, first)
    assert who(rotation, first) == who(rotation, second)


# ---- overrides --------------------------------------------------------------------------------------------------


def test_an_override_stands_in_from_start_to_end_and_says_why():
    rotation = a_rotation(zone="Europe/Berlin")
    leave = an_override(person="dee", starts="2026-01-06T10:00", ends="2026-01-07T10:00", reason="leave")
    assert who(rotation, "2026-01-06T08:59", leave) == "ada"
    assert who(rotation, "2026-01-06T09:00", leave) == "dee"  # 10:00 in Berlin
    assert who(rotation, "2026-01-07T08:59", leave) == "dee"
    assert who(rotation, "2026-01-07T09:00", leave) == "ada"
    assert (
        found(rotation, datetime(2026, 1, 6, 12, tzinfo=UTC), leave).because == "stands in for r ((default):1, leave)"
    )


def test_an_override_may_be_written_in_a_zone_of_its_own_or_with_an_offset():
    rotation = a_rotation(zone="Europe/Berlin")
    there = an_override(person="dee", zone="Asia/Tokyo", starts="2026-01-06T10:00", ends="2026-01-06T11:00")
    offset = an_override(person="dee", starts="2026-01-06T10:00+09:00", ends="2026-01-06T02:00Z")
    roster = Roster(rotations={"r": rotation})
    assert roster.span(there) == roster.span(offset)


def test_an_override_of_another_rotation_changes_nothing():
    other = an_override(rotation="q", person="dee", starts="2026-01-05T00:00", ends="2026-02-05T00:00")
    assert who(a_rotation(), "2026-01-06T12:00", other) == "ada"


def test_an_override_puts_somebody_on_call_outside_the_rotations_time():
    early = an_override(person="dee", starts="2026-01-01T00:00", ends="2026-01-02T00:00")
    assert who(a_rotation(), "2026-01-01T12:00", early) == "dee"


def test_nobody_is_a_person_too_little_and_says_where_the_rotation_stands():
    now = datetime(2025, 1, 1, tzinfo=UTC)
    nobody = found(a_rotation(), now)
    assert (nobody.person, nobody.because) == (None, "nobody is on call in r now ((default):1)")
    assert on_call("q", Roster(), now).because == 'there is no rotation "q"'


# ---- whatever the zone ------------------------------------------------------------------------------------------

rotations = st.builds(
    lambda zone, starts, every, at, ends, people: a_rotation(
        zone=zone,
        starts=starts.isoformat(),
        every=f"{every}d",
        handover={"at": f"{at:%H:%M}"},
        ends=(starts + timedelta(days=ends)).isoformat() if ends else None,
        people=PEOPLE[:people],
    ),
    st.sampled_from(ZONES),
    st.dates(date(1975, 1, 1), date(2035, 1, 1)),
    st.sampled_from([1, 1, 2, 7, 10, 14]),
    st.sampled_from([time(0), time(2, 30), time(9), time(23, 45)]) | st.times(),
    st.sampled_from([0, 0, 100]),
    st.integers(1, 3),
)


def walk(rotation, until):
    """Handover after handover from the first on, as one would on paper: who is on call at a moment, or nobody."""
    day = rotation.starts
    if rotation.every % timedelta(weeks=1) == timedelta():
        while day.weekday() != rotation.handover.day:
            day += timedelta(days=1)
    person, turn = None, 0
    while to_utc(datetime.combine(day, rotation.handover.at), rotation.zone) <= until:
        person = rotation.people[turn % len(rotation.people)]
        day, turn = day + rotation.every, turn + 1
    if rotation.ends and until >= to_utc(datetime.combine(rotation.ends, rotation.handover.at), rotation.zone):
        return None
    return person


@given(rotations, st.timedeltas(timedelta(days=-2), timedelta(days=400)))
def test_exactly_the_person_that_a_walk_over_the_handovers_finds_is_on_call(rotation, after):
    now = datetime.combine(rotation.starts, time(), UTC) + after
    assert found(rotation, now).person == walk(rotation, now)


@given(rotations, st.timedeltas(timedelta(days=10), timedelta(days=3000)), st.integers(0, 2880))
def test_within_its_time_somebody_is_on_call_at_every_moment(rotation, after, minutes):
    rotation = rotation.model_copy(update={"ends": None})
    first = datetime.combine(rotation.starts, rotation.handover.at, rotation.zone).astimezone(UTC)
    now = first + after + timedelta(minutes=minutes)
    assert found(rotation, now).person in rotation.people


NIGHTS = [  # where clocks went back over midnight, or a day was left out
    ("America/St_Johns", date(2006, 10, 28)),
    ("Pacific/Apia", date(2011, 12, 28)),
    ("Africa/Cairo", date(2026, 10, 29)),
    ("America/Sao_Paulo", date(2018, 11, 3)),
    ("Pacific/Kwajalein", date(1993, 8, 19)),
]


@pytest.mark.parametrize(("zone", "starts"), NIGHTS)
@pytest.mark.parametrize("at", ["00:00", "00:01", "09:00", "23:30"])
def test_strange_nights_have_one_person_on_call_who_is_the_one_on_paper(zone, starts, at):
    rotation = a_rotation(zone=zone, starts=starts.isoformat(), every="1d", handover={"at": at})
    begin = datetime.combine(starts, time(), ZoneInfo("UTC"))
    for minute in range(0, 5 * 1440, 20):
        now = begin + timedelta(minutes=minute)
        assert found(rotation, now).person == walk(rotation, now), now
