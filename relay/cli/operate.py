"""Small commands for those who operate Relay: quarantine, outbox, verify, token, openapi."""

import hashlib
import json
import secrets
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from relay.cli.output import as_json, output_option, say
from relay.cli.remote import Remote, remote_options
from relay.http.app import ROUTES
from relay.http.openapi import describe


@click.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@remote_options
@output_option
def quarantine(limit: int, url: str, token_file: Path | None, output: str) -> None:
    """List alerts and webhooks that could not be used, and why."""
    found = Remote(url, token_file).get("/api/v1/quarantine", limit=limit)
    if output == "json":
        return as_json(found)
    for item in found["quarantine"]:
        what = f"alert {item['position']} of webhook" if item["position"] >= 0 else "webhook"
        say(f"{item['received_at'][:19]}  {item['source']}  {what} {item['inbox']}: {item['reason']}")
    if not found["quarantine"]:
        click.echo("nothing is in quarantine")


@click.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@click.option("--refused", is_flag=True, help="Those that were refused for good, the newest first.")
@remote_options
@output_option
def outbox(limit: int, refused: bool, url: str, token_file: Path | None, output: str) -> None:
    """List pages and other messages that are still to be sent, the most severe first."""
    if refused:
        return _refusals(Remote(url, token_file).get("/api/v1/refusals", limit=limit), output)
    found = Remote(url, token_file).get("/api/v1/outbox", limit=limit)
    if output == "json":
        return as_json(found)
    for errand in found["errands"]:
        tried = f"tried {errand['attempts']} times, " if errand["attempts"] else ""
        state = "is being sent" if errand["claimed"] else f"due {errand['due_at'][:19]}"
        asked = f"asked for {errand['created_at'][:19]}"
        what = f"{errand['incident']}  SEV-{errand['severity']}  {errand['kind']} to {errand['target']}"
        say(f"{what}: {tried}{state}, {asked}")
    if not found["errands"]:
        click.echo("nothing waits to be sent")


def _refusals(found: dict[str, Any], output: str) -> None:
    if output == "json":
        return as_json(found)
    for item in found["refusals"]:
        say(f"{item['recorded_at'][:19]}  {item['incident']}  {item['text']}")
    if not found["refusals"]:
        click.echo("nothing was refused")


@click.command()
@click.argument("incident", required=False)
@remote_options
@output_option
def verify(incident: str | None, url: str, token_file: Path | None, output: str) -> None:
    """Verify that no timeline was changed. Exit 1 if one was."""
    found = Remote(url, token_file).get("/api/v1/verify", incident=incident)
    if output == "json":
        as_json(found)
    else:
        for id_, problems in found["problems"].items():
            for problem in problems:
                say(f"{id_}: {problem}")
        sound = found["incidents"] - len(found["problems"])
        click.echo(f"{sound} of {found['incidents']} timelines are sound")
    sys.exit(1 if found["problems"] else 0)


@click.command()
@output_option
def token(output: str) -> None:
    """Make a token, and the digest to put into the settings file (`tokens: {NAME: {role: …, sha256: …}}`)."""
    made = secrets.token_urlsafe(32)
    digest = hashlib.sha256(made.encode()).hexdigest()
    if output == "json":
        return as_json({"token": made, "sha256": digest})
    click.echo(f"token   {made}\nsha256  {digest}")


@click.command()
def openapi() -> None:
    """Print the OpenAPI document of the API."""
    click.echo(json.dumps(json.loads(describe(ROUTES, version("relay"))), indent=2))
