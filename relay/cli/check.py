"""`relay check`: every mistake of the rule files, and of the Alertmanager that feeds Relay, at once."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from relay.cli.output import as_json
from relay.clock import WallClock
from relay.config.complaints import Complaint, Rejected, complain_at, unreadable
from relay.config.document import Unreadable, read
from relay.config.files import read_all
from relay.config.matchers import Matcher
from relay.config.settings import Settings, load_settings
from relay.config.upstream import lint as upstream
from relay.config.upstream.lint import WATCHDOG
from relay.engine.ruleset import RuleFile, Ruleset, load
from relay.engine.scenario import find_scenarios, read_scenarios
from relay.incident.lint import lint
from relay.incident.routing import branches
from relay.store.database import StoreUnusable
from relay.store.recording import Recording
from synthetic.checks import ProbeFile
from synthetic.checks import load as load_probes

MOST_RECORDED = 20_000
"""Alerts that matchers are held against."""


@click.command()
@click.argument("rules", type=click.Path(path_type=Path), required=False)
@click.option("--secrets", is_flag=True, help="A secret file that is missing is a mistake too, not a warning.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Look through this settings file too, and the rules that it names.",
)
@click.option(
    "--alertmanager",
    type=click.Path(path_type=Path),
    help="Look through this alertmanager.yml too; without RULES, only through it.",
)
@click.option("--data", help="Hold matchers against what the embedded database in this directory has recorded.")
@click.option("--database", help="Hold matchers against what this database has recorded.")
@click.option(
    "-o",
    "--output",
    "--format",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="How to answer; github marks the lines of a pull request.",
)
def check(
    rules: Path | None,
    secrets: bool,
    config: Path | None,
    alertmanager: Path | None,
    data: str | None,
    database: str | None,
    output: str,
) -> None:
    """Show every mistake of the rule files, with file, line, column and what to write. Exit 1 if there is one.

    RULES is a directory or a file; "rules" when left out.
    """
    settings, of_settings = _settings(config, secrets) if config else (None, ())
    rules = rules or (settings.rules if settings else None)
    ruleset: Ruleset | None = None
    complaints: tuple[Complaint, ...] = ()
    said: list[str] = []
    if rules and _hold_probes(rules):
        complaints, said = _probes(rules)
    elif rules or not (alertmanager or config):
        ruleset, complaints, said = _rules(rules or Path("rules"), secrets, data, database)
    if config:
        found = tuple(sorted((*of_settings, *_targets(config, settings, ruleset)), key=lambda one: one.place.line))
        complaints += found
        said += _in_order(found, f"{config} is in order")
    if alertmanager:
        found = _lint_upstream(alertmanager, ruleset.rules.watchdog if ruleset else WATCHDOG)
        complaints += found
        said += _in_order(found, f"{alertmanager} feeds Relay well")
    _show(complaints, output, said)
    sys.exit(1 if _mistakes(complaints) else 0)


def _in_order(found: Sequence[Complaint], words: str) -> list[str]:
    return [] if _mistakes(found) else [words + (", but for the warnings" if found else "")]


def _rules(
    path: Path, secrets: bool, data: str | None, database: str | None
) -> tuple[Ruleset | None, tuple[Complaint, ...], list[str]]:
    """What is wrong with the rules, and with the stories and probes beside them, or what to say of them."""
    complaints: tuple[Complaint, ...] = ()
    said: list[str] = []
    ruleset = None
    try:
        ruleset = load(path, secrets=secrets)
    except Rejected as rejected:
        complaints = rejected.complaints
    else:
        recorded = _recorded(data, database) if data or database else ()
        complaints = (*ruleset.warnings, *lint(ruleset.rules, WallClock().now(), recorded))
        wrong = _tests(path, ruleset)
        complaints, said = (*complaints, *wrong), [] if wrong else [_summary(ruleset)]
    if (path / "probes").is_dir():
        found, checked = _probes(path / "probes")
        complaints, said = (*complaints, *found), [] if found else [*said, *checked]
    return ruleset, complaints, said


def _settings(path: Path, secrets: bool) -> tuple[Settings | None, tuple[Complaint, ...]]:
    """The settings as the service would have them, and what it would say of them when it starts."""
    try:
        settings = load_settings(path, {})
    except Rejected as rejected:
        return None, rejected.complaints
    document = read(path)
    missing = [complain_at(document, way, str(error), "put it there") for way, error in settings.missing_secrets()]
    return settings, tuple(replace(complaint, warning=not secrets) for complaint in missing)


def _targets(path: Path, settings: Settings | None, ruleset: Ruleset | None) -> Iterator[Complaint]:
    """Warn of targets that pagers name, and that the rules do not know; Relay starts with them all the same."""
    if settings is None or ruleset is None:
        return
    types = {name: target.type for name, target in ruleset.targets.items()}
    for way, problem in settings.mistaken_targets(types):
        yield replace(complain_at(read(path), way, problem, "mend the name"), warning=True)


def _recorded(data: str | None, database: str | None) -> list[dict[str, str]]:
    try:
        recording = Recording(database or load_settings(None, {"data": data}).database_url())
    except StoreUnusable as error:
        raise click.UsageError(str(error)) from None
    found = recording.labels(MOST_RECORDED)
    recording.close()
    return found


def _tests(rules: Path, ruleset: Ruleset) -> tuple[Complaint, ...]:
    """What is wrong with the stories beside the rules; `relay test` tells them."""
    try:
        read_scenarios(find_scenarios(rules) if rules.is_dir() else [], ruleset)
    except Rejected as rejected:
        return rejected.complaints
    return ()


def _hold_probes(path: Path) -> bool:
    """Whether these are files of synthetic probes, and no rules."""
    try:
        documents, _ = read_all(path)
    except Rejected:
        return False
    keys = {key for document in documents for key in document.data}
    return bool(keys & ProbeFile.model_fields.keys()) and not keys & RuleFile.model_fields.keys()


def _probes(path: Path) -> tuple[tuple[Complaint, ...], list[str]]:
    """What is wrong with probe files, or what to say of them when nothing is."""
    try:
        checks = len(load_probes(path).checks)
    except Rejected as rejected:
        return rejected.complaints, []
    return (), [f"{checks} synthetic check{'s' if checks != 1 else ''} in order"]


def _lint_upstream(path: Path, watchdog: Sequence[Matcher]) -> tuple[Complaint, ...]:
    try:
        return upstream.lint(read(path), watchdog)
    except Unreadable as error:
        # it may hold a secret, and cannot be read to find out
        return tuple(replace(complaint, line="") for complaint in unreadable(error))


def _mistakes(complaints: Sequence[Complaint]) -> int:
    return sum(not complaint.warning for complaint in complaints)


def _show(complaints: tuple[Complaint, ...], output: str, said: list[str]) -> None:
    if output == "json":
        return as_json([_plain(complaint) for complaint in complaints])
    for complaint in complaints:
        click.echo(_workflow_command(complaint) if output == "github" else f"{complaint}\n")
    for words in said:
        click.echo(words)
    if mistakes := _mistakes(complaints):
        click.echo(f"{mistakes} mistake{'s' if mistakes != 1 else ''}", err=True)


def _workflow_command(complaint: Complaint) -> str:
    """Write a complaint as GitHub Actions reads it from a step's output, with what would end a value escaped."""
    place = complaint.place
    where = f",line={place.line},col={place.column},endColumn={place.column + place.width}" if place.line else ""
    level = "warning" if complaint.warning else "error"
    return (
        f"::{level} file={_property(place.file)}{where},title={_property(complaint.problem)}"
        f"::{_data(f'{complaint.problem}: {complaint.advice}')}"
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _plain(complaint: Complaint) -> dict[str, object]:
    return {
        "file": complaint.place.file,
        "line": complaint.place.line,
        "column": complaint.place.column,
        "level": "warning" if complaint.warning else "error",
        "problem": complaint.problem,
        "advice": complaint.advice,
    }


def _summary(ruleset: Ruleset) -> str:
    rules = ruleset.rules
    counts = {
        "route": len(list(branches(rules.root, rules.routes))),
        "policy": len(rules.policies),
        "rotation": len(rules.roster.rotations),
        "severity rule": len(rules.scale.rules),
        "window": len(rules.windows),
        "target": len(ruleset.targets),
    }
    said = ", ".join(f"{n} {_plural(name, n)}" for name, n in counts.items())
    return f"the rules are sound (revision {rules.revision}): {said}"


def _plural(name: str, count: int) -> str:
    if count == 1:
        return name
    return name[:-1] + "ies" if name.endswith("y") else name + "s"
