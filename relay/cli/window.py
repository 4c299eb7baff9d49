"""`relay window …`: see maintenance windows, and add, extend and end them."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import click

from relay.cli.explain import read_moment, read_span
from relay.cli.output import as_json, output_option, say, say_table
from relay.cli.parameters import Zone
from relay.cli.remote import Remote, as_utf8, remote_options
from relay.config.matchers import parse_selector


@click.group()
def window() -> None:
    """See maintenance windows, and add, extend and end them."""


@window.command("list")
@remote_options
@output_option
def list_(url: str, token_file: Path | None, output: str) -> None:
    """List windows, those that are open first."""
    found = Remote(url, token_file).get("/api/v1/windows")
    if output == "json":
        return as_json(found)
    if not found["windows"]:
        return click.echo("no windows")
    say_table(("window", "open", "next", "owner", "from", "covers"), [_row(row) for row in found["windows"]])


@window.command()
@click.argument("name")
@click.option("--matcher", "-m", "matchers", multiple=True, required=True, help='What it covers: service="ledger".')
@click.option("--reason", required=True, help="Is told with every hold.")
@click.option("--owner", required=True, help="Whom to ask about it.")
@click.option(
    "--from", "starts", help="When it opens: 2026-10-24T23:00+02:00, or on the zone's clocks.  [default: now]"
)
@click.option("--for", "span", help="How long: 2h.")
@click.option("--until", help="Or when it ends: 2026-10-25T04:00+02:00, or on the zone's clocks.")
@click.option("--zone", type=Zone(), default="UTC", show_default=True, help="Whose clocks are meant: Europe/Berlin.")
@click.option("--never-suppress", multiple=True, help="This severity, and what is worse, pages all the same: SEV-1.")
@click.option("--max-suppressed", type=click.IntRange(min=1), help="An incident of more alerts pages.")
@click.option("--suppress", type=click.Choice(["pages", "notifications"]), help="What is kept from people.")
@click.option("--redirect", help="A target that is paged instead.")
@click.option("--grace", help="How much later it lets go of what began before its end: 10m.")
@click.option("--pause-escalations", is_flag=True, help="Send home those who are paged and have not answered.")
@click.option("--mirror", is_flag=True, help="Make Alertmanager silent, too.")
@click.option("--force", is_flag=True, help="Even if it covers nearly every alert.")
@remote_options
@output_option
def add(
    name: str,
    matchers: tuple[str, ...],
    starts: str | None,
    span: str | None,
    until: str | None,
    zone: ZoneInfo,
    url: str,
    token_file: Path | None,
    output: str,
    **keys: Any,
) -> None:
    """Add a window that is open once. Over the API, all keys of the section `windows:` can be written."""
    if (until is None) == (span is None):
        raise click.UsageError("say either --for or --until")
    begin = read_moment(starts, zone)
    ends = read_moment(until, zone, end=True) if until else begin + read_span(span or "")
    _refuse_what_is_no_matcher(matchers)
    body = {key: value for key, value in keys.items() if value is not None}
    times = {"zone": str(zone), "starts": begin.isoformat(), "ends": ends.isoformat()}
    body |= {"name": name, "matchers": matchers, **times}
    _say(Remote(url, token_file).post("/api/v1/windows", body), output)


@window.command()
@click.argument("name")
@click.option("--until", help="Until when: 2026-10-25T04:00+02:00, or UTC.")
@click.option("--by", "span", help="How much longer: 1h.")
@remote_options
@output_option
def extend(name: str, until: str | None, span: str | None, url: str, token_file: Path | None, output: str) -> None:
    """Let an open window end later; that of a rule file, too."""
    if (until is None) == (span is None):
        raise click.UsageError("say either --until or --by")
    remote, asked = Remote(url, token_file), read_moment(until) if until else None
    planned = _end_of(remote, name)
    if asked and asked <= planned:
        raise click.UsageError(
            f'window "{name}" is open until {_time(planned.isoformat())} already, and this is not later: '
            "relay window end ends it now"
        )
    ends = asked or planned + read_span(span or "")
    _say(remote.post(_end_path(name), {"ends": ends.isoformat()}), output)


@window.command()
@click.argument("name")
@remote_options
@output_option
def end(name: str, url: str, token_file: Path | None, output: str) -> None:
    """End an open window now: what still fires is paged. One that is not open, and in no file, is removed."""
    _say(Remote(url, token_file).post(_end_path(name), {}), output)


@window.command()
@remote_options
@output_option
def log(url: str, token_file: Path | None, output: str) -> None:
    """Show who has added, amended and removed windows, the newest first."""
    found = Remote(url, token_file).get("/api/v1/window-acts")
    if output == "json":
        return as_json(found)
    for act in found["acts"]:
        ends = f" to end at {act['body']['ends']}" if "ends" in act["body"] and act["kind"] == "amended" else ""
        say(f"{act['at'][:19]}  {act['by']}  {act['kind']} {act['name']}{ends}")


def _refuse_what_is_no_matcher(texts: tuple[str, ...]) -> None:
    for text in texts:
        if as_utf8(text) != text:
            raise click.UsageError(f'"{as_utf8(text)}" is not UTF-8 text: it would cover nothing')
        with suppress(ValueError):  # what is no matcher at all, the service says
            if len(parse_selector(text if text.startswith("{") else f"{{{text}}}")) > 1:
                raise click.UsageError(f"'{text}' is more than one matcher: write -m once for each")


def _end_of(remote: Remote, name: str) -> datetime:
    for row in remote.get("/api/v1/windows")["windows"]:
        if row["name"] == name and row["ends"]:
            return datetime.fromisoformat(row["ends"])
    raise click.UsageError(f'window "{name}" is not open now: relay window list shows those that are')


def _end_path(name: str) -> str:
    return f"/api/v1/windows/{quote(as_utf8(name), safe='')}/end"


def _row(row: Any) -> tuple[str, ...]:
    covers = " or ".join(", ".join(one) for one in row["matchers"])
    shadow = " (shadow)" if row["mode"] == "shadow" else ""
    return (
        row["name"] + shadow,
        f"until {_time(row['open_until'])}" if row["open_until"] else "-",
        _time(row["next"]["starts"]) if row["next"] else "over" if row["over"] else "-",
        row["owner"],
        row["place"],
        covers,
    )


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _say(said: Any, output: str) -> None:
    if output == "json":
        as_json(said)
    else:
        say(said["said"])
