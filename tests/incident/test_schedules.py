"""Schedules of layers, of whoever follows, and of providers; overrides for one person; people who are unavailable."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import RULES, Playbook, an_alert, rules
from pydantic import ValidationError

from relay.config.complaints import Rejected
from relay.incident.oncall import Override, Person, Roster, Unavailability, on_call, reach, shifts
from relay.incident.plan import Recipient
from relay.incident.rotation import Rotation
from relay.incident.schedule import Schedule, Told, ToldShift

PEOPLE = {name: Person(via=f"pd-{name}", email=f"{name}@example.com") for name in ("ada", "bob", "chen", "dee")}
BERLIN = Rotation.model_validate({"zone": "Europe/Berlin", "starts": "2026-01-05", "people": ["ada", "bob", "chen"]})
NEW_YORK = Rotation.model_validate({"zone": "America/New_York", "starts": "2026-01-05", "people": ["dee"]})
SUN = {"layers": [{"rotation": "berlin", "hours": {"from": "08:00", "to": "20:00"}}, {"rotation": "new-york"}]}


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def a_roster(schedule=None, overrides=(), unavailable=(), told=None):
    return Roster(
        people=PEOPLE,
        rotations={"berlin": BERLIN, "new-york": NEW_YORK},
        schedules={"s": Schedule.model_validate(schedule)} if schedule else {},
        overrides=tuple(Override.model_validate(o) for o in overrides),
        unavailable=tuple(Unavailability.model_validate(a) for a in unavailable),
        told={"s": told} if told else {},
    )


def who(roster, when, name="s"):
    return on_call(name, roster, utc(when)).person


def told(text):
    return [f"{shift.starts:%a %H}-{shift.ends:%a %H} {shift.on_call.person}" for shift in text]


# ---- layers -----------------------------------------------------------------------------------------------------


def test_the_sun_is_followed():
    roster = a_roster(SUN)
    assert told(shifts("s", roster, utc("2026-01-06T00:00"), utc("2026-01-07T00:00"))) == [
        "Tue 00-Tue 07 dee",
        "Tue 07-Tue 19 ada",  # 08:00 to 20:00 in Berlin
        "Tue 19-Wed 00 dee",
    ]
    assert (who(roster, "2026-07-06T06:00"), who(roster, "2026-07-06T18:00")) == ("bob", "dee")  # an hour sooner


@pytest.mark.parametrize(
    ("hours", "covered"),
    [
        ({"days": ["mon"], "from": "22:00", "to": "06:00"}, "Mon 21-Tue 05"),  # over midnight; UTC
        ({"days": ["sun"], "from": "00:00", "to": "23:59:59"}, "Sat 23-Sun 22"),
    ],
)
def test_hours_may_cross_midnight_and_belong_to_the_day_they_begin_on(hours, covered):
    roster = a_roster({"layers": [{"rotation": "berlin", "hours": hours}]})
    found = shifts("s", roster, utc("2026-01-12T12:00"), utc("2026-01-19T12:00"))
    assert [line[:13] for line in told(found) if not line.endswith("None")] == [covered]


def test_hours_over_a_change_of_clocks_are_as_long_as_the_night_is():
    roster = a_roster({"layers": [{"rotation": "berlin", "hours": {"from": "22:00", "to": "06:00"}}]})

    def night(day):
        found = shifts("s", roster, utc(f"2026-{day}T18:00"), utc(f"2026-{day}T18:00") + timedelta(days=1))
        return [shift.ends - shift.starts for shift in found if shift.on_call.person]

    assert [night(day) for day in ("03-28", "10-24", "10-25")] == [[timedelta(hours=h)] for h in (7, 9, 8)]


def test_a_person_may_be_a_layer_and_one_who_is_away_leaves_it_to_the_next():
    night = {"zone": "UTC", "from": "20:00", "to": "08:00"}
    away = {"person": "dee", "starts": "2026-01-07T00:00", "ends": "2026-01-08T00:00"}
    roster = a_roster({"layers": [{"person": "dee", "hours": night}, {"rotation": "berlin"}]}, unavailable=[away])
    assert [who(roster, f"2026-01-{when}") for when in ("06T21:00", "07T05:00", "07T23:59", "08T00:00")] == [
        "dee",
        "ada",
        "ada",
        "dee",
    ]


def test_nobody_is_on_call_outside_of_all_layers_and_it_says_so():
    roster = a_roster({"layers": [SUN["layers"][0]]})
    found = on_call("s", roster, utc("2026-01-06T03:00"))
    assert (found.person, found.because) == (None, "nobody is on call in s now ((default):1)")


# ---- follows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "expected"), [(-1, "cabca"), (1, "bcabc"), (-2, "bcabc"), (3, "abcab")])
def test_who_follows_has_the_turn_before_or_after(offset, expected):
    roster = a_roster({"follows": "berlin", "offset": offset})
    found = [who(roster, f"{utc('2026-01-06T12:00') + timedelta(weeks=w):%Y-%m-%dT%H:%M}") for w in range(5)]
    assert "".join(person[0] for person in found) == expected


def test_who_follows_says_why():
    found = on_call("s", a_roster({"follows": "berlin"}), utc("2026-01-13T12:00"))
    assert (found.person, found.because) == ("ada", "is on call in s, the turn before in berlin ((default):1)")


# ---- unavailable ------------------------------------------------------------------------------------------------

AWAY = {"person": "ada", "starts": "2026-01-06", "ends": "2026-01-08", "zone": "Europe/Berlin", "reason": "leave"}


def test_the_next_stands_in_for_who_is_unavailable_and_the_turns_stay():
    roster = a_roster(unavailable=[AWAY])
    assert [who(roster, when, "berlin") for when in ("2026-01-05T22:59", "2026-01-05T23:00", "2026-01-07T23:00")] == [
        "ada",
        "bob",
        "ada",
    ]
    because = "is on call in berlin ((default):1) instead: ada is unavailable ((default):1, leave)"
    assert on_call("berlin", roster, utc("2026-01-06T12:00")).because == because


def test_nobody_is_rung_when_everybody_is_unavailable():
    everybody = [{**AWAY, "person": person} for person in ("ada", "bob", "chen")]
    found = on_call("berlin", a_roster(unavailable=everybody), utc("2026-01-06T12:00"))
    assert found.person is None
    assert found.because.endswith("and nobody can stand in")


def test_for_who_follows_the_one_before_stands_in():
    away = {"person": "ada", "starts": "2026-01-12", "ends": "2026-01-20"}
    assert who(a_roster({"follows": "berlin"}, unavailable=[away]), "2026-01-13T12:00") == "chen"


def test_who_follows_is_not_who_stands_in_there():
    away = {"person": "bob", "starts": "2026-01-12", "ends": "2026-01-20"}
    roster = a_roster({"follows": "berlin", "offset": 1}, unavailable=[away])
    moment = "2026-01-13T12:00"
    assert (who(roster, moment, "berlin"), who(roster, moment)) == ("chen", "ada")
    assert on_call("s", roster, utc(moment)).because.endswith(", and chen stands in there")


def test_who_is_named_by_a_policy_is_passed_but_not_as_the_last_resort():
    roster, now = a_roster(unavailable=[AWAY]), utc("2026-01-06T12:00")
    assert reach(Recipient("person", "ada"), roster, now) == "ada is unavailable ((default):1, leave)"
    assert reach(Recipient("person", "ada"), roster, now, always=True).target == "pd-ada"


@pytest.mark.parametrize("kind", ["rotation", "schedule"])
def test_the_last_resort_rings_whose_time_it_is_when_everybody_is_unavailable(kind):
    everybody = [{**AWAY, "person": person} for person in ("ada", "bob", "chen")]
    roster, now = a_roster({"layers": [{"rotation": "berlin"}]}, unavailable=everybody), utc("2026-01-06T12:00")
    recipient = Recipient(kind, {"rotation": "berlin", "schedule": "s"}[kind])
    assert "nobody" in reach(recipient, roster, now)
    rung = reach(recipient, roster, now, always=True)
    assert rung.target == "pd-ada"
    assert rung.because.endswith("and is rung although unavailable")


# ---- overrides --------------------------------------------------------------------------------------------------

SWAP = {"rotation": "berlin", "person": "dee", "starts": "2026-01-10T00:00", "ends": "2026-01-14T00:00"}


def test_an_override_for_one_person_stands_in_for_no_other():
    roster = a_roster(overrides=[{**SWAP, "instead_of": "ada"}])
    assert [who(roster, when, "berlin") for when in ("2026-01-11T12:00", "2026-01-12T12:00")] == ["dee", "bob"]
    assert on_call("berlin", roster, utc("2026-01-11T12:00")).because == "stands in for ada in berlin ((default):1)"


def test_an_override_for_who_is_unavailable_comes_before_the_next_in_turn():
    roster = a_roster(overrides=[{**SWAP, "instead_of": "ada"}], unavailable=[{**AWAY, "ends": "2026-01-14"}])
    assert [who(roster, when, "berlin") for when in ("2026-01-09T12:00", "2026-01-11T12:00")] == ["bob", "dee"]


def test_a_schedule_can_be_overridden():
    roster = a_roster(SUN, overrides=[{**SWAP, "rotation": "", "schedule": "s", "person": "chen"}])
    assert [who(roster, when) for when in ("2026-01-09T22:00", "2026-01-10T22:00")] == ["dee", "chen"]


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_shifts_say_what_is_so_at_every_moment(away, days, over, hours):
    begin = utc("2026-03-20T00:00")
    starts, stands_in = begin + timedelta(hours=away), begin + timedelta(hours=over)
    roster = a_roster(
        SUN,
        [{"schedule": "s", "person": "chen", "starts": stands_in, "ends": stands_in + timedelta(hours=hours)}],
        [{"person": "bob", "starts": starts, "ends": starts + timedelta(days=days)}],
    )
    found = shifts("s", roster, begin, begin + timedelta(days=14))
    assert found[0].starts == begin
    assert all(one.ends == other.starts for one, other in pairwise(found))
    for shift in found:
        moments = shift.starts, shift.starts + (shift.ends - shift.starts) / 2, shift.ends - timedelta(microseconds=1)
        assert {on_call("s", roster, moment).person for moment in moments} == {shift.on_call.person}


# ---- providers --------------------------------------------------------------------------------------------------

OWNED = {"provider": {"type": "pagerduty", "schedule": "PSCHED9", "api_key_env": "KEY", "stale_after": "2h"}}
NOON = utc("2026-01-07T12:00")


def provided(now, *names, **schedule):
    shift = ToldShift(NOON - timedelta(hours=1), NOON + timedelta(hours=8), names)
    return on_call("s", a_roster({**OWNED, **schedule}, told=Told(NOON, (shift,) if names else ())), now)


def test_who_the_provider_names_is_known_by_their_mail():
    found = provided(NOON, "Bob@Example.com", "PUS3R1", "Bob B.")
    assert (found.person, found.because) == ("bob", "is on call in s, says PagerDuty ((default):1)")


def test_a_stranger_is_rung_through_the_schedules_own_target_or_not_at_all():
    assert provided(NOON, "eve@example.com").because == (
        'PagerDuty says that eve@example.com is on call in s, and no person has this "email"'
    )
    roster = a_roster({**OWNED, "via": "jsm"}, told=Told(NOON, (ToldShift(NOON, NOON + timedelta(1), ("eve@x",)),)))
    found = reach(Recipient("schedule", "s"), roster, NOON)
    assert (found.target, found.user) == ("jsm", "eve@x")


def test_what_is_old_is_not_believed_and_what_was_never_told_neither():
    late = NOON + timedelta(hours=2)
    assert provided(late - timedelta(seconds=1), "bob@example.com").person == "bob"
    assert provided(late, "bob@example.com").because == (
        "PagerDuty has not told for 2h who is on call in s ((default):1)"
    )
    assert on_call("s", a_roster(OWNED), NOON).because.startswith("PagerDuty has not told yet who is on call in s")
    assert provided(NOON).because.startswith("nobody is on call in s now, says PagerDuty")


def test_an_override_of_ours_is_stronger_than_what_a_provider_tells():
    shift = ToldShift(NOON - timedelta(hours=1), NOON + timedelta(hours=8), ("bob@example.com",))
    ours = {"schedule": "s", "person": "dee", "starts": "2026-01-07T00:00", "ends": "2026-01-08T00:00"}
    assert who(a_roster(OWNED, [ours], told=Told(NOON, (shift,))), "2026-01-07T12:00") == "dee"


# ---- as people write it -----------------------------------------------------------------------------------------

LEVELS = RULES.replace("page: [{rotation: first}]", "page: [{schedule: night}]", 1)


def written(more, text=RULES):
    return rules(f"{text}{more}\n")


def test_a_level_can_page_a_schedule_and_one_who_is_unavailable_is_passed():
    made_of = written("schedules: {night: {follows: first, offset: 1}}", LEVELS)
    Playbook(made_of).fires(an_alert()).paged("L1:pd-bob")
    away = "unavailable: [{person: bob, starts: 2026-01-01, ends: 2026-02-01}]"
    everybody = f"{away[:-1]}, {{person: ada, starts: 2026-01-01, ends: 2026-02-01}}]"
    made_of = written(f"schedules: {{night: {{follows: first, offset: 1}}}}\n{everybody}", LEVELS)
    story = Playbook(made_of).fires(an_alert())
    assert "nobody can stand in" in "\n".join(map(str, story.story.happened))


WRONG = [
    ("schedules: {first: {follows: first}}", '"first" is written already'),
    ("schedules: {night: {follows: frist}}", 'there is no rotation "frist"'),
    ("schedules: {night: {layers: [{person: adda}]}}", 'there is no person "adda"'),
    ("schedules: {night: {layers: [{rotation: firs}]}}", 'there is no rotation "firs"'),
    ("unavailable: [{person: adda, starts: 2026-01-01, ends: 2026-02-01}]", 'there is no person "adda"'),
    (
        "overrides: [{rotation: first, person: bob, instead_of: bob, starts: 2026-01-06, ends: 2026-01-07}]",
        '"bob" is not on call in "first" then',
    ),
    (
        "overrides: [{rotation: first, person: bob, starts: 2026-01-06, ends: 2026-01-07}]\n"
        "unavailable: [{person: bob, starts: 2026-01-01, ends: 2026-02-01}]",
        '"bob" is unavailable then (rules.yaml:',
    ),
    (
        "overrides:\n  - {rotation: first, person: bob, starts: 2026-01-06, ends: 2026-01-08}\n"
        "  - {rotation: first, person: bob, instead_of: ada, starts: 2026-01-07, ends: 2026-01-09}",
        'this override of "first" overlaps the one at',
    ),
]


@pytest.mark.parametrize(("more", "problem"), WRONG)
def test_what_cannot_be_so_is_refused_at_its_line(more, problem):
    with pytest.raises(Rejected) as refused:
        written(more)
    [complaint] = refused.value.complaints
    assert problem in complaint.problem
    assert complaint.place.line > len(RULES.splitlines())


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        (Schedule, {**OWNED, "follows": "first"}, 'exactly one of "layers", "follows" and "provider"'),
        (Schedule, {}, 'exactly one of "layers", "follows" and "provider"'),
        (Schedule, {**SUN, "offset": 1}, '"offset" goes with "follows"'),
        (Schedule, {**SUN, "via": "x"}, '"via" goes with "provider"'),
        (Schedule, {"follows": "first", "offset": 0}, 'write an "offset"'),
        (Schedule, {"provider": {"type": "opsgenie", "schedule": "x"}}, 'either "api_key_file" or "api_key_env"'),
        (Schedule, {"layers": [{"person": "a", "rotation": "b"}]}, 'exactly one of "rotation" and "person"'),
        (Schedule, {"layers": [{"person": "a", "hours": {"from": "08:00", "to": "09:00"}}]}, 'the "zone" of the hours'),
        (Schedule, {"layers": [{"rotation": "b", "hours": {"from": "08:00", "to": "08:00"}}]}, "two times of day"),
        (Unavailability, {**AWAY, "ends": "2026-01-01"}, '"ends" must be later'),
        (Override, {**SWAP, "schedule": "s"}, 'exactly one of "rotation" and "schedule"'),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_to_write(model, fields, said):
    with pytest.raises(ValidationError, match=said):
        model.model_validate(fields)
