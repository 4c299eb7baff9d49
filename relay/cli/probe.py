"""`relay probe …`: run checks of rules/probes once, here or by a worker elsewhere, and see what they find."""

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import click

from relay.cli.output import as_json, output_option
from relay.cli.remote import SERVER, read_token
from relay.clock import WallClock
from relay.config.complaints import Rejected
from relay.config.logs import configure
from relay.config.types import spell_exactly
from synthetic.checks import Check, Checks, load
from synthetic.execute import execute
from synthetic.peers import PeerFailed, ask_peer
from synthetic.server import describe

_RULES = click.option("--rules", type=click.Path(path_type=Path), default=Path("rules/probes"), show_default=True)


@click.group()
def probe() -> None:
    """Run synthetic checks once, and see what they find."""
    configure("text")


@probe.command("list")
@_RULES
@output_option
def list_(rules: Path, output: str) -> None:
    """List the checks that the files name."""
    checks = _load(rules)
    if output == "json":
        return as_json([_row(check) for check in checks.checks.values()])
    for check in checks.checks.values():
        row = _row(check)
        tags = f"  [{', '.join(row['tags'])}]" if row["tags"] else ""
        where = f"from {', '.join(row['locations'])}" if row["locations"] else "from everywhere"
        click.echo(f"{row['name']}  {row['kind']} {row['target']}  every {row['interval']} {where}{tags}")


@probe.command()
@click.argument("name")
@click.option("--from", "location", help="Let the worker of this location run it, by the address in `peers`.")
@click.option("--token-file", type=click.Path(path_type=Path), envvar="RELAY_TOKEN_FILE", help="That worker's token.")
@click.option("--screenshot", type=click.Path(path_type=Path), help="Keep what a browser that fails sees, as JPEG.")
@_RULES
@output_option
def run(
    name: str, location: str | None, token_file: Path | None, screenshot: Path | None, rules: Path, output: str
) -> None:
    """Run a check once, and print its phases, what it found, and why. Exit code 1 when it fails."""
    checks = _load(rules)
    check = checks.checks.get(name)
    if check is None:
        raise click.UsageError(f'there is no check "{name}": see relay probe list')
    found = _elsewhere(checks, name, location, token_file) if location else _here(check)
    seen = found.pop("screenshot", "")
    if screenshot and seen:
        screenshot.write_bytes(base64.b64decode(seen))
    if output == "json":
        as_json(found)
    else:
        _tell(found)
    sys.exit(0 if found["success"] else 1)


def _here(check: Check) -> dict[str, Any]:
    return describe(check, asyncio.run(execute(check, check.target, WallClock())), "here")


def _elsewhere(checks: Checks, name: str, location: str, token_file: Path | None) -> dict[str, Any]:
    if location not in checks.peers:
        known = ", ".join(sorted(checks.peers)) or "none"
        raise click.UsageError(f'"peers" names no worker of "{location}"; it names: {known}')
    try:
        return asyncio.run(ask_peer(checks.peers[location], read_token(token_file), [name]))[0]
    except PeerFailed as failed:
        click.echo(f"the worker of {location} at {checks.peers[location]}: {failed}", err=True)
        sys.exit(SERVER)


def _tell(found: dict[str, Any]) -> None:
    verdict = "succeeded" if found["success"] else f"failed: {found['reason']}: {found['text']}"
    click.echo(f"{found['check']} {found['target']} from {found['location']}: {verdict}")
    click.echo(f"  took {found['seconds'] * 1000:.1f} ms")
    for line in found["log"]:
        click.echo(f"  {line}")
    for series, value in sorted(found["samples"].items()):
        click.echo(f"    {series} {value:g}")


def _row(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "kind": check.kind,
        "target": check.target,
        "service": check.service,
        "layer": check.layer,
        "role": check.role,
        "interval": spell_exactly(check.interval),
        "locations": list(check.locations),
        "tags": list(check.tags),
        "depends_on": list(check.depends_on),
    }


def _load(path: Path) -> Checks:
    try:
        return load(path)
    except Rejected as rejected:
        click.echo(str(rejected), err=True)
        sys.exit(1)
