from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playbook import NOON, RULES, AcknowledgePage, Playbook, ResolvePage, UpdatePage, an_alert, rules

from relay.incident.events import (
    Acknowledged,
    AlertsMuted,
    AlertsTruncated,
    Assessed,
    Delivered,
    Escalated,
    LevelPassed,
    Measured,
    Paged,
    Resolved,
    SeveritySet,
    Undeliverable,
)
from relay.incident.lifecycle import NotNow

CRITICAL = an_alert("Down", severity="critical")


def test_nobody_answers():
    (
        Playbook()
        .fires().paged("L1:pd-ada")
        .after(minutes=4).paged()
        .after(minutes=1).paged("L2:pd-bob")
        .after(minutes=10).paged("L3:pd-chen")
        .after(minutes=15).paged("last resort:pd-noc")
        .after(minutes=29).paged()
        .after(minutes=1).paged("last resort:pd-noc")
    )  # fmt: skip


def test_every_page_has_a_key_of_its_own_so_that_it_rings():
    story = Playbook().fires().after(hours=3)
    keys = [e.ring.key for _, e in story.story.happened if isinstance(e, Paged)]
    assert len(keys) == len(set(keys)) > 4
    assert keys[0] == "INC-1/1.0/L1/first"


@pytest.mark.parametrize(
    ("over", "told"),
    [
        (Acknowledged("ana", via="INC-1/1.0/L1/first"), ["pd-bob"]),
        (Resolved("ok", "ana", "INC-1/1.0/L1/first"), ["pd-ada", "pd-bob"]),
    ],
)
def test_the_pager_by_which_an_answer_has_come_is_not_told_back_and_a_close_is(over, told):
    story = Playbook().fires().after(minutes=5)
    story.asked()
    assert [effect.target for effect in story.when(over).asked()] == told


def test_an_answer_stops_the_paging_and_the_ringing():
    story = (
        Playbook()
        .fires().paged("L1:pd-ada")
        .after(minutes=5).paged("L2:pd-bob")
        .when(Acknowledged("ana"))
    )  # fmt: skip
    assert [e.target for e in story.asked(AcknowledgePage)] == ["pd-ada", "pd-bob"]
    story.after(hours=10).paged().quiet()


def test_a_policy_until_resolved_goes_on_after_an_answer():
    until = rules().policies["payments"].model_copy(update={"until": "resolved"})
    made_of = rules()
    made_of = type(made_of)(made_of.root, {"payments": until}, scale=made_of.scale, roster=made_of.roster)
    Playbook(made_of).fires().paged("L1:pd-ada").when(Acknowledged("ana")).after(minutes=5).paged("L2:pd-bob")


def test_the_policy_starts_over_as_often_as_it_says():
    text = """
people: {ada: {via: pd-ada}}
policies:
  p: {levels: [{name: L1, page: [{person: ada}], wait: 5m}], repeat: 2, last_resort: [{target: pd-noc}]}
route: {policy: p, group_by: [service]}
"""
    (
        Playbook(rules(text))
        .fires().paged("L1:pd-ada")
        .after(minutes=5).paged("L1:pd-ada")
        .after(minutes=5).paged("L1:pd-ada")
        .after(minutes=5).paged("last resort:pd-noc")
    )  # fmt: skip


def test_a_severe_incident_rings_further_levels_at_once():
    story = Playbook().fires(CRITICAL).paged("L1:pd-ada")
    story.when(Assessed(1, "a human says so", was=2)).paged("L2:pd-bob")
    story.after(minutes=9).paged().after(minutes=1).paged("L3:pd-chen")


def test_the_last_resort_is_that_of_today_for_who_was_named_may_have_left():
    story = Playbook(rules(RULES.replace("last_resort: [{target: pd-noc}]", "last_resort: [{person: chen}]"))).fires()
    story.story.rules = rules(RULES.replace("  chen: {name: Chen, via: pd-chen}\n", "").replace("chen", "ada"))
    story.after(minutes=31)
    assert story.incident.rings[-1].target == "pd-noc"
    renamed = rules(RULES.replace("payments", "others"))
    other = Playbook(rules()).fires()
    other.story.rules = renamed
    other.after(minutes=31)
    assert other.incident.rings[-1].target == "pd-noc"


def test_when_the_policy_is_gone_the_last_resort_is_the_default_of_today_and_not_whom_the_plan_has_pinned():
    story = Playbook().fires()
    story.story.rules = rules(RULES.replace("payments", "others").replace("pd-noc", "og-dba"))
    story.after(minutes=31)
    assert story.incident.rings[-1].target == "og-dba"


def test_a_jump_is_why_further_levels_are_rung():
    story = Playbook(rules()).fires().when(SeveritySet("ana", 1, "money"))
    first, second = (ring.because for ring in story.incident.rings)
    assert "SEV-1" not in first
    assert second.endswith("; SEV-1 and worse rings up to L2 at once (rules.yaml:14)"), second


def test_a_level_that_resolves_to_nobody_is_passed_at_once_with_the_reason():
    before_the_first_turn = datetime(2026, 1, 4, 12, tzinfo=UTC)
    story = Playbook(start=before_the_first_turn).fires()
    passed = [e for _, e in story.story.happened if isinstance(e, LevelPassed)]
    assert [p.level for p in passed] == ["L1", "L2"]
    assert "nobody is on call in first now (rules.yaml:6)" in passed[0].because
    story.paged("L3:pd-chen")


def test_somebody_whom_a_level_means_twice_is_rung_once_for_both_reasons():
    twice = RULES.replace("page: [{rotation: first}]", "page: [{rotation: first}, {person: bob}, {person: ada}]")
    story = Playbook(rules(twice)).fires().paged("L1:pd-ada", "L1:pd-bob")
    first, _ = [event.ring for _, event in story.story.happened if isinstance(event, Paged)]
    assert first.key == "INC-1/1.0/L1/first"
    assert first.because == "L1 of payments: Ada is on call in first (rules.yaml:6), and Ada named by the policy"


def test_somebody_is_rung_through_two_targets_where_a_level_says_both():
    both = RULES.replace("page: [{rotation: first}]", "page: [{person: ada}, {person: ada, via: pd-noc}]")
    Playbook(rules(both)).fires().paged("L1:pd-ada", "L1:pd-noc")


def test_when_no_level_resolves_to_anybody_the_last_resort_rings_at_once():
    text = """
people: {ada: {via: pd-ada}}
rotations: {r: {zone: UTC, starts: 2030-01-07, people: [ada]}}
policies:
  p: {levels: [{name: L1, page: [{rotation: r}], wait: 5m}], last_resort: [{target: pd-noc}]}
route: {policy: p, group_by: [service]}
"""
    Playbook(rules(text)).fires().paged("last resort:pd-noc").after(minutes=29).paged()


def test_a_refused_page_passes_to_the_next_level_at_once():
    story = Playbook().fires().paged("L1:pd-ada")
    story.when(Undeliverable("Page", "INC-1/1.0/L1/first", "pd-ada", "routing key revoked")).paged("L2:pd-bob")
    story.after(minutes=9).paged().after(minutes=1).paged("L3:pd-chen")


def test_a_refusal_of_an_older_page_changes_nothing():
    story = Playbook().fires().after(minutes=5).paged("L1:pd-ada", "L2:pd-bob")
    story.when(Undeliverable("Page", "INC-1/1.0/L1/first", "pd-ada", "revoked")).paged()


def test_a_pager_that_refuses_everything_is_not_asked_for_ever():
    story = Playbook().fires()
    pages = 0
    for _ in range(50):
        refused = [e for _, e in story.story.happened if isinstance(e, Paged)][pages:]
        pages += len(refused)
        for page in refused:
            story.when(Undeliverable("Page", page.ring.key, page.ring.target, "no"))
    assert pages == 4  # L1, L2, L3 and the last resort, once each, until time has passed


def test_somebody_asks_for_the_next_level():
    story = Playbook().fires().paged("L1:pd-ada").when(Escalated("ana", "it is the database")).paged("L2:pd-bob")
    story.when(Acknowledged("bob")).when(Escalated("bob")).paged("L3:pd-chen").after(hours=5).paged()


def test_a_worse_severity_pages_again_after_an_answer():
    story = Playbook().fires().paged("L1:pd-ada").when(Acknowledged("ana"))
    story.asked()
    story.when(Assessed(1, "revenue", was=3)).paged("L2:pd-bob")


def test_those_who_were_paged_hear_that_it_got_worse():
    story = Playbook().fires(an_alert()).paged("L1:pd-ada")
    story.fires(CRITICAL)
    updates = story.asked(UpdatePage)
    assert [(u.key, u.what.split(":")[0]) for u in updates] == [("INC-1/1.0/L1/first", "raised from SEV-3 to SEV-2")]


def test_growth_is_told_once_in_a_while_and_not_for_each_alert():
    story = Playbook().fires().paged("L1:pd-ada")
    for number in range(50):
        story.fires(an_alert(pod=f"p{number}"))
    assert story.asked() == []
    updates = story.after(seconds=10).asked(UpdatePage)
    assert [u.what for u in updates] == ["51 alerts fire now"]


def test_the_end_closes_every_page():
    story = Playbook().fires().after(minutes=5).paged("L1:pd-ada", "L2:pd-bob").ends()
    assert [e.key for e in story.asked(ResolvePage)] == ["INC-1/1.0/L1/first", "INC-1/1.0/L2/second"]
    story.after(hours=10).quiet()


def test_nothing_waits_after_the_end():
    story = Playbook().fires().when(Resolved("fixed", "ana")).ends().after(minutes=30)
    assert story.incident.phase == "closed"
    assert story.incident.wake_at is None


def test_an_impossible_event_is_refused_in_words():
    story = Playbook().fires().ends()
    with pytest.raises(NotNow, match="ack is not possible while it is resolved; possible: note"):
        story.when(Acknowledged("ana"))


def test_late_answers_do_not_wake_the_dead():
    story = Playbook().fires().ends()
    story.asked()
    story.when(Delivered("INC-1/1.0/L1/first", "pd-ada")).when(Measured({"x": 1.0}, {}))
    story.when(Undeliverable("Page", "INC-1/1.0/L1/first", "pd-ada", "no")).quiet()


def test_people_are_found_at_the_moment_of_paging_and_levels_stay_as_they_were():
    before_the_handover = NOON + timedelta(days=4, hours=20, minutes=58)  # Monday, 08:58
    story = Playbook(start=before_the_handover).fires().paged("L1:pd-ada")
    story.story.rules = rules(RULES.replace("      - {name: L3, page: [{person: chen}], wait: 15m}\n", ""))
    story.after(minutes=59).paged("L2:pd-chen", "L3:pd-chen", "last resort:pd-noc")


class TestAckExpires:
    @pytest.fixture
    def story(self):
        policy = rules().policies["payments"].model_copy(update={"ack_expires": timedelta(hours=1)})
        made_of = replace(rules(), policies={"payments": policy})
        return Playbook(made_of).fires(CRITICAL).paged("L1:pd-ada").after(minutes=5).paged("L2:pd-bob")

    def test_who_does_not_come_back_is_not_believed_for_ever(self, story):
        story.when(Acknowledged("ana")).after(minutes=59).paged()
        story.after(minutes=1).paged("L1:pd-ada").after(minutes=5).paged("L2:pd-bob")
        keys = [event.ring.key for _, event in story.story.happened if isinstance(event, Paged)]
        assert len(keys) == len(set(keys)) == 4
        assert story.incident.phase == "triggered"

    def test_acknowledging_again_starts_the_time_anew(self, story):
        story.when(Acknowledged("ana")).after(minutes=50).when(Acknowledged("ana")).after(minutes=59).paged()
        story.after(minutes=1).paged("L1:pd-ada")

    def test_an_answer_to_the_second_call_counts_as_the_first_did(self, story):
        story.when(Acknowledged("ana")).after(hours=1).paged("L1:pd-ada").when(Acknowledged("ben")).after(minutes=30)
        story.paged().ends(CRITICAL).after(hours=5).paged()

    def test_the_pages_that_were_answered_are_closed(self, story):
        story.when(Acknowledged("ana", via="INC-1/1.0/L1/first")).asked()
        story.after(hours=1)
        assert [effect.target for effect in story.asked(ResolvePage)] == ["pd-ada", "pd-bob"]
        assert [ring.key for ring in story.incident.rings] == ["INC-1/1.1/L1/first"]

    def test_while_the_source_keeps_it_silenced_nobody_is_asked_again(self, story):
        silenced = {CRITICAL.fingerprint: "silence 1"}
        story.when(Acknowledged("ana")).when(AlertsMuted("prod", silenced)).after(hours=5).paged()
        story.when(AlertsMuted("prod", {})).after(hours=1).paged("L1:pd-ada")

    def test_one_alert_that_is_not_silenced_is_enough(self, story):
        story.when(Acknowledged("ana")).when(AlertsMuted("prod", {CRITICAL.fingerprint: "silence 1"}))
        story.fires(an_alert("Another")).after(hours=1).paged("L1:pd-ada")

    def test_what_is_over_wakes_nobody(self, story):
        story.when(Acknowledged("ana")).ends(CRITICAL).after(hours=5).paged()


def test_an_answer_expires_also_when_for_a_while_nothing_was_told_to_fire():
    made = rules(RULES.replace("    last_resort:", "    ack_expires: 20m\n    last_resort:"))
    story = Playbook(made).fires().when(AlertsTruncated("g", 3)).when(Acknowledged("ada"))
    story.ends().after(minutes=21).fires(an_alert("Other")).when(AlertsTruncated("g", 0))
    story.after(hours=10)
    assert story.incident.phase == "triggered"
