"""A severity that people set, one that is lowered, and rules in shadow."""

from playbook import RULES, Playbook, an_alert, rules

from relay.incident.effects import UpdatePage
from relay.incident.events import AlertsTruncated, Assessed, Measured, Opened, SeveritySet, WouldAssess
from relay.incident.triage import place

FACTS = "{errors: {promql: e}}"
BY_FACT = """\
    - {severity: SEV-3, facts: {errors: {at_least: 0.1}}}
    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}}
"""


def lowering(default="SEV-4"):
    text = RULES.replace("default: SEV-3", f"default: {default}\n  lower_after: 15m") + BY_FACT
    return rules(text, facts=FACTS)


def assessed(story):
    return [(e.was, e.severity) for _, e in story.story.happened if isinstance(e, Assessed) and e.was != e.severity]


# ---- people -----------------------------------------------------------------------------------------------------


def test_what_somebody_says_stands_whatever_is_computed():
    story = Playbook(lowering()).fires().when(SeveritySet("ana", 2, "the press is calling"))
    assert (story.incident.severity, story.incident.because) == (2, "ana says so: the press is calling")
    story.when(Measured({"errors": 0.9}))
    assert (story.incident.severity, story.incident.could_be) == (2, 1)
    story.when(Measured({"errors": 0.0})).after(hours=2)
    assert (story.incident.severity, story.incident.could_be) == (2, None)


def test_who_says_that_it_is_worse_rings_more_people_and_tells_those_who_were_rung():
    story = Playbook(rules()).fires().paged("L1:pd-ada")
    story.when(SeveritySet("ana", 1, "money"))
    assert [ring.level for ring in story.incident.rings] == ["L1", "L2"]
    assert [effect.what for effect in story.asked(UpdatePage)] == ["raised from SEV-3 to SEV-1: ana says so: money"]


def test_who_says_that_it_is_milder_is_believed_even_of_the_worst():
    story = Playbook(rules()).fires(an_alert(severity="critical")).paged("L1:pd-ada")
    story.when(SeveritySet("ana", 4, "a test system"))
    assert story.incident.severity == 4
    [update] = story.asked(UpdatePage)
    assert update.what == "lowered from SEV-2 to SEV-4: ana says so: a test system"


def test_when_it_comes_back_what_somebody_has_said_still_stands():
    story = Playbook(rules()).fires().when(SeveritySet("ana", 1, "money")).ends().fires()
    assert (story.incident.severity, story.incident.set_by) == (1, "ana")
    assert "ana says so: money" in story.incident.because
    mild = Playbook(rules()).fires(an_alert(severity="critical")).when(SeveritySet("ana", 4, "a test")).ends()
    mild.fires(an_alert(severity="critical"))
    assert (mild.incident.severity, mild.incident.could_be, mild.incident.set_by) == (4, 2, "ana")


def test_when_it_comes_back_the_worst_is_lowered_by_nobody_and_the_rest_is_judged_anew():
    worst = Playbook(rules()).fires(an_alert(severity="critical")).ends().fires(an_alert("Mild"))
    assert worst.incident.severity == 2
    rest = Playbook(lowering()).fires().when(Measured({"errors": 0.2}))
    assert rest.incident.severity == 3
    rest.ends().fires()
    assert rest.incident.severity == 4


# ---- lowered ----------------------------------------------------------------------------------------------------


def test_what_stays_milder_is_lowered_and_those_who_were_rung_hear_it():
    story = Playbook(lowering()).fires().when(Measured({"errors": 0.2}))
    story.when(Measured({"errors": 0.0})).asked()
    story.after(minutes=14)
    assert story.incident.severity == 3
    story.after(minutes=1)
    assert story.incident.severity == 4
    assert any("lowered from SEV-3 to SEV-4" in effect.what for effect in story.asked(UpdatePage))
    story.when(Measured({"errors": 0.2}))
    assert story.incident.severity == 3


def test_what_gets_worse_again_meanwhile_or_is_not_known_is_not_lowered():
    for answer in (Measured({"errors": 0.3}), Measured({}, {"errors": "no answer"})):
        story = Playbook(lowering()).fires().when(Measured({"errors": 0.2})).when(Measured({"errors": 0.0}))
        story.after(minutes=10).when(answer).after(minutes=10)
        assert story.incident.severity == 3
        story.when(Measured({"errors": 0.0})).after(minutes=14)
        assert story.incident.severity == 3


def test_the_worst_is_lowered_by_people_alone():
    story = Playbook(lowering()).fires(an_alert(severity="critical")).when(Measured({"errors": 0.0})).after(hours=9)
    assert story.incident.severity == 2


DOWN, SLOW = an_alert("Down"), an_alert("Slow")
LOWERING = RULES.replace("default: SEV-3", "default: SEV-4\n  lower_after: 15m")
DOWN_IS_WORSE = rules(LOWERING + "    - {severity: SEV-3, matchers: [alertname=Down]}\n")


def test_an_alert_that_ends_may_leave_what_is_milder():
    story = Playbook(DOWN_IS_WORSE).fires(DOWN, SLOW)
    assert story.ends(DOWN).incident.severity == 3
    assert story.after(minutes=15).incident.severity == 4
    assert assessed(story) == [(None, 3), (3, 4)]


def test_nothing_is_lowered_while_the_source_leaves_alerts_out():
    story = Playbook(DOWN_IS_WORSE).fires(DOWN, SLOW).when(AlertsTruncated("g", 3)).ends(DOWN).after(minutes=15)
    assert story.incident.severity == 3
    story.when(AlertsTruncated("g", 0)).fires(an_alert("Another")).after(minutes=15)
    assert story.incident.severity == 4


def test_without_the_key_nothing_is_lowered():
    story = Playbook(rules(RULES + BY_FACT.replace("SEV-3", "SEV-2"), facts=FACTS)).fires()
    story.when(Measured({"errors": 0.2})).when(Measured({"errors": 0.0})).after(hours=9)
    assert story.incident.severity == 2


# ---- shadow -----------------------------------------------------------------------------------------------------


def test_a_severity_rule_in_shadow_changes_nothing_and_says_so_when_it_is_new():
    text = RULES + "    - {severity: SEV-1, mode: shadow, name: new, facts: {errors: {at_least: 0.5}}}\n"
    text += "    - {severity: SEV-2, mode: shadow, name: label, matchers: [service=checkout]}\n"
    story = Playbook(rules(text, facts=FACTS)).fires()
    story.when(Measured({"errors": 0.9})).when(Measured({"errors": 0.9}))
    would = [(e.severity, e.because) for _, e in story.story.happened if isinstance(e, WouldAssess)]
    assert would == [(2, "rule label (rules.yaml:22)"), (1, "rule new (rules.yaml:21); errors = 0.9 (>= 0.5)")]
    assert story.incident.severity == 3


def test_a_route_in_shadow_is_never_taken_and_says_where_it_would_have_led():
    shadow = "{name: new, mode: shadow, matchers: [service=checkout], group_by: [alertname]}"
    made_of = rules(routes=f"[{shadow}, {{name: old, matchers: [service=checkout]}}]")
    where = place(an_alert(), made_of)
    assert where.destination.because.startswith("route old")
    assert where.opened == Opened(where.group, where.opened.plan, "route new (rules.yaml:22)")
    after = rules(routes=f"[{{name: old, matchers: [service=checkout]}}, {shadow}]")
    assert place(an_alert(), after).opened.would == ""
