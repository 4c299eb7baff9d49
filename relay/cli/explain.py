"""`relay explain`: what would be decided about an alert, or was decided about an incident, and why."""

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from relay.cli.output import as_json, output_option
from relay.cli.remote import Remote, remote_options
from relay.clock import WallClock
from relay.config.complaints import Rejected
from relay.config.types import YEARS, duration, spell
from relay.engine.ruleset import load
from relay.incident.alert import Alert
from relay.incident.decide import Rules
from relay.incident.events import AlertsFired, Delivered, Measured, is_quiet
from relay.incident.routing import Root, choose
from relay.incident.story import Story
from relay.incident.telling import tell
from relay.incident.triage import is_watchdog, place


@click.command()
@click.argument("what", nargs=-1, required=True)
@click.option("--rules", type=click.Path(path_type=Path), default=Path("rules"), show_default=True)
@click.option("--at", help="When, such as 2026-03-29T02:30+02:00 or 2026-03-29T02:30 (UTC).  [default: now]")
@click.option("--fact", "facts", multiple=True, help="What a fact shall be, such as error_ratio=0.3; else unknown.")
@click.option("--for", "span", default="1h", show_default=True, help="How long nobody answers.")
@remote_options
@output_option
def explain(
    what: tuple[str, ...],
    rules: Path,
    at: str | None,
    facts: tuple[str, ...],
    span: str,
    url: str,
    token_file: Path | None,
    output: str,
) -> None:
    """Explain an alert (labels, such as alertname=HighErrorRate service=checkout) or an incident (INC-12).

    For labels the rule files decide, here, without a server: route, group, severity, windows, and who is rung when, if
    nobody answers. For an incident the running service tells what it decided, and why.
    """
    if len(what) == 1 and re.fullmatch(r"(?i)inc-\d+", what[0]):
        return _incident(what[0].upper(), url, token_file, output)
    try:
        ruleset = load(rules, secrets=False)
    except Rejected as rejected:
        click.echo(str(rejected), err=True)
        sys.exit(1)
    labels = _pairs(what, "a label")
    known = {name: _number(value) for name, value in _pairs(facts, "a fact").items()}
    explained = _explain(ruleset.rules, labels, read_moment(at), known, read_span(span))
    if output == "json":
        return as_json(explained)
    for line in explained["because"]:
        click.echo(line)
    for step in explained["story"]:
        click.echo(f"{step['after']:>8}  {step['text']}")


def _explain(
    rules: Rules, labels: dict[str, str], now: datetime, facts: dict[str, float], span: timedelta
) -> dict[str, Any]:
    alert = rules.services.enrich(Alert("explain", "0", labels, {}, now))
    if is_watchdog(alert, rules):
        return {"because": ["it is a watchdog: it proves that alerting works, and is never an incident"], "story": []}
    story = Story(rules, now, pagers_work=True)
    where = place(alert, rules)
    story.happen(where.opened)
    story.happen(AlertsFired((alert,)))
    if facts:
        story.happen(Measured(facts, {}))
    story.wait(now + span)
    destination = choose(rules.root, rules.routes, alert.labels)
    path = [f"route     {_branch(branch)} ({branch.place})" for branch in destination.path]
    policy = rules.policies[destination.policy]
    unknown = [
        f"window    {window.name} ({window.place}) covers it, when its calendar says so: it is not known here"
        for window in rules.windows
        if window.calendar and not window.calendar.file and window.covers(alert.labels)
    ]
    decided = [*path, f"policy    {destination.policy} ({policy.place})", f"group     {where.group_key}"]
    return {
        "at": now.isoformat(),
        "because": [*decided, *unknown],
        "story": [
            {"after": f"+{spell(when - now)}", "event": type(event).__name__, "text": tell(event)}
            for when, event in story.happened
            if not (is_quiet(event) or isinstance(event, Delivered))
        ],
    }


def _branch(branch: Any) -> str:
    if isinstance(branch, Root):
        return "root"
    return str(branch.name or ", ".join(map(str, branch.matchers)))


def _incident(id_: str, url: str, token_file: Path | None, output: str) -> None:
    found = Remote(url, token_file).get(f"/api/v1/incidents/{id_}")
    if output == "json":
        return as_json(found["timeline"])
    click.echo(f"{id_}  {found['title']}")
    for entry in found["timeline"]:
        click.echo(f"{entry['recorded_at'][:19]}  {entry['text']}")


def _pairs(texts: tuple[str, ...], what: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f'"{text}" is not {what}: write name=value')
        pairs[name] = value.strip('"')
    return pairs


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f'"{text}" is not a number') from None


def read_moment(text: str | None) -> datetime:
    """Read a time, UTC where it says no offset; now for None."""
    if text is None:
        return WallClock().now()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f'"{text}" is not a time: write 2026-03-29T02:30+02:00') from None
    if moment.year not in YEARS:
        raise click.UsageError(f'"{text}" is too far away: write a year from {YEARS[0]} to {YEARS[-1]}')
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_span(text: str) -> timedelta:
    """Read a duration."""
    try:
        return duration(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
