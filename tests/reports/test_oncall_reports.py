"""Who will be on call, what is wrong with it, and what it has cost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import RULES as PLAIN
from playbook import rules

from relay.incident.oncall import Person, Roster
from relay.incident.rotation import Rotation
from relay.reports.duty import duties, level_duties
from relay.reports.gaps import gaps
from relay.reports.load import PageAt, loads


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOON = utc("2026-01-07T12:00")
RULES = PLAIN.replace("name: L3, page: [{person: chen}]", "name: L3, page: [{target: pd-noc}]")


def found(more="", text=RULES, since="2026-01-07T12:00", days=30):
    begin = utc(since)
    return [
        (one.kind, one.where, f"{one.starts:%m-%d %H:%M}", f"{one.ends:%m-%d %H:%M}")
        for one in gaps(rules(f"{text}\n{more}\n"), begin, begin + timedelta(days=days))
    ]


def test_sound_rules_have_no_gaps():
    assert found() == []


def test_a_rotation_that_ends_leaves_a_level_uncovered():
    ending = RULES.replace("first: {zone: UTC,", "first: {ends: 2026-01-20, zone: UTC,")
    assert found(text=ending) == [("uncovered", "payments L1", "01-20 09:00", "02-06 12:00")]


def test_hours_that_nobody_covers_are_found_day_by_day():
    layered = RULES.replace("page: [{rotation: first}]", "page: [{schedule: day}]", 1)
    day = 'schedules: {day: {layers: [{rotation: first, hours: {from: "08:00", to: "20:00"}}]}}'
    assert found(day, layered, days=2) == [
        ("uncovered", "payments L1", "01-07 20:00", "01-08 08:00"),
        ("uncovered", "payments L1", "01-08 20:00", "01-09 08:00"),
    ]


def test_somebody_else_at_the_level_covers_it():
    ending = RULES.replace("first: {zone: UTC,", "first: {ends: 2026-01-20, zone: UTC,")
    both = ending.replace("page: [{rotation: first}]", "page: [{rotation: first}, {target: pd-chen}]", 1)
    assert found(text=both) == []


def test_a_later_level_that_rings_nobody_new_is_found_and_one_that_does_is_not():
    second = "overrides: [{rotation: second, person: ada, starts: 2026-01-10T00:00, ends: 2026-01-11T00:00}]"
    assert found(second) == [("twice", "payments L1, L2", "01-10 00:00", "01-11 00:00")]
    more = RULES.replace("page: [{rotation: second}]", "page: [{rotation: second}, {target: pd-chen}]", 1)
    assert found(second, more) == []


def test_who_stands_in_is_told_and_an_override_settles_it():
    away = "unavailable: [{person: ada, starts: 2026-01-08, ends: 2026-01-09, reason: leave}]"
    assert ("stands in", "first", "01-08 00:00", "01-09 00:00") in found(away)
    settled = f"{away}\noverrides: [{{rotation: first, person: chen, starts: 2026-01-08, ends: 2026-01-09}}]"
    assert [one for one in found(settled) if one[1] == "first"] == []


BERLIN = RULES.replace("first: {zone: UTC,", "first: {zone: Europe/Berlin, every: 1d, handover: {at: '02:30'},")


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ("2026-03-27T00:00", ("clocks", "first", "03-29 01:30", "03-30 00:30")),
        ("2026-10-23T00:00", ("clocks", "first", "10-25 00:30", "10-26 01:30")),
    ],
)
def test_a_handover_that_clocks_skip_or_repeat_is_found(since, said):
    assert said in found(text=BERLIN, since=since, days=5)
    assert [one for one in found(text=BERLIN, since="2026-06-01T00:00") if one[0] == "clocks"] == []


@pytest.mark.parametrize(
    ("zone", "at", "day", "later"),
    [("Europe/Berlin", "02:30", "2026-03-29", "1h"), ("Australia/Lord_Howe", "02:15", "2026-10-04", "30m")],
)
def test_how_much_later_a_handover_is_that_clocks_skip(zone, at, day, later):
    text = RULES.replace("first: {zone: UTC,", f"first: {{zone: {zone}, every: 1d, handover: {{at: '{at}'}},")
    begin = utc(f"{day}T00:00") - timedelta(days=2)
    [said] = [one.text for one in gaps(rules(text), begin, begin + timedelta(days=4)) if one.kind == "clocks"]
    assert f"clocks skip on that day: it is {later} later" in said


def test_a_turn_in_which_clocks_change_is_longer_and_a_change_of_the_rotation_is_no_change_of_clocks():
    weekly = RULES.replace("first: {zone: UTC,", "first: {zone: Europe/Berlin,")
    [(_, where, starts, _)] = [one for one in found(text=weekly, since="2026-03-20T00:00") if one[0] == "clocks"]
    assert (where, starts) == ("first", "03-23 08:00")
    changed = weekly.replace(
        "people: [ada, bob]}", "people: [ada, bob], changes: [{starts: 2026-02-04, every: 1d}]}", 1
    )
    assert [one for one in found(text=changed) if one[0] == "clocks"] == []


def test_what_only_a_provider_knows_is_no_gap():
    owned = "schedules: {dba: {provider: {type: pagerduty, schedule: P1, api_key_env: K}}}"
    asked = RULES.replace("page: [{rotation: first}]", "page: [{schedule: dba}]", 1)
    assert [(kind, where) for kind, where, *_ in found(owned, asked)] == [("not known", "dba")]


def test_who_is_on_call_now_and_next_and_whom_levels_ring():
    made_of = rules()
    first, *_ = duties(made_of.roster, NOON)
    assert (first.name, first.person, first.until, first.then) == ("first", "Ada", utc("2026-01-12T09:00"), "Bob")
    rings = {level.level: level.rings for level in level_duties(made_of, NOON)}
    assert rings["L1"] == ("Ada through pd-ada",)


# ---- load -------------------------------------------------------------------------------------------------------

ONE = Rotation.model_validate({"zone": "Europe/Berlin", "starts": "2026-01-05", "people": ["ada", "bob"]})


def a_roster(**more):
    return Roster(people={"ada": Person(via="x", name="Ada", **more)}, rotations={"one": ONE})


def of(load):
    return load.person, load.hours, load.nights, load.weekends, load.pages, load.at_night, load.incidents


def test_a_week_has_as_many_hours_nights_and_weekends_as_it_has():
    begin, end = utc("2026-01-05T08:00"), utc("2026-01-19T08:00")
    assert [of(load) for load in loads(a_roster(), [], begin, end)] == [
        ("Ada", 168, 63, 48, 0, 0, 0),
        ("bob", 168, 63, 48, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("since", "night"), [("2026-03-28T12:00", 8), ("2026-10-24T11:00", 10), ("2026-06-06T11:00", 9)]
)
def test_a_night_in_which_clocks_change_is_as_long_as_it_is(since, night):
    begin = utc(since)
    [load] = loads(a_roster(), [], begin, begin + timedelta(days=1))
    assert load.nights == night


def test_nights_and_weekends_are_those_of_a_persons_own_zone():
    begin = utc("2026-01-09T23:00")  # Saturday in Berlin, Friday evening in New York
    [there] = loads(a_roster(zone="America/New_York"), [], begin, begin + timedelta(hours=6))
    [here] = loads(a_roster(), [], begin, begin + timedelta(hours=6))
    assert (there.weekends, there.nights) == (0, 2)
    assert (here.weekends, here.nights) == (6, 6)


def test_pages_are_counted_of_people_who_are_on_call_no_more_too():
    pages = [PageAt("Ada", utc("2026-01-06T01:00"), "INC-1"), PageAt("Ada", utc("2026-01-06T12:00"), "INC-1")]
    pages += [PageAt("Zoe", utc("2026-01-06T12:00"), "INC-2")]
    ada, zoe = loads(a_roster(), pages, utc("2026-01-06T00:00"), utc("2026-01-07T00:00"))
    assert of(ada)[4:] == (2, 1, 1)
    assert of(zoe) == ("Zoe", 0, 0, 0, 1, 0, 1)


def test_who_is_on_call_in_two_places_is_so_once():
    twice = Roster(rotations={"one": ONE, "two": ONE})
    begin, end = utc("2026-01-06T00:00"), utc("2026-01-07T00:00")
    [load] = loads(twice, [], begin, end)
    assert load.hours == 24


@given(
    st.integers(0, 400), st.integers(1, 40), st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
)
def test_hours_add_up_and_parts_are_no_more_than_the_whole(day, days, zone):
    begin = utc("2026-01-05T08:00") + timedelta(days=day)
    people = loads(a_roster(zone=zone), [], begin, begin + timedelta(days=days))
    assert sum(load.hours for load in people) == pytest.approx(24 * days)
    for load in people:
        assert 0 <= load.nights <= load.hours
        assert 0 <= load.weekends <= load.hours
