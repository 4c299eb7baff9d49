"""`relay who`, `relay gaps`, `relay report load`: on-call, now, to come, and in the past."""

import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from relay.cli.explain import read_moment, read_span
from relay.cli.output import as_json, output_option, say, say_table
from relay.cli.remote import Remote, remote_options
from relay.config.complaints import Rejected
from relay.engine.ruleset import load as load_rules
from relay.incident.decide import Rules
from relay.reports.duty import duties, level_duties
from relay.reports.gaps import PROBLEMS
from relay.reports.gaps import gaps as find_gaps

_AT = "When, such as 2026-03-29T02:30+02:00 or 2026-03-29T02:30 (UTC).  [default: now]"


@click.command()
@click.option("--at", help=_AT)
@click.option(
    "--rules", type=click.Path(path_type=Path), help="Decide by these rule files, without asking the service."
)
@remote_options
@output_option
def who(at: str | None, rules: Path | None, url: str, token_file: Path | None, output: str) -> None:
    """Say who is on call: in each rotation and schedule, and at each level of each policy.

    The running service is asked, which knows the schedules that PagerDuty and Opsgenie own, too.
    """
    found = _from_files(rules, read_moment(at)) if rules else _from_service(at, url, token_file)
    if output == "json":
        return as_json(found)
    rows = []
    for row in found["on_call"]:
        until = f"{_local(row['until'], row['zone'])} {row['zone']}" if row["until"] else ""
        rows.append((row["name"], row["person"] or "nobody", until, row["then"]))
    say_table(("on call", "who", "until", "then"), rows)
    for level in found["levels"]:
        rings = ", ".join(level["rings"]) or f"nobody ({'; '.join(level['nobody'])})"
        say(f"{level['policy']} {level['level']}: {rings}")
    click.echo("")
    for row in found["on_call"]:
        say(f"{row['person'] or row['name']}: {row['because']}" if row["person"] else row["because"])


def _from_files(path: Path, at: datetime) -> dict[str, Any]:
    rules = _load(path)
    return {
        "at": at.isoformat(),
        "on_call": [asdict(duty) for duty in duties(rules.roster, at)],
        "levels": [asdict(level) for level in level_duties(rules, at)],
    }


def _from_service(at: str | None, url: str, token_file: Path | None) -> dict[str, Any]:
    moment = read_moment(at).isoformat() if at else None
    found: dict[str, Any] = Remote(url, token_file).get("/api/v1/on-call", at=moment)
    return found


@click.command()
@click.option("--rules", type=click.Path(path_type=Path), default=Path("rules"), show_default=True)
@click.option("--next", "span", default="90d", show_default=True, help="How far to look ahead.")
@click.option("--from", "since", help="From when on, as --at of relay who.  [default: now]")
@output_option
def gaps(rules: Path, span: str, since: str | None, output: str) -> None:
    """Look for times to come in which nobody is on call, or the same person on two levels; and for strange clocks.

    Exit code 1 when a level of a policy has nobody, or nobody but those whom an earlier level rings.
    """
    begin = read_moment(since)
    found = find_gaps(_load(rules), begin, begin + max(read_span(span), timedelta(minutes=1)))
    problems = sum(finding.kind in PROBLEMS for finding in found)
    if output == "json":
        as_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            starts, ends = (_local(moment, finding.zone) for moment in (finding.starts, finding.ends))
            click.echo(f"{finding.kind}: {finding.where}: {starts} to {ends} ({finding.zone}): {finding.text}")
        click.echo(f"{problems} problems within {span}, {len(found) - problems} things to know")
    sys.exit(1 if problems else 0)


@click.group()
def report() -> None:
    """Sum up what has been."""


@report.command("load")
@click.option("--since", default="90d", show_default=True, help="How far back.")
@remote_options
@output_option
def load_(since: str, url: str, token_file: Path | None, output: str) -> None:
    """Sum up what on-call has cost each person: hours, nights, weekends, pages.

    Hours are those that the rules of now give for then: write changes of rotations as changes, and they stay true.
    """
    begin = read_moment(None) - read_span(since)
    found = Remote(url, token_file).get("/api/v1/reports/load", since=begin.isoformat())
    if output == "json":
        return as_json(found)
    rows = []
    for row in found["people"]:
        hours = (f"{row[key]:.0f}" for key in ("hours", "nights", "weekends"))
        rows.append((row["person"], *hours, *(str(row[key]) for key in ("pages", "at_night", "incidents"))))
    numbers = ("hours", "at night", "weekends", "pages", "pages at night", "incidents")
    say_table(("person", *numbers), rows, right=numbers)


def _load(path: Path) -> Rules:
    try:
        return load_rules(path, secrets=False).rules
    except Rejected as rejected:
        click.echo(str(rejected), err=True)
        sys.exit(1)


def _local(moment: datetime | str, zone: str) -> str:
    when = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{when.astimezone(ZoneInfo(zone)):%a %Y-%m-%d %H:%M}"
