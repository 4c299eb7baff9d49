"""The rules that newcomers copy: sound, tested, and described for editors."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from relay.cli import main
from relay.cli.schema import KINDS, describe
from relay.config.document import read
from relay.engine.ruleset import RuleFile, load
from relay.engine.scenario import Expect, Step

RULES = Path(__file__).parents[1] / "rules"
FILES = sorted((RULES / "relay").glob("*.yaml"))


def test_they_are_sound_and_nothing_is_warned_of_but_secrets():
    said = CliRunner().invoke(main, ["check", str(RULES), "-o", "json"])
    assert said.exit_code == 0
    problems = [found["problem"] for found in json.loads(said.output.partition("\nthe rules")[0])]
    assert [problem for problem in problems if "secret file" not in problem] == []


def test_every_story_is_told():
    said = CliRunner().invoke(main, ["test", str(RULES)])
    assert (said.exit_code, said.output) == (0, "34 tests passed\n")


def test_every_section_is_shown():
    used = {section for file in FILES for section in read(file).data}
    assert RuleFile.model_fields.keys() - {"routes"} <= used


def test_nothing_is_written_that_no_story_tells():
    windows = {window.name for window in load(RULES, secrets=False).rules.windows}
    told = "".join(file.read_text() for file in FILES if file.name.endswith("_test.yaml"))
    assert {name for name in windows if name.partition(" ")[0] not in told} == set()


@pytest.mark.parametrize("model", [Step, Expect])
def test_every_key_of_a_story_is_shown(model):
    written = "".join(file.read_text() for file in FILES if file.name.endswith("_test.yaml"))
    keys = set(model.model_fields) - {"place"}
    assert {key for key in keys if f"{key}: " not in written} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_schemas_for_editors_are_up_to_date(kind):
    written = json.loads((RULES / f"{kind}.schema.json").read_text())
    assert written == json.loads(json.dumps(describe(kind))), f"relay schema {kind} > rules/{kind}.schema.json"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_file_meets_the_schema_that_its_first_line_names(file):
    first = file.read_text().splitlines()[0]
    schema = json.loads((file.parent / first.partition("$schema=")[2]).read_text())
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(read(file).data)] == []


def test_a_schema_finds_what_relay_check_finds():
    validator = Draft202012Validator(describe("rules"))
    assert not list(validator.iter_errors({"watchdog": {"matchers": ["a=b"]}}))
    for wrong in ({"watchdog": {"matcher": ["a=b"]}}, {"windos": []}, {"severity": {"default": "SEV-9"}}):
        assert list(validator.iter_errors(wrong))
