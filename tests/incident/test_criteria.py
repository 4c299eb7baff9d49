"""Criteria for asking more people, or asking later: facts, elapsed time, business hours, damping, the provider."""

from datetime import UTC, datetime, timedelta

import pytest
from playbook import RULES, Playbook, an_alert, rules

from relay.engine.set_back import _sooner
from relay.incident.effects import Measure, UpdatePage
from relay.incident.events import Acknowledged, AlertsMuted, Delivered, Measured, Resolved, WouldJump
from relay.incident.telling import tell

FACTS = "{money: {promql: 'loss{service=\"{{service}}\"}'}}"


def policy(more, **changed):
    """The usual rules, with more keys in their policy."""
    return rules(RULES.replace("    last_resort:", f"    {more}\n    last_resort:"), **changed)


def jumping(*jumps, **changed):
    text = RULES.replace("jump: [{at_least: SEV-1, to: L2}]", f"jump: [{', '.join(jumps)}]")
    return rules(text, facts=FACTS, **changed)


def test_a_fact_rings_further_levels_as_soon_as_it_is_known():
    story = Playbook(jumping("{facts: {money: {at_least: 500}}, to: L3}")).fires()
    assert [type(effect) for effect in story.asked(Measure)] == [Measure]
    story.when(Measured({"money": 100.0})).when(Measured({"money": 600.0}))
    assert [ring.level for ring in story.incident.rings] == ["L1", "L2", "L3"]
    story.when(Measured({"money": 900.0}))
    assert len(story.incident.rings) == 3


def test_a_fact_that_is_not_known_rings_nobody():
    story = Playbook(jumping("{facts: {money: {at_most: 500}}, to: L3}")).fires()
    story.when(Measured({}, {"money": "no answer"}))
    assert [ring.level for ring in story.incident.rings] == ["L1"]


def test_a_fact_that_a_reload_took_away_is_not_asked_for_and_the_rest_goes_on():
    story = Playbook(jumping("{facts: {money: {at_least: 500}}, to: L3}")).fires().paged("L1:pd-ada")
    story.story.rules = rules()
    story.after(minutes=5).paged("L2:pd-bob")


def test_people_who_are_needed_for_long_get_help_even_if_somebody_is_on_it():
    story = Playbook(jumping("{at_least: SEV-2, after: 30m, to: L3}")).fires(an_alert(severity="critical"))
    story.paged("L1:pd-ada").when(Acknowledged("ada")).after(minutes=29).paged()
    story.after(minutes=1).paged("L2:pd-bob", "L3:pd-chen")
    assert story.after(hours=5).incident.phase == "acknowledged"
    story.paged()


def test_what_is_milder_or_over_sooner_asks_nobody_else():
    mild = Playbook(jumping("{at_least: SEV-2, after: 30m, to: L3}")).fires().when(Acknowledged("ada"))
    mild.paged("L1:pd-ada").after(hours=2).paged()
    over = Playbook(jumping("{after: 30m, to: L3}")).fires().paged("L1:pd-ada").when(Acknowledged("ada")).ends()
    assert over.after(days=1).incident.phase == "closed"
    over.paged()


def test_all_that_a_jump_asks_for_must_be_so():
    both = "{at_least: SEV-3, facts: {money: {at_least: 500}}, after: 10m, to: L3}"
    story = Playbook(jumping(both)).fires().paged("L1:pd-ada").when(Acknowledged("ada"))
    story.when(Measured({"money": 600.0})).paged()
    story.after(minutes=10).paged("L2:pd-bob", "L3:pd-chen")


def test_a_fact_that_comes_true_later_than_the_time_rings_then():
    story = Playbook(jumping("{facts: {money: {at_least: 500}}, after: 10m, to: L3}")).fires()
    story.when(Acknowledged("ada")).after(minutes=11)
    assert [ring.level for ring in story.incident.rings] == ["L1"]
    story.when(Measured({"money": 600.0}))
    assert [ring.level for ring in story.incident.rings] == ["L1", "L2", "L3"]


def test_a_round_that_begins_anew_jumps_again():
    text = RULES.replace("at_least: SEV-1", "at_least: SEV-2").replace(
        "    last_resort:", "    repeat: 1\n    last_resort:"
    )
    story = Playbook(rules(text)).fires(an_alert(severity="critical")).paged("L1:pd-ada", "L2:pd-bob")
    story.after(minutes=10).paged("L3:pd-chen")
    story.after(minutes=15).paged("L1:pd-ada", "L2:pd-bob")


# ---- business hours ---------------------------------------------------------------------------------------------

QUIET = (
    'quiet: {at_most: SEV-3, hours: {zone: Europe/Berlin, days: [mon, tue, wed, thu, fri], from: "09:00", to: "17:00"}}'
)
FRIDAY_EVENING = datetime(2026, 1, 9, 18, tzinfo=UTC)


def test_what_is_mild_waits_for_business_hours():
    story = Playbook(policy(QUIET), start=FRIDAY_EVENING).fires()
    story.held("outside of business hours, for SEV-3 and milder (rules.yaml:")
    assert story.incident.deadlines["holding/look"] == datetime(2026, 1, 12, 8, tzinfo=UTC)
    story.after(hours=61).quiet()
    story.after(hours=1).paged("L1:pd-ada")


def test_in_business_hours_and_for_what_is_worse_nobody_waits():
    Playbook(policy(QUIET)).fires().paged("L1:pd-ada")
    Playbook(policy(QUIET), start=FRIDAY_EVENING).fires(an_alert(severity="critical")).paged("L1:pd-ada")


def test_what_gets_worse_in_the_night_pages_then():
    story = Playbook(policy(QUIET), start=FRIDAY_EVENING).fires().after(hours=3)
    story.fires(an_alert("Down", severity="critical")).paged("L1:pd-ada")


def test_what_a_fact_could_make_worse_waits_only_for_the_fact():
    text = RULES.replace("    last_resort:", f"    {QUIET}\n    last_resort:")
    text += "    - {severity: SEV-1, facts: {money: {at_least: 9}}}\n"
    story = Playbook(rules(text, facts=FACTS), start=FRIDAY_EVENING).fires()
    assert story.incident.phase == "held"
    story.asked()
    story.after(seconds=5)
    assert [ring.level for ring in story.incident.rings] == ["L1"]
    known = Playbook(rules(text, facts=FACTS), start=FRIDAY_EVENING).fires().when(Measured({"money": 1.0}))
    known.asked()
    assert known.after(hours=1).incident.phase == "held"


# ---- damping ----------------------------------------------------------------------------------------------------


def damped(span="2m", **changed):
    text = RULES.replace("group_by: [service]}", f"group_by: [service], hold_for: {span}}}")
    return rules(text, **changed)


def test_what_ends_while_the_route_lets_it_wait_pages_nobody_and_is_counted():
    story = Playbook(damped()).fires().held("hold_for 2m of the root route (rules.yaml").after(minutes=1)
    story.ends().quiet()
    [resolved] = [e for _, e in story.story.happened if isinstance(e, Resolved)]
    assert resolved.unpaged


def test_what_fires_on_pages_when_the_wait_is_over_whatever_joins_it():
    story = Playbook(damped()).fires(an_alert("A")).held("hold_for").after(minutes=1)
    story.fires(an_alert("B")).after(seconds=59).quiet()
    story.after(seconds=1).paged("L1:pd-ada")
    assert not [e for _, e in story.ends().story.happened if isinstance(e, Resolved) and e.unpaged]


def test_it_waits_once_and_not_again_after_a_window():
    times = "starts: 2026-01-07T12:01, ends: 2026-01-07T13:00"
    window = f"\n  - {{name: w, reason: r, owner: o, zone: UTC, {times}, matchers: [service=checkout]}}\n"
    story = Playbook(damped(windows=window)).fires().held("hold_for").after(minutes=2).held("window w")
    story.fires(an_alert("B")).quiet()
    story.after(minutes=58).paged("L1:pd-ada")


def test_it_waits_once_and_not_again_after_a_silence():
    alert = an_alert()
    story = Playbook(damped()).fires(alert).held("hold_for")
    story.when(AlertsMuted("prod", {alert.fingerprint: "silence 1"})).after(minutes=2).held("silence 1")
    story.when(AlertsMuted("prod", {})).paged("L1:pd-ada")


def test_a_branch_says_otherwise_and_the_wait_begins_again_when_it_comes_back():
    made_of = damped(routes="[{matchers: [team=web], hold_for: 0s}]")
    Playbook(made_of).fires(an_alert(team="web")).paged("L1:pd-ada")
    story = Playbook(damped()).fires().ends().after(minutes=5).fires().held("hold_for")
    story.after(minutes=2).paged("L1:pd-ada")


def test_that_people_have_been_needed_for_long_is_told_in_its_own_words():
    story = Playbook(jumping("{after: 30m, to: L2}")).fires().when(Acknowledged("ada")).after(minutes=31)
    told = [tell(event) for _, event in story.story.happened]
    assert "people have been needed for 30m" in told
    assert not [line for line in told if "nobody has answered" in line]


def test_a_jump_in_shadow_rings_nobody_and_says_once_whom_it_would_have_rung():
    story = Playbook(jumping("{facts: {money: {at_least: 500}}, to: L3, mode: shadow}")).fires().paged("L1:pd-ada")
    story.when(Measured({"money": 600.0})).when(Measured({"money": 700.0})).paged()
    [would] = [tell(event) for _, event in story.story.happened if isinstance(event, WouldJump)]
    assert would == (
        "L3 would be rung (in shadow: it is not): "
        "SEV-5 and worse while money >= 500 rings up to L3 at once (rules.yaml:14)"
    )


# ---- the provider escalates -------------------------------------------------------------------------------------


def test_where_the_provider_escalates_relay_asks_the_first_level_only():
    story = Playbook(policy("escalation: provider")).fires().paged("L1:pd-ada")
    story.when(Delivered(story.incident.rings[0].key, "pd-ada")).after(days=2).paged()
    assert story.incident.phase == "triggered"
    story.fires(an_alert("B")).after(seconds=10)
    assert story.asked(UpdatePage)


def test_a_provider_that_has_not_taken_the_page_asks_nobody_so_relay_does():
    story = Playbook(policy("escalation: provider")).fires().paged("L1:pd-ada").after(minutes=5).paged("L2:pd-bob")
    story.when(Delivered(story.incident.rings[1].key, "pd-bob")).after(days=2).paged()


def test_a_provider_that_has_taken_another_page_asks_nobody_about_this_one():
    story = Playbook(policy("escalation: provider")).fires().paged("L1:pd-ada")
    old = story.incident.rings[0].key
    story.ends().fires().paged("L1:pd-ada")
    story.when(Delivered(old, "pd-ada")).after(minutes=5).paged("L2:pd-bob")


@pytest.mark.parametrize("seconds", ["", "30s500ms"])
def test_a_clock_that_is_set_back_puts_off_no_jump(seconds):
    story = Playbook(jumping(f"{{after: 10m{seconds}, to: L3}}")).fires().after(minutes=4)
    story.story.now -= timedelta(seconds=30)
    story.story.incident = _sooner(story.incident, timedelta(seconds=30), story.story.now).incident
    story.after(minutes=6, seconds=31 if seconds else 0)
    assert {ring.level for ring in story.incident.rings} == {"L1", "L2", "L3"}


def test_rounds_that_a_hold_or_an_expired_answer_has_ended_use_up_no_repeat():
    story = Playbook(policy("repeat: 1\n    ack_expires: 20m")).fires().when(Acknowledged("ada")).after(minutes=21)
    story.after(minutes=59)
    assert [ring.level for ring in story.incident.rings][:6] == ["L1", "L2", "L3", "L1", "L2", "L3"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("quiet: {at_most: SEV-1, hours: {zone: UTC, from: '09:00', to: '17:00'}}", "the worst waits for nothing"),
        ("escalation: pagerduty", "Input should be 'relay' or 'provider'"),
    ],
)
def test_what_cannot_be_meant_is_refused(more, problem):
    with pytest.raises(Exception, match=problem):
        policy(more)


def test_a_jump_must_ask_for_something_and_a_wait_is_at_most_an_hour():
    with pytest.raises(Exception, match='"at_least", "facts" or "after"'):
        jumping("{to: L2}")
    with pytest.raises(Exception, match="write at most 1h"):
        damped("2h")
