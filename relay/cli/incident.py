"""`relay incident …`: see incidents, and act on them."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from relay.cli.output import as_json, output_option, say, say_table
from relay.cli.parameters import incident_id
from relay.cli.remote import Remote, remote_options


@click.group()
def incident() -> None:
    """See incidents, and act on them."""


@incident.command("list")
@click.option("--phase", default="open", show_default=True, help="open, all, or phases separated by commas.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@remote_options
@output_option
def list_(phase: str, limit: int, url: str, token_file: Path | None, output: str) -> None:
    """List incidents, the newest first."""
    found = Remote(url, token_file).get("/api/v1/incidents", phase=phase, limit=limit)
    if output == "json":
        return as_json(found)
    if not found["incidents"]:
        return click.echo("no incidents" if phase == "all" else f"no incidents that are {phase}")
    rows = [
        (row["id"], row["severity"], row["phase"], _time(row["started_at"]), row["title"]) for row in found["incidents"]
    ]
    say_table(("id", "severity", "phase", "since", "what"), rows)


@incident.command()
@click.argument("id")
@remote_options
@output_option
def show(id: str, url: str, token_file: Path | None, output: str) -> None:
    """Show an incident and its timeline."""
    found = Remote(url, token_file).get(f"/api/v1/incidents/{_id(id)}")
    if output == "json":
        return as_json(found)
    say(f"{found['id']}  {found['title']}")
    say(f"  phase     {found['phase']}" + (f" by {found['acknowledged_by']}" if found["acknowledged_by"] else ""))
    if found["condition_since"]:
        say(f"  began     {_time(found['condition_since'])}, says Prometheus; fired {_time(found['started_at'])}")
    say(f"  severity  {found['severity']}: {found['because']}")
    for name, reason in found["unknown"].items():
        say(f"  unknown   {name}: {reason}")
    say(f"  policy    {found['policy']}")
    for page in found["pages"]:
        who = f"{page['person']} through {page['target']}" if page["person"] else page["target"]
        waits = f": not accepted yet ({page['tries']} tries)" if page["tries"] is not None else ""
        say(f"  paged     {who} ({page['level']}){waits}")
    for name, at in sorted(found["deadlines"].items(), key=lambda pair: str(pair[1])):
        say(f"  due       {_time(at)}  {name}")
    say(f"  alerts    {found['firing']} firing, {found['seen']} in all")
    for alert in found["alerts"][:10]:
        say(f"            {', '.join(f'{k}={v}' for k, v in sorted(alert['labels'].items()))}")
    say("  timeline")
    for entry in found["timeline"]:
        say(f"    {_time(entry['occurred_at'])}  {entry['text']}")


@incident.command()
@click.argument("id")
@click.option("--note", default="", help="A note to go with it.")
@remote_options
@output_option
def ack(id: str, note: str, url: str, token_file: Path | None, output: str) -> None:
    """Say that you are on it: nobody else is paged."""
    _say(Remote(url, token_file).post(f"/api/v1/incidents/{_id(id)}/ack", {"note": note}), output)


@incident.command()
@click.argument("id")
@click.option("--because", default="resolved by hand", show_default=True, help="What ended it.")
@remote_options
@output_option
def resolve(id: str, because: str, url: str, token_file: Path | None, output: str) -> None:
    """Say that it is over. If its alerts still fire after a while, it is opened again."""
    _say(Remote(url, token_file).post(f"/api/v1/incidents/{_id(id)}/resolve", {"because": because}), output)


@incident.command()
@click.argument("id")
@click.argument("text")
@remote_options
@output_option
def note(id: str, text: str, url: str, token_file: Path | None, output: str) -> None:
    """Write something into its timeline."""
    _say(Remote(url, token_file).post(f"/api/v1/incidents/{_id(id)}/note", {"text": text}), output)


@incident.command()
@click.argument("id")
@click.option("--reason", default="", help="Why more people are needed.")
@remote_options
@output_option
def escalate(id: str, reason: str, url: str, token_file: Path | None, output: str) -> None:
    """Page the next level now."""
    _say(Remote(url, token_file).post(f"/api/v1/incidents/{_id(id)}/escalate", {"reason": reason}), output)


@incident.command()
@click.argument("id")
@click.argument("level")
@click.option("--reason", required=True, help="Why it is this severe.")
@remote_options
@output_option
def severity(id: str, level: str, reason: str, url: str, token_file: Path | None, output: str) -> None:
    """Say how severe it is, such as SEV-2: nothing that is computed afterwards changes it."""
    body = {"severity": level, "reason": reason}
    _say(Remote(url, token_file).post(f"/api/v1/incidents/{_id(id)}/severity", body), output)


def _say(said: Any, output: str) -> None:
    if output == "json":
        as_json(said)
    else:
        say(said["said"])


def _id(text: str) -> str:
    if found := incident_id(text):
        return found
    raise click.UsageError(f'"{text}" is not an incident: write INC-12 or 12')


def _time(text: str | None) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if text else "-"
