"""`relay backtest`: how an alerting rule would have done over the past, and what another `for` would have changed."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import click

from relay.cli.backtest_report import as_plain, show
from relay.cli.history import History, Unanswered
from relay.cli.output import as_json, output_option
from relay.cli.parameters import Duration, MatcherOption, Moment
from relay.cli.recorded import incidents
from relay.cli.remote import SERVER, Remote, read_token
from relay.clock import WallClock
from relay.config.matchers import Matcher
from relay.config.promql import Comparison, UnknownFunction, comparison, read_query
from relay.reports.backtest import Grid
from relay.reports.tradeoffs import Asked

MOST_POINTS = 500_000


@click.command()
@click.argument("expr")
@click.option("--for", "wait", type=Duration(), default="0s", show_default=True, help="The rule's `for`.")
@click.option("--since", type=Duration(), default="30d", show_default=True, help="How far to look back.")
@click.option("--until", type=Moment(), help="Where to end, such as 2026-03-29T02:30 (UTC).  [default: now]")
@click.option("--step", type=Duration(), default="1m", show_default=True, help="The rule's evaluation interval.")
@click.option("--short", type=Duration(), default="5m", show_default=True, help="A firing that ends within is short.")
@click.option("--match", "matchers", type=MatcherOption(), multiple=True, help="Only incidents of these labels.")
@click.option("--prometheus", envvar="PROMETHEUS_URL", default="http://127.0.0.1:9090", show_default=True)
@click.option("--prometheus-token-file", type=click.Path(path_type=Path), help="File that holds its bearer token.")
@click.option("--url", envvar="RELAY_URL", help="Where Relay is, to compare with its incidents.")
@click.option("--token-file", type=click.Path(path_type=Path), envvar="RELAY_TOKEN_FILE", help="Or set RELAY_TOKEN.")
@output_option
def backtest(
    expr: str,
    wait: timedelta,
    since: timedelta,
    until: datetime | None,
    step: timedelta,
    short: timedelta,
    matchers: tuple[Matcher, ...],
    prometheus: str,
    prometheus_token_file: Path | None,
    url: str | None,
    token_file: Path | None,
    output: str,
) -> None:
    """Try an alerting rule on what Prometheus remembers: how often it would have fired, and for how long.

    EXPR is the rule's expression. Where it compares something with a number, other thresholds are tried too. With
    --url the firings are held against the incidents that Relay has recorded.
    """
    if matchers and not url:
        raise click.UsageError("--match chooses among Relay's incidents: give --url too")
    compared = _read(expr)
    grid = _grid(until or WallClock().now(), since, step)
    history = History(prometheus, read_token(prometheus_token_file) if prometheus_token_file else "")
    try:
        series = history.fetch(compared.operand if compared else expr, grid)
    except Unanswered as error:
        _fail(f"Prometheus: {error}")
    begun, earlier = incidents(Remote(url, token_file), grid, matchers) if url else ([], [])
    asked = Asked(grid, wait, short, compared, series, begun, earlier)
    if output == "json":
        return as_json(as_plain(expr, asked, history.warnings))
    show(expr, asked, history.warnings, bool(url))


def _read(expr: str) -> Comparison | None:
    """Take the expression apart. What is not known here is for Prometheus to refuse."""
    try:
        return comparison(read_query(expr))
    except UnknownFunction:
        return None
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _grid(until: datetime, since: timedelta, step: timedelta) -> Grid:
    """Lay the evaluations on whole steps, the last at or before `until`."""
    if step < timedelta(seconds=1) or since < step:
        raise click.UsageError("write a --step of at least 1s, and a --since that is longer")
    points = since // step + 1
    if points > MOST_POINTS:
        raise click.UsageError(f"{points:,} evaluations are too many: take a larger --step or a shorter --since")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    last = epoch + (until - epoch) // step * step
    return Grid(last - step * (points - 1), step, points)


def _fail(words: str) -> NoReturn:
    click.echo(words, err=True)
    sys.exit(SERVER)
