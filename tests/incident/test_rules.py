"""The rules of all files together, and every way in which they can be wrong."""

import pytest
from playbook import RULES, TARGETS

from relay.config.complaints import Rejected, load
from relay.config.document import Unreadable, parse
from relay.incident.rules import RuleFile, join


def joined(*texts, targets=TARGETS):
    documents = [parse(text, f"{name}.yaml") for name, text in zip("abcdef", texts, strict=False)]
    return join([(document, load(document, RuleFile)) for document in documents], targets, "r1", "https://relay/")


def refused(*texts, targets=TARGETS):
    """What is complained about, as `file:line:column: problem: advice`."""
    with pytest.raises(Rejected) as rejected:
        joined(*texts, targets=targets)
    return [f"{c.place}:{c.place.column}: {c.problem}: {c.advice}" for c in rejected.value.complaints]


def wrong(section):
    """Complaints about one more section in a file of its own, beside rules that are right."""
    return [said.removeprefix("b.yaml:") for said in refused(RULES, section)]


# ---- several files are one set of rules -------------------------------------------------------------------------


def test_sections_may_lie_in_any_file_and_lists_follow_the_order_of_the_files():
    made_of = joined(
        RULES + "routes:\n  - {name: one, matchers: [a=b], policy: payments}\n",
        "routes: [{name: two, matchers: [a=b]}]\nseverity: {rules: [{severity: SEV-1, matchers: [a=b]}]}\n",
        "people: {dee: {via: pd-ada}}\noverrides:\n"
        "  - {rotation: first, person: dee, starts: 2026-01-06T00:00, ends: 2026-01-07T00:00}\n"
        "resolution: {reopen_within: 5m}\nfacts: {f: {promql: up}}\nwatchdog: {matchers: [alertname=Beat]}\n",
    )
    assert [route.name for route in made_of.routes] == ["one", "two"]
    assert [rule.severity for rule in made_of.scale.rules] == [2, 1]
    assert made_of.roster.people.keys() == {"ada", "bob", "chen", "dee"}
    assert [override.person for override in made_of.roster.overrides] == ["dee"]
    assert made_of.scale.facts.keys() == {"f"}
    assert str(made_of.watchdog[0]) == 'alertname="Beat"'
    assert (made_of.revision, made_of.link_base) == ("r1", "https://relay")


def test_what_nobody_writes_has_a_sensible_default():
    made_of = joined(RULES)
    assert (made_of.scale.page_at_least, made_of.scale.measure_every.seconds) == (5, 60)
    assert made_of.resolution.reopen_within.seconds == 1800
    assert str(made_of.watchdog[0]) == 'alertname="Watchdog"'


def test_parts_of_the_severity_section_may_come_from_several_files():
    made_of = joined(RULES, "severity: {page_at_least: SEV-4}", "severity: {measure_every: 5m}")
    assert (made_of.scale.default, made_of.scale.page_at_least, made_of.scale.measure_every.seconds) == (3, 4, 300)


# ---- references -------------------------------------------------------------------------------------------------

REFERENCES = [  # a section, and what is said of it
    ("routes: [{matchers: [a=b], policy: paymants}]", '1:36: there is no policy "paymants": did you mean "payments"?'),
    (
        "routes: [{matchers: [a=b], routes: [{matchers: [c=d], policy: x}]}]",
        '1:63: there is no policy "x": write one of: payments',
    ),
    ("people: {x: {via: pd-adda}}", '1:19: there is no target "pd-adda": did you mean "pd-ada"?'),
    (
        "rotations: {r: {zone: UTC, starts: 2026-01-05, people: [ada, bobb]}}",
        '1:62: there is no person "bobb": did you mean "bob"?',
    ),
    (
        "overrides: [{rotation: frist, person: ada, starts: 2026-01-05, ends: 2026-01-06}]",
        '1:24: there is no rotation "frist": did you mean "first"?',
    ),
    (
        "overrides: [{rotation: first, person: adda, starts: 2026-01-05, ends: 2026-01-06}]",
        '1:39: there is no person "adda": did you mean "ada"?',
    ),
    (
        "severity: {rules: [{severity: SEV-1, facts: {eror: {at_least: 1}}}]}\nfacts: {error: {promql: up}}",
        '1:46: there is no fact "eror": did you mean "error"?',
    ),
    (
        "severity: {rules: [{severity: SEV-1, facts: {eror: {at_least: 1}}}]}",
        '1:46: there is no fact "eror": there is none to choose from yet',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "said"), REFERENCES)
def test_a_name_that_leads_nowhere_is_told_with_what_was_meant(section, said):
    assert wrong(section) == [said]


POLICY = """\
policies:
  p:
    levels:
      - {name: L1, page: [{rotation: fist}, {person: add}, {target: pd-nok}], wait: 5m}
      - {name: L1, page: [{person: ada, via: pd-adda}], wait: 5m}
    jump: [{at_least: SEV-1, to: L2}]
    last_resort: [{person: bobb}]
"""


def test_every_name_in_a_policy_is_checked_at_once():
    assert wrong(POLICY) == [
        '4:38: there is no rotation "fist": did you mean "first"?',
        '4:54: there is no person "add": did you mean "ada"?',
        '4:69: there is no target "pd-nok": did you mean "pd-noc"?',
        '5:16: two levels are called "L1": rename one',
        '5:46: there is no target "pd-adda": did you mean "pd-ada"?',
        '6:34: there is no level "L2": write one of: L1',
        '7:28: there is no person "bobb": did you mean "bob"?',
    ]


@pytest.mark.parametrize("kind", ["rotation: first", "schedule: s"])
def test_a_last_resort_that_may_be_nobody_is_refused(kind):
    policy = "{levels: [{name: L1, page: [{person: ada}], wait: 5m}], last_resort: [{%s}%s]}"
    schedule = "schedules: {s: {layers: [{rotation: first}]}}\n"
    assert wrong(f"policies: {{p: {policy % (kind, '')}}}\n{schedule}") == [
        "1:84: this last resort may be nobody: at times nobody may be on call there: add a person or a target"
    ]
    for sure in (", {person: ada}", ", {target: pd-noc}"):
        joined(RULES, f"policies: {{p: {policy % (kind, sure)}}}\n{schedule}")


def test_the_policy_of_the_root_route_is_checked():
    assert refused(RULES.replace("policy: payments,", "policy: payment,")) == [
        'a.yaml:16:17: there is no policy "payment": did you mean "payments"?'
    ]


# ---- what may be written once -----------------------------------------------------------------------------------

TWICE = [
    ("people: {ada: {via: pd-ada}}", '1:10: "ada" is written already in a.yaml:2'),
    (
        "rotations: {first: {zone: UTC, starts: 2026-01-05, people: [ada]}}",
        '1:13: "first" is written already in a.yaml:6',
    ),
    ("route: {policy: payments, group_by: [a]}", '1:1: "route" is written already in a.yaml:16'),
    ("severity: {default: SEV-1}", '1:12: "default" is written already in a.yaml:18'),
    (
        "policies: {payments: {levels: [{name: L1, page: [{person: ada}], wait: 5m}], last_resort: [{person: ada}]}}",
        '1:12: "payments" is written already in a.yaml:9',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "said"), TWICE)
def test_what_a_second_file_writes_again_is_told_with_the_first(section, said):
    assert wrong(section) == [f"{said}: keep one of them, or rename it"]


@pytest.mark.parametrize(
    "section",
    [
        "resolution: {reopen_within: 5m}",
        "watchdog: {matchers: [a=b]}",
        "severity: {page_at_least: SEV-2}",
        "severity: {measure_every: 5m}",
        "facts: {f: {promql: up}}",
        "windows: [{name: w, reason: r, owner: o, zone: UTC, starts: 2026-01-01, ends: 2026-01-02, matchers: [a=b]}]",
    ],
)
def test_each_section_of_which_there_is_one_may_be_written_once(section):
    [said] = refused(RULES, section, section)
    assert said.startswith("c.yaml:")
    assert "is written already in b.yaml:" in said


def test_without_a_root_route_nothing_catches_what_no_branch_wants():
    assert refused("people: {x: {via: pd-ada}}") == [
        'a.yaml:1:1: no file has a root route: add a "route:" with "policy" and "group_by": '
        "it catches every alert that no other route wants"
    ]


def test_two_overrides_of_one_rotation_may_not_overlap():
    first = "overrides: [{rotation: first, person: ada, starts: 2026-01-05T09:00, ends: 2026-01-06T09:00}]"
    touching = first.replace("01-06", "01-07").replace("01-05", "01-06")
    joined(RULES, first, touching)
    joined(RULES, first, first.replace("first", "second"))
    overlapping = first.replace("05T09:00", "06T08:59").replace("ends: 2026-01-06", "ends: 2026-01-07")
    assert refused(RULES, first, overlapping) == [
        'c.yaml:1:13: this override of "first" overlaps the one at b.yaml:1: end one where the other starts'
    ]


def test_an_override_that_ends_before_it_starts_in_its_zone_is_told():
    mixed = "overrides: [{rotation: first, person: ada, starts: 2026-01-05T12:00+00:00, ends: 2026-01-05T11:00}]"
    assert wrong(mixed) == ['1:13: "ends" must be later than "starts": mind the zone: "first" is in UTC']


# ---- what is written wrongly ------------------------------------------------------------------------------------

W = "windows:\n  - {name: w, reason: r, owner: o, zone: UTC, starts: 2026-01-01, ends: 2026-01-02, matchers: [a=b]}"
P = "policies: {q: {levels: [{name: L1, page: [{person: ada}], wait: 5m}], last_resort: [{person: ada}]}}"
R = "rotations: {r: {zone: UTC, starts: 2026-01-05, people: [ada]}}"
S = "severity: {rules: [{severity: SEV-1, matchers: [a=b]}]}"
O = "overrides: [{rotation: first, person: ada, starts: 2026-01-05, ends: 2026-01-06}]"  # noqa: E741

F = "facts: {f: {promql: up}}"
WRONG = [  # a section that is right, what is changed in it, and what is said
    (R, "people: [ada]", "people: []", '"people" has too few: write at least 1'),
    (R, "UTC", "Berlin", '"Berlin" cannot be used: write a time zone as the IANA database names it'),
    (R, "2026-01-05", "05.01.2026", '"05.01.2026" cannot be used: write a date such as 2026-01-05'),
    (R, "2026-01-05", "9999-12-31", '"9999-12-31" cannot be used: write a year from 1970 to 2999'),
    (R, "people:", "every: 36h, people:", '"36h" cannot be used: write whole days or weeks, such as 1d, 1w or 2w'),
    (R, "people:", "every: 1d, handover: {day: mon}, people:", "a rotation by days has no day of the week"),
    (R, "people:", "handover: {day: Mo}, people:", '"Mo" cannot be used: write a day such as monday or mon'),
    (R, "people:", "handover: {day: 1}, people:", '"1" cannot be used: write a day such as monday or mon'),
    (R, "people:", "handover: {at: 9am}, people:", '"9am" cannot be used: write a time of day such as "09:00"'),
    (R, "people: [ada]", "people: ada", '"ada" cannot be used: write a list'),
    (R, "people: [ada]", "people: [7]", '"7" cannot be used: write text, in quotes'),
    (R, "people:", "ends: 2026-01-05, people:", '"ends" must be later than "starts"'),
    (R, "people:", "ends: 2025-01-05, people:", '"ends" must be later than "starts"'),
    (O, "2026-01-06", "2026-01-04", '"ends" must be later than "starts"'),
    (O, "2026-01-06", "tomorrow", '"tomorrow" cannot be used: write a date and time such as 2026-10-24T23:00'),
    (P, "5m", "5 minutes", '"5 minutes" cannot be used: write a duration such as 30s, 5m, 1h30m or 2d'),
    (P, "5m", "5", '"5" cannot be used: write a duration'),
    (P, "5m", "0s", '"0s" cannot be used: write at least 1s'),
    (P, "5m", "11y", '"11y" cannot be used: write a duration of at most ten years (10y)'),
    (P, "L1", "last resort", '"last resort" cannot be used: write another name'),
    (P, "L1", "after-hours", '"after-hours" cannot be used: write another name'),
    (P, "L1", "window", '"window" cannot be used: write another name'),
    (P, "last_resort", "last_resrt", 'unknown key "last_resrt": did you mean "last_resort"?'),
    (P, "last_resort: [{person: ada}]", "last_resort: []", '"last_resort" has too few: write at least 1'),
    (P, "[{person: ada}], wait", "[{person: ada, target: pd-ada}], wait", "write exactly one of"),
    (P, "last_resort:", "repeat: often, last_resort:", '"often" cannot be used: write a whole number'),
    (P, "last_resort:", "repeat: 1.5, last_resort:", '"1.5" cannot be used: write a whole number'),
    (P, "last_resort:", "repeat: -1, last_resort:", '"-1" cannot be used: write 0 or more'),
    (P, "last_resort:", "until: acknowledge, last_resort:", 'not one of the choices: did you mean "acknowledged"?'),
    (P, "last_resort:", "last_resort_every: 1s, last_resort:", '"1s" cannot be used: write at least 1m'),
    (P, "{levels", "[levels", None),
    (W, "a=b", "a~b", '"a~b" cannot be used: write a matcher as Alertmanager does'),
    (W, "a=b", "'a=~\"(\"'", "cannot be used: write a regular expression of the RE2 dialect"),
    (W, "a=b", "'a=~\"(?=x)\"'", "cannot be used: write a regular expression of the RE2 dialect"),
    (W, "a=b", "a!=b", "these matchers cover alerts of every kind: one of them must ask for a value"),
    (W, "ends: 2026-01-02", "ends: 2025-01-02", '"ends" must be later than "starts"'),
    (W, "ends: 2026-01-02, ", "", 'write "starts" with either "ends" or "duration", or one of "weekly", "rrule"'),
    (W, "ends:", "duration: 1h, ends:", 'write "starts" with either "ends" or "duration"'),
    (W, "ends: 2026-01-02", "duration: 30s", '"30s" cannot be used: write at least 1m'),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY, cron: '0 2 * * *'", "write only one of rrule and cron"),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY", 'write how long: "rrule" needs either "duration" or "to"'),
    (W, "ends: 2026-01-02", "cron: '0 2 * * *', duration: 1h, to: '03:00'", 'write how long: "cron" needs either'),
    (W, "starts: 2026-01-01, ends: 2026-01-02", "rrule: FREQ=DAILY, duration: 1h", 'write "starts": a rule counts'),
    (W, "ends: 2026-01-02", "rrule: FREQ=HOURLY, duration: 1h", "write FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY;X=1, duration: 1h", '"X=1" is no part of one'),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30, duration: 1h", "this one never does"),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY;COUNT=5000, duration: 1h", "write a COUNT of at most 1000"),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY;UNTIL=soon, duration: 1h", "write UNTIL as 20261231"),
    (W, "ends: 2026-01-02", "rrule: FREQ=MONTHLY;BYDAY=9TU, duration: 1h", "write numbers from 1 to 5 in BYDAY"),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY, duration: 32d", "write a duration of at most 31d"),
    (W, "ends: 2026-01-02", "cron: '*/10 * * * *', duration: 5m", "write a time that comes at most every hour"),
    (W, "ends: 2026-01-02", "cron: '0 2 30 2 *', duration: 5m", "write a cron expression: "),
    (W, "ends: 2026-01-02", "cron: '@daily', duration: 5m", "write a cron expression of five fields"),
    (W, "ends: 2026-01-02", "rrule: FREQ=DAILY, duration: 1h, except: [Christmas]", "write a day such as 2026-12-24"),
    (W, "matchers: [a=b]", "matchers: [a=b], any_of: [[a=c]]", 'write either "matchers" (all of them) or "any_of"'),
    (W, "matchers: [a=b]", "any_of: [[a=c], [d!=e]]", "these matchers cover alerts of every kind"),
    (W, "zone: UTC", "zone: UTC, redirect: pd-adda", 'there is no target "pd-adda": did you mean "pd-ada"?'),
    (W, "zone: UTC", "zone: UTC, announce: {to: [pd-x]}", 'there is no target "pd-x"'),
    (W, "owner: o, ", "", '"owner" is missing: add "owner: ..." here'),
    (W, "reason: r", "reason: ''", '"reason" is empty: write one'),
    (W, "starts: 2026-01-01, ends: 2026-01-02", "weekly: {days: [], from: '01:00', to: '02:00'}", "at least 1"),
    (W, "starts: 2026-01-01, ends: 2026-01-02", "weekly: {days: [sun], frm: '01:00', to: '02:00'}", 'key "frm"'),
    (W, "zone: UTC", "zone: UTC, mode: shadwo", 'not one of the choices: did you mean "shadow"?'),
    (S, "SEV-1", "critical", '"critical" cannot be used: write SEV-1 (worst) to SEV-5'),
    (S, "[a=b]", "{a: b}", "this cannot be used: write a list"),
    (S, "matchers: [a=b]", "facts: {f: {at_least: 1, at_most: 2}}", 'write either "at_least" or "at_most"'),
    (S, "matchers: [a=b]", "facts: {f: {at_least: 5%}}", '"5%" cannot be used: write a number'),
    (S, "rules:", "rulez:", 'unknown key "rulez": did you mean "rules"?'),
    ("facts: {f: {promql: up}}", "promql: up", "promql: ''", '"promql" is empty: write one'),
    (F, "up", "'sum(rate(x[5m])'", "cannot be used: write PromQL: unclosed left parenthesis"),
    (F, "up", "'sum by (a) (x{a=\"b\"'", "cannot be used: write PromQL: "),
    (F, "up", "rate(x)", "cannot be used: write PromQL: expected type matrix in call to function 'rate', got vector"),
    (F, "up", "'abs(x, y)'", "cannot be used: write PromQL: expected 1 argument(s) in call to 'abs', got 2"),
    (F, "up", "'x{a=\"{{a}}\"} >'", "cannot be used: write PromQL: "),
    (F, "up", "'x[5m]'", "write PromQL that gives a number"),
    (F, "up", "'\"up\"'", "write PromQL that gives a number"),
    ("facts: {f: {promql: up}}", "promql: up", "unit: s", '"promql" is missing: add "promql: ..." here'),
    ("routes: [{matchers: [a=b]}]", "[a=b]", "[]", '"matchers" has too few: write at least 1'),
    ("routes: [{matchers: [a=b]}]", "matchers: [a=b]", "matchers: [a=b], group_by: []", '"group_by" has too few'),
    ("routes: [{matchers: [a=b]}]", "matchers: [a=b]", "matcher: [a=b]", '"matchers" is missing'),
    ("resolution: {reopen_within: 5m}", "{reopen_within: 5m}", "5m", '"5m" cannot be used: write a mapping'),
    ("resolution: {reopen_within: 5m}", "reopen_within", "recheck_after_close: 1s, reopen_within", "write at least 1m"),
    ("people: {x: {via: pd-ada}}", "{via: pd-ada}", "pd-ada", '"pd-ada" cannot be used: write a mapping'),
    ("people: {x: {via: pd-ada}}", "{x: {via: pd-ada}}", "[x]", "this cannot be used: write a mapping"),
    ("people: {x: {via: pd-ada}}", "people", "poeple", 'unknown key "poeple": did you mean "people"?'),
]  # fmt: skip


@pytest.mark.parametrize(("right", "part", "instead", "said"), WRONG)
def test_what_cannot_be_meant_is_refused_with_what_to_write(right, part, instead, said):
    joined(RULES, right)
    assert part in right
    section = right.replace(part, instead, 1)
    if said is None:
        with pytest.raises(Unreadable):
            joined(RULES, section)
    else:
        complaints = wrong(section)
        assert any(said in complaint for complaint in complaints), complaints
        assert not any("pydantic" in c or "Input should" in c or "tuple" in c.lower() for c in complaints), complaints


def test_a_key_that_is_written_twice_in_one_file_is_unreadable():
    with pytest.raises(Unreadable, match='"people" is written twice'):
        joined("people: {}\npeople: {}\n")


def test_all_mistakes_of_a_file_are_told_at_once():
    complaints = wrong(
        "policies: {q: {levels: [{name: 1, page: [{}], wait: x}], last_resort: [{person: ada}], repeet: 1}}"
    )
    assert len(complaints) == 4
