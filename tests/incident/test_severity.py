from datetime import timedelta

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import NOON, RULES, Playbook, an_alert, rules
from pydantic import ValidationError

from relay.incident.effects import Measure, UpdatePage
from relay.incident.events import Assessed, Held, Measured
from relay.incident.severity import Fact, Severity, SeverityRule, Threshold, ask, assess

HEAD = RULES[: RULES.index("severity:")]
SCALE = """\
facts:
  errors: {promql: 'sum(rate(errors{service="{{service}}"}[5m]))', unit: ratio}
  users: {promql: sum(users)}
severity:
  default: SEV-4
  rules:
    - name: half of it fails
      severity: SEV-1
      matchers: ['severity="critical"']
      facts: {errors: {at_least: 0.5}}
    - {severity: SEV-2, matchers: ['severity="critical"']}
    - {severity: SEV-2, facts: {users: {at_most: 100}, errors: {at_least: 0.1}}}
    - {severity: SEV-3, matchers: [severity=warning, team=~"pay.*"]}
"""
MADE_OF = rules(HEAD + SCALE)
CRITICAL = an_alert("Down", severity="critical")
NOBODY_KNOWS = Measured({}, {"errors": "no answer", "users": "no answer"})


def assessed(*alerts, **facts):
    return assess(MADE_OF.scale, alerts, facts)


# ---- how it is computed -----------------------------------------------------------------------------------------


def test_the_worst_rule_that_holds_wins_and_the_reason_names_it_and_the_values():
    found = assessed(CRITICAL, errors=0.73, users=1000)
    assert found.severity == 1
    assert found.because == "rule half of it fails (rules.yaml:23); errors = 0.73 (>= 0.5)"


def test_a_rule_without_a_name_is_named_by_its_matchers_or_only_by_its_place():
    assert assessed(CRITICAL, errors=0).because == 'rule severity="critical" (rules.yaml:27)'
    by_facts = assessed(an_alert(), errors=0.2, users=7)
    assert (by_facts.severity, by_facts.because) == (
        2,
        "rule (rules.yaml:28); users = 7 (<= 100); errors = 0.2 (>= 0.1)",
    )


def test_of_equals_the_first_in_the_list_is_the_reason():
    assert assessed(CRITICAL, errors=0.2, users=7).because == 'rule severity="critical" (rules.yaml:27)'


def test_one_alert_is_enough_and_all_matchers_of_a_rule_must_meet_the_same_alert():
    warning, pay = an_alert("W", severity="warning"), an_alert("P", team="payments")
    both = an_alert("B", severity="warning", team="payments")
    assert assessed(warning, pay).severity == 4
    assert assessed(warning, pay, both).severity == 3


def test_when_no_rule_holds_the_default_says_so():
    found = assessed(an_alert(), errors=0, users=1000)
    assert (found.severity, found.because, found.could_be) == (4, "no rule applies: the default", None)


def test_an_unknown_fact_lowers_nothing_and_what_it_could_make_of_it_is_told():
    found = assessed(CRITICAL)
    assert (found.severity, found.could_be, found.unknown) == (2, 1, ("errors",))


def test_a_threshold_that_does_not_hold_answers_for_the_others_that_are_unknown():
    assert assessed(an_alert(), users=1000).could_be is None
    assert assessed(an_alert(), users=7).could_be == 2


def test_at_the_value_itself_a_threshold_holds():
    assert Threshold(at_least=0.5).holds(0.5)
    assert Threshold(at_most=100).holds(100)
    assert Threshold(at_most=0).holds(-0.0)
    assert not Threshold(at_most=0).holds(0.001)


@given(
    st.lists(st.sampled_from([CRITICAL, an_alert(), an_alert("W", severity="warning", team="pay")]), min_size=1),
    st.dictionaries(st.sampled_from(["errors", "users"]), st.sampled_from([0.0, 0.1, 0.5, 50.0, 100.0, 1e9])),
    st.sampled_from(["errors", "users"]),
)
def test_forgetting_a_fact_never_promises_less_than_the_fact_would(alerts, facts, forgotten):
    """With less known, the worst that it could be is at least as bad as what it would turn out to be."""
    known = assess(MADE_OF.scale, alerts, facts)
    less = assess(MADE_OF.scale, alerts, {name: value for name, value in facts.items() if name != forgotten})
    assert min(less.severity, less.could_be or 9) <= known.severity
    assert less.severity >= known.severity  # and it claims nothing that it does not know


# ---- what is written --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["SEV-2", "sev-2", "SEV2", 2])
def test_a_severity_is_written_as_people_say_it(level):
    assert SeverityRule(severity=level, matchers=("a=b",)).severity == 2


@pytest.mark.parametrize("level", ["SEV-0", "SEV-6", 0, 6, True, False, "P1", "2", "", None, 2.0])
def test_what_is_not_a_severity_is_refused(level):
    with pytest.raises(ValidationError, match=r"SEV-1 \(worst\) to SEV-5"):
        SeverityRule(severity=level, matchers=("a=b",))


@pytest.mark.parametrize(
    "fields",
    [{}, {"at_least": 1, "at_most": 2}, {"at_least": "nan"}, {"at_least": "inf"}, {"at_most": "-inf"}],
)
def test_a_threshold_has_one_side_and_a_number(fields):
    with pytest.raises(ValidationError):
        Threshold.model_validate(fields)


def test_a_rule_must_ask_for_something():
    with pytest.raises(ValidationError, match='for everything else there is "default"'):
        SeverityRule(severity=1)


def test_facts_cannot_be_asked_for_all_the_time():
    with pytest.raises(ValidationError, match="write at least 1s"):
        Severity(measure_every="10ms")


REFUSED = [
    'up{service=~"{{service}}"}',
    'up{service!~"{{service}}"}',
    'up{service="a{{service}}"}',
    'up{service="{{service}}b"}',
    "up{service='{{service}}'}",
    "up{service=`{{service}}`}",
    "up{service={{service}}}",
    "{{service}}",
    'up{service="{{ $labels.service }}"}',
    'up{service="{{.service}}"}',
    'up{service="{{service}}"} > {{limit}}',
]


@pytest.mark.parametrize("promql", REFUSED)
def test_a_slot_stands_only_where_its_value_cannot_become_code(promql):
    with pytest.raises(ValidationError, match=r"only as a whole value after = or !="):
        Fact(promql=promql)


@pytest.mark.parametrize("promql", ['up{a="{{x}}"}', 'up{a!="{{ x }}", b="{{y}}"}', 'sum by (x) (up{a = "b"})', "up"])
def test_slots_in_the_right_place_are_taken(promql):
    assert Fact(promql=promql).promql == promql


# ---- what is asked ----------------------------------------------------------------------------------------------


def selector(query):
    """The matchers of the one selector in a query, as Prometheus would read them."""
    return {m.name: m.value for m in promql_parser.parse(query).matchers.matchers}


@given(st.text(), st.text())
def test_a_hostile_label_value_stays_a_value(service, pod):
    """Quotes, braces, backslashes, slots of its own: Prometheus reads exactly the label's value."""
    made_of = rules(
        HEAD + 'facts:\n  f: {promql: \'up{service="{{service}}",pod!="{{pod}}"}\'}\n'
        "severity: {rules: [{severity: SEV-1, facts: {f: {at_least: 1}}}]}\n"
    )
    [query] = ask(made_of.scale, ["f"], {"service": service, "pod": pod}).queries.values()
    assert selector(query) == {"service": service, "pod": pod}


def test_a_fact_whose_label_the_alerts_do_not_share_is_not_asked_for():
    made_of = rules(HEAD + SCALE.replace("sum(users)", "'sum(users{pod=\"{{pod}}\"})'"))
    [measure] = Playbook(made_of).fires(an_alert(pod="p1"), an_alert(pod="p2")).asked(Measure)
    assert measure.unanswerable == {"users": "the alerts share no label pod"}
    assert measure.queries == {"errors": 'sum(rate(errors{service="checkout"}[5m]))'}


def test_facts_are_asked_for_when_it_opens_and_the_page_does_not_wait():
    story = Playbook(MADE_OF).fires(CRITICAL).paged("L1:pd-ada")
    assert [type(e) for _, e in story.story.asked].count(Measure) == 1


def test_it_is_raised_by_what_is_measured_later_and_those_who_were_paged_hear_of_it():
    story = Playbook(MADE_OF).fires(CRITICAL).paged("L1:pd-ada")
    story.asked()
    story.when(Measured({"errors": 0.9}))
    assert [u.what for u in story.asked(UpdatePage)] == [
        "raised from SEV-2 to SEV-1: rule half of it fails (rules.yaml:23); errors = 0.9 (>= 0.5)"
    ]


def test_it_is_never_lowered_while_it_is_open():
    story = Playbook(MADE_OF).fires(CRITICAL).when(Measured({"errors": 0.9}))
    story.when(Measured({"errors": 0.0})).fires(an_alert("Mild")).ends(CRITICAL).when(NOBODY_KNOWS)
    assert story.incident.severity == 1
    assert story.incident.because.startswith("rule half of it fails")


def test_it_is_measured_again_each_minute_only_while_that_could_make_it_worse():
    story = Playbook(MADE_OF).fires(CRITICAL)
    assert len(story.asked(Measure)) == 1
    assert len(story.after(minutes=10).asked(Measure)) == 10
    story.when(Measured({"errors": 0.9}))
    assert len(story.after(minutes=10).asked(Measure)) == 0


def test_what_its_labels_make_the_worst_already_is_never_measured():
    text = HEAD + SCALE + "    - {severity: SEV-1, matchers: [alertname=Lost]}\n"
    story = Playbook(rules(text)).fires(an_alert("Lost", severity="critical"))
    assert story.asked(Measure) == []
    assert "severity/measure" not in story.incident.deadlines


def test_nothing_is_measured_after_the_end():
    story = Playbook(MADE_OF).fires(CRITICAL).ends()
    story.asked()
    assert story.after(minutes=20).asked(Measure) == []


def test_measure_every_is_how_often():
    made_of = rules(HEAD + SCALE.replace("default: SEV-4", "default: SEV-4\n  measure_every: 5m"))
    assert len(Playbook(made_of).fires(CRITICAL).after(minutes=10).asked(Measure)) == 3


# ---- too mild to page -------------------------------------------------------------------------------------------

MILD = rules(HEAD + SCALE.replace("default: SEV-4", "default: SEV-4\n  page_at_least: SEV-3"))


def test_what_is_too_mild_to_page_waits_and_is_there_to_be_seen():
    story = Playbook(MILD).fires().when(Measured({"users": 1000.0, "errors": 0.0}))
    story.held("SEV-4 does not page (severity.page_at_least is SEV-3)").after(days=3).paged()
    assert story.incident.phase == "held"


def test_a_mild_incident_waits_a_moment_for_facts_that_could_make_it_worse():
    story = Playbook(MILD).fires().held("facts are being looked up").after(seconds=4).paged()
    story.when(Measured({"users": 7.0, "errors": 0.2})).paged("L1:pd-ada")
    assert story.incident.severity == 2


def test_missing_data_skips_no_page():
    Playbook(MILD).fires().held("facts are being looked up").after(seconds=5).paged("L1:pd-ada")
    Playbook(MILD).fires().held("").when(NOBODY_KNOWS).paged().after(seconds=5).paged("L1:pd-ada")


def test_a_missing_fact_that_would_make_it_just_bad_enough_to_page_skips_no_page():
    by_fact = "[{severity: SEV-3, facts: {errors: {at_least: 0.5}}}]"
    severity = f"{{default: SEV-4, page_at_least: SEV-3, rules: {by_fact}}}"
    story = Playbook(rules(HEAD, facts="{errors: {promql: e}}", severity=severity)).fires()
    story.held("facts are being looked up").after(seconds=5).paged("L1:pd-ada")


def test_an_alert_that_joins_does_not_answer_what_is_still_open_about_the_others():
    """The question about the first alert stays open: the growing incident pages after the same five seconds."""
    text = HEAD + SCALE.replace("default: SEV-4", "default: SEV-4\n  page_at_least: SEV-3").replace(
        "- {severity: SEV-2, facts", "- {severity: SEV-2, matchers: [alertname=A], facts"
    )
    story = Playbook(rules(text)).fires(an_alert("A")).held("facts are being looked up")
    story.after(seconds=2).fires(an_alert("B")).paged()
    assert story.incident.could_be == 2
    story.after(seconds=3).paged("L1:pd-ada")


def test_each_new_mild_alert_does_not_put_the_next_look_off():
    story = Playbook(MILD).fires().when(Measured({"users": 1000.0, "errors": 0.0})).held("does not page")
    look = story.incident.deadlines["holding/look"]
    story.after(hours=5).fires(an_alert("B"))
    assert story.incident.deadlines["holding/look"] == look == NOON + timedelta(days=1)


def test_what_gets_worse_than_mild_pages():
    story = Playbook(MILD).fires().when(Measured({"users": 1000.0, "errors": 0.0})).held("does not page")
    story.fires(CRITICAL).paged("L1:pd-ada")
    [because] = [e.because for _, e in story.story.happened if type(e).__name__ == "Triggered"]
    assert "no longer held by SEV-4 does not page" in because


def test_a_timeline_tells_an_assessment_once():
    story = Playbook(MADE_OF).fires(CRITICAL)
    for _ in range(3):
        story.when(Measured({"errors": 0.0, "users": 9.0}))
    changes = [e for _, e in story.story.happened if isinstance(e, Assessed) and e.was != e.severity]
    assert len(changes) == 1
    assert not [e for _, e in story.story.happened if isinstance(e, Held)]
