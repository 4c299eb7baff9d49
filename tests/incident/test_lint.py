"""What `relay check` warns of, though it can be used."""

from datetime import UTC, datetime

import pytest
from playbook import RULES, rules

from relay.incident.lint import lint

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SEV_1 = "never_suppress: [SEV-1]"
WEEKLY = "rrule: FREQ=WEEKLY;BYDAY=TU, duration: 1h"
W = "name: w, reason: r, owner: o, zone: UTC, matchers: [service=checkout]"


def warnings(made_of, recorded=(), now=NOW):
    return [(complaint.place.line, complaint.problem) for complaint in lint(made_of, now, recorded)]


def test_sound_rules_are_not_complained_of():
    assert warnings(rules()) == []


@pytest.mark.parametrize(
    "times",
    [
        "cron: '0 2 * * 1-5', duration: 1h, except: [2026-12-04, '2026-12-07T02:00']",
        f"{WEEKLY}, starts: 2026-12-01, also: [2026-12-02]",
        "cron: '0 */2 * * *', duration: 1h",
        "cron: '0 2 29 2 *', duration: 1h",
        "starts: '2028-02-29T02:00', duration: 1h, rrule: FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "starts: 2031-01-01, ends: 2031-01-02, never_suppress: [SEV-1]",
    ],
)
def test_sound_windows_are_not_complained_of(times):
    assert warnings(rules(windows=f"[{{{W}, {times}}}]")) == []


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"routes": "\n  - {matchers: [team=web]}\n  - {matchers: [team=web, env=prod]}"},
            "this route is never taken: rules.yaml:23 comes first, and takes all that would come here",
        ),
        (
            {"routes": "\n  - {matchers: [team=web], routes: [{matchers: [team=db]}]}"},
            'no alert can meet both team="web" and team="db"',
        ),
        ({"windows": f"[{{{W}, starts: 2026-01-01, ends: 2026-01-02}}]"}, 'window "w" does not open any more'),
        (
            {"windows": f"[{{{W}, cron: '0 1 * * *', duration: 20h}}]"},
            'window "w" holds everything it covers for 20 hours, SEV-1 included',
        ),
        *(
            (
                {"windows": f"[{{{W.replace('service=checkout', matcher)}, starts: 2026-12-01, duration: 1h}}]"},
                'window "w" covers nearly every alert: its matchers are met by any that has a name',
            )
            for matcher in ("alertname=~.+", "'alertname!=\"\"'", "'alertname!~\"(Down)?\"'")
        ),
        ({"windows": f"[{{{W}, cron: '0 * * * *', duration: 1h}}]"}, 'window "w" is open for 100 % of the time'),
        (
            {"windows": f"[{{{W}, weekly: {{days: [mon, tue, wed, thu], from: '00:00', to: '00:00'}}, {SEV_1}}}]"},
            'window "w" is open for 57 % of the time',
        ),
        (
            {"windows": f"[{{{W}, cron: '0 2 * * 1-5', duration: 1h, except: [2026-12-05]}}]"},
            'window "w": "except" of 2026-12-05 meets no start',
        ),
        (
            {"windows": f"[{{{W}, cron: '0 2 * * *', duration: 1h, except: ['2026-12-05T03:00']}}]"},
            'window "w": "except" of 2026-12-05 03:00:00 meets no start',
        ),
        (
            {"windows": f"[{{{W}, {WEEKLY}, starts: 2026-12-01, also: [2026-11-30]}}]"},
            'window "w": "also" of 2026-11-30 00:00:00 is not between "starts" and "ends"',
        ),
        (
            {"windows": f"[{{{W}, {WEEKLY}, starts: 2026-12-02}}]"},
            'window "w": "starts" is not on the rule: it opens later',
        ),
        ({"services": "{a: {runbook: 'https://a'}}"}, 'service "a" has no owner'),
        ({"services": "{a: {owner: b}}"}, 'service "a" has no runbook'),
    ],
)
def test_what_is_hardly_meant_is_shown_at_its_line(changed, problem):
    [(line, said)] = warnings(rules(**changed))
    assert said == problem
    assert line >= 21


def test_a_policy_nobody_uses_and_a_level_nobody_can_be_reached_at():
    text = RULES.replace("second: {zone: UTC,", "second: {ends: 2026-02-02, zone: UTC,")
    found = [problem for _, problem in warnings(rules(text))]
    assert found == ['nobody can be reached at L2 of "payments", now or within 400 days']
    assert warnings(rules(text), now=datetime(2026, 1, 10, tzinfo=UTC)) == []
    other = "  other: {levels: [{name: L1, page: [{person: ada}], wait: 5m}], last_resort: [{person: ada}]}"
    unused = RULES.replace("route: {policy: payments", f"{other}\nroute: {{policy: payments")
    assert [problem for _, problem in warnings(rules(unused))] == ['no route leads to the policy "other"']


def test_a_level_of_one_person_who_is_away_for_good_reaches_nobody_but_the_last_resort_does():
    away = "[{person: chen, starts: 2026-01-01, ends: 2029-01-01, zone: UTC}]"
    text = RULES.replace("last_resort: [{target: pd-noc}]", "last_resort: [{person: chen}]")
    found = [problem for _, problem in warnings(rules(text, unavailable=away))]
    assert found == ['nobody can be reached at L3 of "payments", now or within 400 days']


def test_matchers_are_held_against_what_was_recorded():
    made_of = rules(
        routes="[{matchers: [team=web], policy: payments}]",
        windows=f"[{{{W}, cron: '0 1 * * *', duration: 2h}}]",
    )
    checkout = {"service": "checkout"}
    recorded = [{**checkout, "severity": "critical"}, {**checkout, "team": "db"}, {"service": "x"}]
    assert [problem for _, problem in warnings(made_of, recorded)] == [
        "no recorded alert meets the matchers of this route",
        'window "w" covers 67 % of the recorded alerts',
    ]
    assert [problem for _, problem in warnings(made_of, [{"service": "x"}])] == [
        "no recorded alert meets the matchers of this severity rule",
        "no recorded alert meets the matchers of this route",
        'no recorded alert is covered by window "w"',
    ]
