"""`relay check`: every mistake of the rule files at once."""

import sys
from pathlib import Path

import click

from relay.cli.output import as_json, output_option
from relay.config.complaints import Complaint, Rejected
from relay.engine.ruleset import Ruleset, load
from relay.incident.routing import branches


@click.command()
@click.argument("rules", type=click.Path(path_type=Path), default=Path("rules"))
@click.option("--secrets", is_flag=True, help="A secret file that is missing is a mistake too, not a warning.")
@output_option
def check(rules: Path, secrets: bool, output: str) -> None:
    """Show every mistake of the rule files, with file, line, column and what to write. Exit 1 if there is one."""
    try:
        ruleset = load(rules, secrets=secrets)
    except Rejected as rejected:
        _show(rejected.complaints, output, "")
        sys.exit(1)
    _show(ruleset.warnings, output, _summary(ruleset))


def _show(complaints: tuple[Complaint, ...], output: str, summary: str) -> None:
    if output == "json":
        as_json([_plain(complaint) for complaint in complaints])
        return
    for complaint in complaints:
        click.echo(f"{complaint}\n")
    mistakes = sum(not complaint.warning for complaint in complaints)
    click.echo(summary or f"{mistakes} mistake{'s' if mistakes != 1 else ''}", err=bool(mistakes))


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
