"""`relay test` and `relay simulate`: scenarios written beside the rules, lived through by the production engine."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click

from relay.cli.output import as_json, output_option
from relay.config.complaints import Rejected
from relay.engine.enact import Failure, Line, Outcome, enact
from relay.engine.ruleset import Ruleset, load
from relay.engine.scenario import Scenarios, find_scenarios, read_scenarios

Told = list[tuple[str, Outcome]]
"""Outcomes, each with the file of its scenario."""


@click.command()
@click.argument("rules", type=click.Path(path_type=Path), default=Path("rules"))
@click.option("--file", "files", type=click.Path(path_type=Path), multiple=True, help="Only the tests of this file.")
@click.option("--name", default="", help="Only tests whose name has this in it.")
@click.option("--junit", type=click.Path(path_type=Path), help="Write the results to this file, as JUnit XML for CI.")
@output_option
def test(rules: Path, files: tuple[Path, ...], name: str, junit: Path | None, output: str) -> None:
    """Test the rules: live through every scenario of the *_test.yaml files beside them.

    The production engine decides, on a virtual clock. Exit 1 if one fails, or if there is none.
    """
    told = _told(rules, list(files) or find_scenarios(rules), name)
    if junit:
        junit.write_bytes(_junit(told))
    failed = [outcome for _, outcome in told if outcome.failures]
    if output == "json":
        as_json([_plain(outcome) for _, outcome in told])
    else:
        _show(told)
    sys.exit(1 if failed or not told else 0)


@click.command()
@click.argument("story", type=click.Path(path_type=Path))
@click.option("--rules", type=click.Path(path_type=Path), default=Path("rules"), show_default=True)
@click.option("--name", default="", help="Only tests whose name has this in it.")
@output_option
def simulate(story: Path, rules: Path, name: str, output: str) -> None:
    """Live through the scenarios of a file, and print all that happens, with the reasons."""
    told = _told(rules, [story], name)
    if output == "json":
        return as_json([_plain(outcome) for _, outcome in told])
    for _, outcome in told:
        click.echo(f"{outcome.scenario.name} ({outcome.scenario.place}), in {outcome.scenario.zone}")
        for line in _lines(outcome.lines):
            click.echo(line)
        for failure in outcome.failures:
            click.echo(f"  {failure.place}: {failure.problem}")


def _told(rules: Path, files: list[Path], name: str) -> Told:
    try:
        ruleset = load(rules, secrets=False)
        found = read_scenarios(files, ruleset)
    except Rejected as rejected:
        click.echo(str(rejected), err=True)
        sys.exit(1)
    return list(_enacted(found, ruleset, name))


def _enacted(found: list[Scenarios], ruleset: Ruleset, name: str) -> Iterable[tuple[str, Outcome]]:
    for scenarios in found:
        for scenario in scenarios.tests:
            if name in scenario.name:
                yield scenarios.document.name, enact(scenario, ruleset)


def _show(told: Told) -> None:
    for _, outcome in told:
        for failure in outcome.failures:
            click.echo(_explain(outcome, failure) + "\n")
    failed = sum(bool(outcome.failures) for _, outcome in told)
    if not told:
        click.echo("there is no test: write one in a file whose name ends in _test.yaml, see docs/testing.md", err=True)
    elif failed:
        click.echo(f"{failed} of {len(told)} tests failed", err=True)
    else:
        click.echo(f"{len(told)} test{'s' if len(told) != 1 else ''} passed")


def _explain(outcome: Outcome, failure: Failure) -> str:
    happened = list(_lines(failure.since)) or ["  (nothing)"]
    head = f'{failure.place}: in "{outcome.scenario.name}"\n  {failure.problem}'
    return "\n".join((head, "  since the last expectation that held:", *(f"  {line}" for line in happened)))


def _lines(lines: Iterable[Line]) -> Iterable[str]:
    for line in lines:
        yield f"  {line.at:%Y-%m-%d %H:%M:%S}  {line.incident}  {line.text}"


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.scenario.name,
        "place": str(outcome.scenario.place),
        "passed": not outcome.failures,
        "failures": [{"place": str(f.place), "problem": f.problem} for f in outcome.failures],
        "timeline": [asdict(line) for line in outcome.lines],
    }


def _junit(told: Told) -> bytes:
    """Results as CI systems read them: a suite for each file, a case for each scenario."""
    root = ElementTree.Element("testsuites")
    for file in dict.fromkeys(file for file, _ in told):
        outcomes = [outcome for name, outcome in told if name == file]
        failed = sum(bool(outcome.failures) for outcome in outcomes)
        suite = ElementTree.SubElement(
            root, "testsuite", name=file, tests=str(len(outcomes)), failures=str(failed), errors="0"
        )
        for outcome in outcomes:
            _junit_case(suite, file, outcome)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _junit_case(suite: ElementTree.Element, file: str, outcome: Outcome) -> None:
    line = str(outcome.scenario.place.line)
    name = _printable(outcome.scenario.name)
    case = ElementTree.SubElement(suite, "testcase", classname=file, name=name, file=file, line=line)
    if outcome.failures:
        failure = ElementTree.SubElement(case, "failure", message=_printable(outcome.failures[0].problem))
        failure.text = _printable("\n\n".join(_explain(outcome, failure) for failure in outcome.failures))


def _printable(text: str) -> str:
    """XML has no way to write most control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
