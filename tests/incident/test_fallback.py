from dataclasses import replace
from datetime import timedelta

import pytest
from playbook import RULES, AcknowledgePage, Playbook, ResolvePage, rules

from relay.incident.events import Acknowledged, Delivered, Escalated, Paged, SeveritySet, Undeliverable
from relay.incident.fallback import Fallback

MINUTE = timedelta(minutes=1)
COVERED = replace(rules(), fallbacks={"pd-ada": Fallback("mail", MINUTE), "mail": Fallback("hook", MINUTE)})
FIRST = "INC-1/1.0/L1/first"


@pytest.fixture
def story():
    return Playbook(COVERED).fires().paged("L1:pd-ada")


def test_a_page_that_is_not_taken_goes_to_the_fallback_as_well_and_on(story):
    (
        story
        .after(seconds=59).paged()
        .after(seconds=1).paged("L1:mail")
        .after(minutes=1).paged("L1:hook")
        .after(minutes=3).paged("L2:pd-bob")
    )  # fmt: skip


def test_it_says_why(story):
    story.after(minutes=1)
    [_, instead] = [event.ring for _, event in story.story.happened if isinstance(event, Paged)]
    assert instead.key == f"{FIRST}>mail"
    assert instead.because.startswith("pd-ada has not taken the page for 1m: L1 of payments: ")
    assert (instead.person, instead.user) == ("Ada", "")


def test_a_page_that_was_taken_needs_no_fallback(story):
    story.when(Delivered(FIRST, "pd-ada")).after(minutes=4, seconds=59).paged()


def test_a_fallback_that_takes_it_ends_the_search(story):
    story.after(minutes=1).paged("L1:mail").when(Delivered(f"{FIRST}>mail", "mail")).after(minutes=3).paged()


def test_a_refused_page_goes_to_the_fallback_at_once_and_passes_no_level(story):
    story.when(Undeliverable("Page", FIRST, "pd-ada", "no such key")).paged("L1:mail").after(seconds=59).paged()


def test_when_every_fallback_has_refused_the_next_level_is_asked_at_once(story):
    (
        story
        .when(Undeliverable("Page", FIRST, "pd-ada", "no")).paged("L1:mail")
        .when(Undeliverable("Page", f"{FIRST}>mail", "mail", "no")).paged("L1:hook")
        .when(Undeliverable("Page", f"{FIRST}>mail>hook", "hook", "no")).paged("L2:pd-bob")
    )  # fmt: skip


def test_both_pages_are_closed_in_the_end(story):
    story.after(minutes=1).paged("L1:mail").ends()
    assert [effect.target for effect in story.asked(ResolvePage)] == ["pd-ada", "mail"]


def test_an_answer_ends_the_search_and_the_ringing_of_both(story):
    story.after(minutes=1).paged("L1:mail").when(Acknowledged("ada"))
    assert [effect.target for effect in story.asked(AcknowledgePage)] == ["pd-ada", "mail"]
    story.after(hours=1).paged()


def test_who_is_called_in_after_the_answer_is_covered_too():
    covered = replace(COVERED, fallbacks={"pd-bob": Fallback("mail", MINUTE)})
    (
        Playbook(covered)
        .fires().paged("L1:pd-ada")
        .when(Acknowledged("ada"))
        .when(Escalated("ada", "need help")).paged("L2:pd-bob")
        .after(minutes=1).paged("L2:mail")
    )  # fmt: skip


def test_a_fallback_that_a_reload_took_away_is_not_asked(story):
    story.story.rules = replace(COVERED, fallbacks={})
    story.after(minutes=4).paged()


def test_a_fallback_for_a_level_that_was_passed_does_not_turn_the_escalation_back(story):
    (
        story
        .when(Escalated("ana", "worse than it looks")).paged("L2:pd-bob")
        .after(minutes=1).paged("L1:mail")
        .when(Delivered(f"{FIRST}>mail", "mail"))
        .after(minutes=9).paged("L3:pd-chen")
    )  # fmt: skip


def test_a_page_that_is_late_and_then_refused_goes_to_the_fallback_once(story):
    story.after(minutes=1).paged("L1:mail").when(Undeliverable("Page", FIRST, "pd-ada", "no")).paged()


def test_a_fallback_that_has_refused_is_not_asked_again(story):
    story.after(minutes=1).paged("L1:mail").when(Undeliverable("Page", f"{FIRST}>mail", "mail", "no")).paged("L1:hook")
    story.when(Undeliverable("Page", FIRST, "pd-ada", "no")).paged()


def test_when_the_fallback_has_refused_before_the_target_does_the_next_level_is_asked(story):
    (
        story
        .after(minutes=1).paged("L1:mail")
        .when(Undeliverable("Page", f"{FIRST}>mail", "mail", "no")).paged("L1:hook")
        .when(Undeliverable("Page", f"{FIRST}>mail>hook", "hook", "no")).paged()
        .when(Undeliverable("Page", FIRST, "pd-ada", "no")).paged("L2:pd-bob")
    )  # fmt: skip


def test_nobody_is_asked_instead_of_a_refused_page_when_somebody_has_answered(story):
    story.when(Acknowledged("ada", via="elsewhere")).when(Undeliverable("Page", FIRST, "pd-ada", "no")).paged()


REFUSED = Undeliverable("Page", "INC-1/1.0/L2/second", "pd-bob", "403: no such key")


@pytest.mark.parametrize(("fallbacks", "whom"), [({}, "L3:pd-chen"), ({"pd-bob": Fallback("pd-noc")}, "L2:pd-noc")])
@pytest.mark.parametrize("called", [Escalated("ada"), SeveritySet("ada", 1, "all is down")])
def test_who_is_called_in_after_an_answer_and_refuses_is_made_up_for(called, fallbacks, whom):
    story = Playbook(replace(rules(), fallbacks=fallbacks)).fires().paged("L1:pd-ada").when(Acknowledged("ada"))
    story.when(called).paged("L2:pd-bob").when(REFUSED).paged(whom)


def test_where_the_provider_escalates_a_fallback_that_took_the_page_asks_nobody():
    text = RULES.replace("    last_resort:", "    escalation: provider\n    last_resort:")
    story = Playbook(replace(rules(text), fallbacks={"pd-ada": Fallback("og-dba")})).fires().paged("L1:pd-ada")
    story.after(minutes=1).paged("L1:og-dba").when(Delivered("INC-1/1.0/L1/first>og-dba", "og-dba"))
    story.after(minutes=4).paged("L2:pd-bob")
