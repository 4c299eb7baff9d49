"""`relay explain`: what would be decided about an alert, or was decided about an incident, and why."""

import math
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from relay.cli.output import as_json, output_option, say
from relay.cli.parameters import incident_id, moment
from relay.cli.remote import Remote, remote_options
from relay.clock import WallClock
from relay.config.complaints import Rejected, suggest
from relay.config.matchers import parse_selector
from relay.config.types import duration, spell
from relay.engine.ruleset import load
from relay.incident.alert import Alert
from relay.incident.decide import Rules
from relay.incident.events import AlertsFired, Delivered, Measured, is_quiet
from relay.incident.routing import Root, choose
from relay.incident.story import Story
from relay.incident.telling import tell
from relay.incident.triage import is_watchdog, place

Value = TypeVar("Value")

LONGEST = timedelta(days=7)
"""How far an alert is followed: what it takes grows with the square."""


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
    nobody answers. For an incident the running service tells what it decided, and why, and what comes next.
    """
    if len(what) == 1 and (id_ := incident_id(what[0])):
        _refuse_what_is_for_labels()
        return _incident(id_, span, url, token_file, output)
    try:
        ruleset = load(rules, secrets=False)
    except Rejected as rejected:
        click.echo(str(rejected), err=True)
        sys.exit(1)
    labels = _labels(what)
    known = _facts(facts, ruleset.rules)
    explained = _explain(ruleset.rules, labels, read_moment(at), known, _ahead(span))
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


def _incident(id_: str, span: str, url: str, token_file: Path | None, output: str) -> None:
    remote = Remote(url, token_file)
    found = remote.get(f"/api/v1/incidents/{id_}")
    outlook = remote.get(f"/api/v1/incidents/{id_}/outlook", **{"for": spell(read_span(span))})
    if output == "json":
        return as_json({"timeline": found["timeline"], "outlook": outlook["steps"]})
    say(f"{id_}  {found['title']}")
    for entry in found["timeline"]:
        say(f"{entry['recorded_at'][:19]}  {entry['text']}")
    click.echo(f"if nothing else happens within {span}:")
    for step in outlook["steps"]:
        say(f"{step['at'][:19]}  {step['text']}")
    if not outlook["steps"]:
        click.echo("nothing is due")


def _refuse_what_is_for_labels() -> None:
    context = click.get_current_context()
    for name, option in (("rules", "--rules"), ("at", "--at"), ("facts", "--fact")):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} is for labels: about an incident the running service decides, and now")


def _labels(texts: tuple[str, ...]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        if text.strip().startswith("{"):
            for matcher in _read(parse_selector, text):
                if matcher.op != "=":
                    raise click.UsageError(f"{matcher} fits many alerts: write the one value that a label has")
                labels[matcher.name] = matcher.value
            continue
        for name, value in _pairs((text,), "a label").items():
            if value.startswith("~") or name.endswith("!"):
                raise click.UsageError(f'"{text}" fits many alerts: write the one value that a label has')
            if re.search(r"""[\s{}!=~,\\"'`]""", name):
                raise click.UsageError(f'"{name}" is no name of a label: write name=value')
            labels[name] = value
    if empty := next((name for name, value in labels.items() if not value), None):
        raise click.UsageError(f'"{empty}" has no value: a label that is empty is none, leave it out')
    return labels


def _pairs(texts: tuple[str, ...], what: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f'"{text}" is not {what}: write name=value')
        pairs[name] = value.strip('"')
    return pairs


def _facts(texts: tuple[str, ...], rules: Rules) -> dict[str, float]:
    facts = {name: _number(value) for name, value in _pairs(texts, "a fact").items()}
    if wrong := next((name for name in facts if name not in rules.scale.facts), None):
        raise click.UsageError(f'there is no fact "{wrong}": {suggest(wrong, rules.scale.facts)}')
    return facts


def _ahead(text: str) -> timedelta:
    span = read_span(text)
    if span > LONGEST:
        raise click.UsageError(f"--for can be at most {spell(LONGEST)}")
    return span


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise click.UsageError(f'"{text}" is not a number') from None
    if not math.isfinite(number):
        raise click.UsageError(f'"{text}" is taken as unknown, as Relay takes it from Prometheus: leave the fact out')
    return number


def _read(parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def read_moment(text: str | None, zone: tzinfo = UTC, *, end: bool = False) -> datetime:
    """Read a time, on the clocks of a zone where it says no offset; now for None."""
    return WallClock().now() if text is None else _read(lambda text: moment(text, zone, end=end), text)


def read_span(text: str) -> timedelta:
    """Read a duration."""
    return _read(duration, text)
