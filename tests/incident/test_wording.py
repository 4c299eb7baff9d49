from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import NOON, RULES, Playbook, an_alert, rules

from relay.incident.alert import Alert
from relay.incident.effects import Page
from relay.incident.events import Acknowledged, Assessed, Measured
from relay.incident.telling import tell

LINKED = replace(
    an_alert("HighErrorRate", severity="critical", pod="p1"),
    annotations={
        "summary": "5xx ratio above 5%",
        "runbook_url": "https://runbooks.example/HighErrorRate",
        "dashboard_url": "javascript:alert(1)",
    },
    starts_at=NOON - timedelta(minutes=3),
    generator_url="http://prometheus:9090/graph?g0.expr=x",
)


def the_page(story):
    return story.asked(Page)[-1].notice


def test_a_title_says_nothing_twice():
    grouped = RULES.replace("group_by: [service]", "group_by: [alertname]")
    alone = replace(an_alert("BackupFailed"), labels={"alertname": "BackupFailed"})
    assert the_page(Playbook(rules(grouped)).fires(alone)).title.startswith("SEV-3 BackupFailed (1 alert fires, ")


def test_a_page_says_what_since_when_why_this_severity_why_you_and_what_next():
    notice = the_page(Playbook(rules()).fires(LINKED))
    assert notice.title == "SEV-2 checkout: HighErrorRate (1 alert fires, since 11:57 UTC)"
    assert notice.text == "\n".join(
        [
            "What: HighErrorRate: 5xx ratio above 5%",
            "Since: 2026-01-07 11:57:00 UTC (3m ago)",
            'Severity: SEV-2, rule severity="critical" (rules.yaml:20)',
            "Why you: L1 of payments: Ada is on call in first (rules.yaml:6)",
            "Next: in 5m L2 (rotation second) is paged too, unless somebody acknowledges",
            "Acknowledge: relay incident ack INC-1",
        ]
    )
    assert (notice.severity, notice.service, notice.firing) == (2, "checkout", 1)
    assert notice.started_at == NOON - timedelta(minutes=3)
    assert notice.labels == LINKED.labels


def test_it_links_to_what_is_an_address_and_nothing_else():
    notice = the_page(Playbook(replace(rules(), link_base="https://relay.example.com")).fires(LINKED))
    assert notice.links == {
        "Relay INC-1": "https://relay.example.com/incidents/INC-1",
        "Runbook: HighErrorRate": "https://runbooks.example/HighErrorRate",
        "Query: HighErrorRate": "http://prometheus:9090/graph?g0.expr=x",
    }
    assert "Relay INC-1" not in the_page(Playbook(rules()).fires(LINKED)).links


def test_each_level_hears_what_happens_next():
    story = Playbook().fires()
    said = [next(line for line in the_page(story).text.splitlines() if "Next:" in line)]
    for minutes in (5, 10, 15):
        said.append(next(ln for ln in the_page(story.after(minutes=minutes)).text.splitlines() if "Next:" in ln))
    assert said == [
        "Next: in 5m L2 (rotation second) is paged too, unless somebody acknowledges",
        "Next: in 10m L3 (person chen) is paged too, unless somebody acknowledges",
        "Next: in 15m the last resort (target pd-noc) is paged, unless somebody acknowledges",
        "Next: this page is repeated every 30m until somebody acknowledges",
    ]


def test_the_last_level_of_a_policy_that_starts_over_says_so():
    text = RULES.replace("    last_resort:", "    repeat: 1\n    until: resolved\n    last_resort:")
    story = Playbook(rules(text)).fires().after(minutes=15)
    assert "Next: in 15m L1 is paged again, unless it is resolved" in the_page(story).text


def test_a_page_after_somebody_has_answered_says_who_is_on_it():
    story = Playbook().fires().when(Acknowledged("ana")).when(Assessed(1, "revenue", was=3))
    assert "Next: nobody else is paged, ana is on it" in the_page(story).text


def test_what_could_still_make_it_worse_is_told():
    text = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 1}}}\n"
    made_of = rules(text, facts="{errors: {promql: e}}")
    assert "  could be SEV-1; not known: facts still being looked up" in the_page(Playbook(made_of).fires()).text
    story = Playbook(made_of).fires().when(Measured({}, {"errors": "timeout"})).after(minutes=5)
    assert "  could be SEV-1; not known: errors" in the_page(story).text


def test_a_storm_is_shortened_and_names_every_kind_before_a_second_of_any():
    storm = [an_alert("Down", pod=f"p{n}") for n in range(500)] + [an_alert("Lag"), an_alert("Full")]
    notice = the_page(Playbook().fires(*storm))
    assert notice.title == "SEV-3 checkout: Down, Lag and 1 more (502 alerts fire, since 12:00 UTC)"
    assert notice.firing == 502
    assert len(notice.alerts) == 10
    assert {line.partition(":")[0] for line in notice.alerts[:3]} == {"Down", "Lag", "Full"}
    assert "      and 499 more" in notice.text.splitlines()
    assert len(notice.text) < 2000


def test_the_oldest_alert_is_told_first():
    young, old = an_alert("Young"), replace(an_alert("Old"), starts_at=NOON - timedelta(hours=1))
    startless = Alert("prod", "x", {"alertname": "Startless", "service": "checkout"})
    notice = the_page(Playbook().fires(startless, young, old))
    assert [line.partition(":")[0] for line in notice.alerts] == ["Old", "Young", "Startless"]


def test_an_alert_without_a_text_is_told_by_its_labels_and_one_without_a_name_by_its_first_label():
    bare = Alert("prod", "f", {"alertname": "Bare", "service": "checkout", "pod": "p1"}, {}, NOON)
    nameless = Alert("prod", "g", {"job": "node", "service": "checkout"}, {"description": "two\nlines"}, NOON)
    assert the_page(Playbook().fires(bare)).alerts == ("Bare: pod=p1, service=checkout",)
    assert the_page(Playbook().fires(nameless)).alerts == ("node: two lines",)


def test_what_began_on_another_day_is_told_with_its_date():
    old = replace(an_alert(), starts_at=NOON - timedelta(days=2))
    assert "since 2026-01-05 12:00 UTC" in the_page(Playbook().fires(old)).title


def test_a_long_text_is_cut():
    wordy = replace(an_alert(), annotations={"summary": "x" * 5000})
    [line] = the_page(Playbook().fires(wordy)).alerts
    assert len(line) == 300
    assert line.endswith("x…")


words = st.text(min_size=1, max_size=30)


@given(words, words, words)
def test_no_text_of_an_alert_can_write_a_line_of_its_own(name, service, summary):
    alert = Alert("prod", "f", {"alertname": name, "service": service}, {"summary": summary}, NOON)
    notice = the_page(Playbook().fires(alert))
    assert len(notice.title.splitlines()) == 1
    starts = [line.split(":")[0] for line in notice.text.splitlines()]
    assert starts == ["What", "Since", "Severity", "Why you", "Next", "Acknowledge"]


@pytest.mark.parametrize("labels", [{}, {"job": "node"}, {"namespace": "web", "app": ""}])
def test_what_is_broken_has_a_name_whatever_the_labels_are(labels):
    text = RULES.replace("[service]", "[cluster]")
    notice = the_page(Playbook(rules(text)).fires(Alert("prod", "f", labels or {"x": "y"}, {}, NOON)))
    assert notice.service == {"": "unknown service"}.get("".join(labels), labels.get("job") or labels.get("namespace"))


def test_every_line_of_a_timeline_is_in_words():
    story = Playbook().fires(LINKED).after(minutes=5).when(Acknowledged("ana")).ends().after(hours=1)
    said = [tell(event) for _, event in story.story.happened]
    assert all(said)
    assert "paged Ada through pd-ada: L1 of payments: Ada is on call in first (rules.yaml:6)" in said
    assert 'SEV-2: rule severity="critical" (rules.yaml:20)' in said
    assert "nobody has answered: L2 is due" in said
