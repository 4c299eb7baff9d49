"""`relay test` and `relay simulate`: scenarios beside the rules."""

import json
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from playbook import RULES, TARGETS

from relay.cli import main

WITH_FACTS = """
facts:
  errors: {promql: 'vector(1)'}
"""


def relay(*words):
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def tested(tmp_path):
    """Rules of three levels, and a way to test them with a scenario's steps."""
    targets = "".join(f"  {name}: {{type: pagerduty, routing_key_file: {tmp_path}/pd}}\n" for name in TARGETS)
    text = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}, matchers: [team=web]}\n"
    (tmp_path / "rules.yaml").write_text(f"targets:\n{targets}{text}{WITH_FACTS}")

    def test(steps, **more):
        extra = "".join(f"    {key}: {value}\n" for key, value in more.items())
        (tmp_path / "some_test.yaml").write_text(
            "tests:\n  - name: it works\n    zone: Europe/Berlin\n    starts: 2026-01-07T12:00\n"
            f"{extra}    steps:\n{steps}"
        )
        return relay("test", tmp_path)

    return test


FIRES = "      - fires: {alertname: Slow, service: checkout}\n"


def test_an_outage_from_its_first_page_to_its_end(tested):
    said = tested(
        FIRES
        + """\
        expect: {severity: SEV-3, paged: [L1], phase: triggered, due: {escalation/L2: 5m}, incidents: 1}
      - at: 2026-01-07T12:05
        expect: {paged: Bob, says: L2 is due}
      - escalate: ana
        expect: {paged: pd-chen}
      - acknowledge: chen
        expect: {phase: acknowledged, paged: []}
      - after: 1d
      - ends: {service: checkout}
        expect: {phase: resolved, closed: [pd-ada, pd-bob, pd-chen], incidents: 0}
"""
    )
    assert (said.exit_code, said.output) == (0, "1 test passed\n")


def test_a_page_that_nobody_expects_fails_with_what_happened(tested, tmp_path):
    said = tested(FIRES + "        expect: {paged: L1}\n      - after: 10m\n        expect: {phase: triggered}\n")
    assert said.exit_code == 1
    assert "no step expects that these are paged: L2 (Bob through pd-bob)" in said.output
    assert said.stderr == "1 of 1 tests failed\n"
    said = tested(FIRES + "        expect: {paged: [L1, L2]}\n")
    assert f'{tmp_path}/some_test.yaml:7: in "it works"' in said.output
    assert "paged: expected L1, L2; got L1 (Ada through pd-ada)" in said.output
    assert (
        "2026-01-07 12:00:00  INC-1  paged Ada through pd-ada: L1 of payments: Ada is on call in first" in said.output
    )


@pytest.mark.parametrize(
    ("expect", "problem"),
    [
        ("phase: held", "phase: expected held, and INC-1 is triggered"),
        ("severity: SEV-1", "severity: expected SEV-1, got SEV-3 (no rule applies: the default)"),
        ("because: rule 7", 'because: expected "rule 7" in it, got "no rule applies: the default"'),
        ("held_by: window", 'held_by: expected "window" in it, got ""'),
        ("due: {escalation/L2: 6m}", "due: expected escalation/L2 in 6m, and it is due in 5m"),
        ("due: {holding/look: 6m}", 'due: INC-1 has no deadline "holding/look"; it has: escalation/L2 in 5m'),
        ("says: nonsense", 'says: no line of the timeline of INC-1 has "nonsense"'),
        ("incidents: 2", "incidents: expected 2 open, and there are 1"),
        ("closed: pd-ada", "closed: expected pd-ada; got nobody"),
        ("{of: {service: x}, phase: held}", "there is no incident with the labels {'service': 'x'}"),
    ],
)
def test_what_is_not_so_is_said(tested, expect, problem):
    expect = expect if expect.startswith("{") else f"{{{expect}}}"
    said = tested(FIRES + f"        expect: [{{paged: L1}}, {expect}]\n")
    assert said.exit_code == 1
    assert problem in said.output


def test_facts_and_pagers_answer_as_the_test_says(tested):
    said = tested(
        """\
      - fires: {alertname: Slow, service: checkout, team: web}
        pagers: {pd-ada: refuses, pd-bob: down}
        expect: {severity: SEV-3, could_be: SEV-1, paged: [ada, bob]}
      - facts: {errors: 0.7}
      - after: 1m
        expect: {severity: SEV-1, because: "errors = 0.7 (>= 0.5)"}
""",
        facts="{errors: unknown}",
    )
    assert (said.output, said.exit_code) == ("1 test passed\n", 0)


def test_several_incidents_are_told_apart_by_labels(tested):
    steps = (
        FIRES
        + """\
        expect: {paged: [L1]}
      - fires: [{alertname: Slow, service: search}, {alertname: Down, service: search}]
        expect: {paged: [L1], incidents: 2}
      - acknowledge: ana
        of: {alertname: Down}
        expect:
          - {of: {service: search}, phase: acknowledged}
          - {of: {service: checkout}, phase: triggered}
      - ends: {}
        expect: [{incidents: 0, closed: [pd-ada, pd-ada]}]
"""
    )
    assert tested(steps).exit_code == 0
    said = tested(steps.replace("        of: {alertname: Down}\n", ""))
    assert "there are 2 incidents: say which one, such as of: {service: checkout}" in said.output


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("at: 2026-01-07T11:00", "this is earlier than the step before it, which is at 2026-01-07 12:00:00"),
        ("ends: {service: search}", "no alert fires that has the labels {'service': 'search'}"),
        ("acknowledge: ana\n        of: {service: search}", "there is no incident with the labels"),
    ],
)
def test_a_step_that_cannot_be_done_ends_the_test(tested, step, problem):
    said = tested(FIRES + f"      - {step}\n")
    assert said.exit_code == 1
    assert problem in said.output


def test_what_is_refused_is_said_in_the_service_s_own_words(tested):
    steps = FIRES + "        expect: {paged: L1}\n      - ends: {}\n      - acknowledge: ana\n"
    assert "INC-1: ack is not possible while it is resolved" in tested(steps).output


@pytest.mark.parametrize(
    ("step", "problem", "advice"),
    [
        ("fire: {alertname: x}", 'unknown key "fire"', 'did you mean "fires"?'),
        ("facts: {error: 1}", 'there is no fact "error"', 'did you mean "errors"?'),
        ("pagers: {pd-adda: down}", 'there is no target "pd-adda"', 'did you mean "pd-ada"?'),
        ("expect: {paged: [bobb]}", 'there is no level, person or target "bobb"', 'did you mean "bob"?'),
        ("expect: {phase: open}", '"open" is not one of the choices', "write one of: acknowledged"),
        ("after: soon", '"soon" cannot be used', "write a duration"),
        ("{after: 1m, at: 2026-01-07T12:00}", "this cannot be used", 'write "after" or "at", but not both'),
    ],
)
def test_a_mistake_in_a_test_is_shown_where_it_is(tested, tmp_path, step, problem, advice):
    said = tested(f"      - {step}\n")
    assert said.exit_code == 1
    assert f"{tmp_path}/some_test.yaml:6:" in said.stderr
    assert problem in said.stderr
    assert advice in said.stderr


def test_no_test_at_all_is_a_finding(tmp_path, tested):
    said = relay("test", tmp_path)
    assert said.exit_code == 1
    assert "there is no test" in said.stderr


def test_results_for_machines(tested, tmp_path):
    tested(FIRES)
    said = relay("test", tmp_path, "--junit", tmp_path / "out.xml", "-o", "json")
    [result] = json.loads(said.output)
    assert (result["passed"], result["name"]) == (False, "it works")
    suite = ElementTree.parse(tmp_path / "out.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert "L1 (Ada through pd-ada)" in suite.find("testcase/failure").text


def test_a_simulation_tells_all_that_happens(tested, tmp_path):
    tested(FIRES + "      - after: 5m\n")
    said = relay("simulate", tmp_path / "some_test.yaml", "--rules", tmp_path)
    assert said.exit_code == 0
    assert "2026-01-07 12:05:00  INC-1  paged Bob through pd-bob" in said.output
    assert relay("simulate", tmp_path / "some_test.yaml", "--rules", tmp_path, "--name", "other").output == ""
