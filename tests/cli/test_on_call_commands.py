"""`relay who --rules` and `relay gaps`, on rule files."""

import json

import pytest
from click.testing import CliRunner

from relay.cli import main

RULES = """\
targets: {phone: {type: webhook, url_env: PHONE}, mail: {type: webhook, url_env: MAIL}}
people: {ada: {name: Ada, via: phone}, bob: {name: Bob, via: mail}}
rotations: {first: {zone: Europe/Berlin, starts: 2026-01-05, people: [ada, bob]%s}}
policies:
  p: {levels: [{name: L1, page: [{rotation: first}], wait: 5m}], last_resort: [{target: mail}]}
route: {policy: p, group_by: [service]}
"""


@pytest.fixture
def run(tmp_path):
    def run(more, *arguments):
        (tmp_path / "all.yaml").write_text(RULES % more)
        return CliRunner().invoke(main, [*arguments, "--rules", str(tmp_path)])

    return run


def test_who_is_on_call_by_files(run):
    said = run("", "who", "--at", "2026-01-06T12:00")
    assert said.exit_code == 0
    assert "first     Ada   Mon 2026-01-12 09:00 Europe/Berlin   Bob" in said.output
    assert "p L1: Ada through phone" in said.output
    assert json.loads(run("", "who", "--at", "2026-01-13T12:00", "-o", "json").output)["on_call"][0]["person"] == "Bob"


def test_nobody_is_said(run):
    said = run("", "who", "--at", "2026-01-01T12:00")
    assert "p L1: nobody (nobody is on call in first now (" in said.output


def test_gaps_are_findings(run):
    sound = run("", "gaps", "--from", "2026-01-07T12:00")
    assert sound.exit_code == 0
    assert sound.output.splitlines()[-1] == "0 problems within 90d, 1 things to know"  # clocks change in March
    ending = run(", ends: 2026-02-02", "gaps", "--from", "2026-01-07T12:00", "--next", "30d")
    assert ending.exit_code == 1
    assert ending.output.startswith(
        "uncovered: p L1: Mon 2026-02-02 09:00 to Fri 2026-02-06 13:00 (Europe/Berlin): nobody"
    )
    found = json.loads(run(", ends: 2026-02-02", "gaps", "--from", "2026-01-07T12:00", "-o", "json").output)
    assert found[0]["kind"] == "uncovered"


def test_rules_that_cannot_be_used_are_shown(run):
    said = run(", peple: [ada]", "gaps")
    assert said.exit_code == 1
    assert 'did you mean "people"?' in said.output
