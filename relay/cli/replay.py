"""`relay replay`: what was recorded, through other rules: who would be paged now, and who not any more."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from relay.cli.history import History, Unanswered
from relay.cli.output import as_json, output_option
from relay.cli.parameters import Duration
from relay.cli.remote import SERVER, read_token
from relay.clock import WallClock
from relay.config.complaints import Rejected
from relay.config.settings import load_settings
from relay.config.types import spell
from relay.engine.replay import Measuring, replay
from relay.engine.ruleset import load
from relay.incident.decide import Rules
from relay.incident.effects import Measure
from relay.incident.events import Measured
from relay.incident.severity import spell_level
from relay.integrations.prometheus import read_answer
from relay.reports.comparison import Change, Comparison, Story, as_recorded, compare, pages_by_target
from relay.store.inbox import Received
from relay.store.recording import Recording

MOST_SHOWN = 20
"""Differences of one kind that are listed; `-o json` has them all."""


@click.command("replay")
@click.option("--rules", type=click.Path(path_type=Path), required=True, help="Rules to try.")
@click.option(
    "--against", type=click.Path(path_type=Path), default=Path("rules"), show_default=True, help="The others."
)
@click.option("--since", type=Duration(), default="30d", show_default=True, help="How far to look back.")
@click.option("--config", type=click.Path(path_type=Path), envvar="RELAY_CONFIG", help="Settings file (relay.yaml).")
@click.option("--data", help="Directory of the embedded database, or of a copy.  [default: data]")
@click.option("--database", help="URL of the database.")
@click.option("--prometheus", help="Where to look facts up as they were then. Without, facts are unknown.")
@click.option("--prometheus-token-file", type=click.Path(path_type=Path), help="File that holds its bearer token.")
@output_option
def replay_command(
    rules: Path,
    against: Path,
    since: timedelta,
    config: Path | None,
    data: str | None,
    database: str | None,
    prometheus: str | None,
    prometheus_token_file: Path | None,
    output: str,
) -> None:
    """Run the recorded webhooks through two sets of rules, and compare who is paged.

    The production engine decides, on a virtual clock; people do again what they did. Exit 1 if an incident of SEV-1 or
    SEV-2, by what was recorded then, that paged somebody with the old rules would page nobody with the new.
    """
    old, new = _load(against), _load(rules)
    until = WallClock().now()
    url = database or load_settings(config, {"data": data}).database_url()
    token = read_token(prometheus_token_file) if prometheus_token_file else ""
    measuring = _Prometheus(History(prometheus, token)) if prometheus else None
    recording = Recording(url)
    before, after = (_run(recording, one, until - since, until, measuring) for one in (old, new))
    before = as_recorded(before, recording.severities(until - since, until))
    recording.close()
    _warn_of_what_is_missing(before, after, measuring, since)
    found = compare(before, after)
    if output == "json":
        as_json(_plain(before, after, found))
    else:
        _show(before, after, found)
    sys.exit(1 if found.severe_misses else 0)


def _warn_of_what_is_missing(
    before: list[Story], after: list[Story], measuring: "_Prometheus | None", since: timedelta
) -> None:
    """End with 3 where nothing was compared: a pipeline must not pass for want of a record."""
    if not before and not after:
        click.echo(f"nothing was recorded in the last {spell(since)}: is it the right database?", err=True)
        sys.exit(SERVER)
    if measuring and measuring.failed:
        unknown = f"{measuring.failed} of {measuring.asked} facts could not be looked up"
        click.echo(f"warning: {unknown}: Prometheus {measuring.why}", err=True)
        if measuring.failed == measuring.asked:
            sys.exit(SERVER)


def _load(path: Path) -> Rules:
    try:
        return load(path, secrets=False).rules
    except Rejected as rejected:
        click.echo(str(rejected), err=True)
        sys.exit(2)


def _run(
    recording: Recording, rules: Rules, since: datetime, until: datetime, measuring: Measuring | None
) -> list[Story]:
    with _progress(since, until) as told:
        deeds = recording.deeds(since, until)
        return replay(recording.webhooks(since, until), deeds, rules, since, measuring, told)


@contextmanager
def _progress(since: datetime, until: datetime) -> Iterator[Callable[[Received], None]]:
    """Show how far the replay has come, where somebody watches."""
    seconds = int((until - since).total_seconds())
    with click.progressbar(length=seconds, label="replaying", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield lambda received: bar.update(int((received.received_at - since).total_seconds()) - bar.pos)


class _Prometheus:
    """Facts as they were: asked once for each query and minute."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[tuple[str, int], float | str] = {}
        self.failed = 0
        self.why = ""
        """Why it failed the last time."""

    @property
    def asked(self) -> int:
        """How many questions there were."""
        return len(self._known)

    def __call__(self, effect: Measure, now: datetime) -> Measured:
        found = {name: self._look_up(query, now) for name, query in effect.queries.items()}
        values = {name: value for name, value in found.items() if isinstance(value, float)}
        unknown = {name: reason for name, reason in found.items() if isinstance(reason, str)}
        return Measured(values, {**unknown, **effect.unanswerable})

    def _look_up(self, query: str, now: datetime) -> float | str:
        minute = int(now.timestamp()) // 60 * 60
        if (query, minute) not in self._known:
            self._known[query, minute] = self._ask(query, minute)
        return self._known[query, minute]

    def _ask(self, query: str, at: int) -> float | str:
        try:
            return read_answer(self._history.at(query, at))
        except Unanswered as refused:
            self.failed += 1
            self.why = str(refused)
            return f"Prometheus: {refused}"


def _show(old: list[Story], new: list[Story], found: Comparison) -> None:
    click.echo(f"{'':24}{'old':>8}{'new':>8}")
    before, after = pages_by_target(old), pages_by_target(new)
    _row("incidents", len(old), len(new))
    _row("  that paged somebody", *(sum(bool(story.paged) for story in run) for run in (old, new)))
    _row("pages", before.total(), after.total())
    for target in sorted(before | after):
        _row(f"  {target}", before[target], after[target])
    _list("nobody is paged any more", found.missed)
    _list("paged now, and not before", found.paged)
    _list("paged later", found.later)
    _list("somebody else is paged first", found.others)
    _list("another severity", found.severity)
    _list("another policy", found.policy)
    if severe := len(found.severe_misses):
        click.echo(f"\n{severe} of SEV-1 or SEV-2 would page nobody", err=True)


def _row(name: str, old: int, new: int) -> None:
    click.echo(f"{name:24}{old:>8}{new:>8}")


def _list(title: str, changes: list[Change]) -> None:
    if not changes:
        return
    click.echo(f"\n{title}: {len(changes)}")
    for change in changes[:MOST_SHOWN]:
        story = change.old or change.new[0]
        when = story.opened_at.astimezone(UTC)
        click.echo(f"  {when:%Y-%m-%d %H:%M}  {spell_level(story.worst)}  {story.what}: {change.what}")
    if len(changes) > MOST_SHOWN:
        click.echo(f"  and {len(changes) - MOST_SHOWN} more")


def _plain(old: list[Story], new: list[Story], found: Comparison) -> dict[str, Any]:
    kinds = ("missed", "paged", "later", "others", "severity", "policy")
    return {
        "old": {"incidents": len(old), "pages": pages_by_target(old)},
        "new": {"incidents": len(new), "pages": pages_by_target(new)},
        "severe_misses": len(found.severe_misses),
        **{kind: [_plain_change(change) for change in getattr(found, kind)] for kind in kinds},
    }


def _plain_change(change: Change) -> dict[str, Any]:
    story = change.old or change.new[0]
    return {
        "what": story.what,
        "opened_at": story.opened_at.isoformat(),
        "severity": spell_level(story.worst),
        "difference": change.what,
        "alerts": [f"{source}/{fingerprint}" for (source, fingerprint), _ in sorted(story.firings, key=str)],
    }
