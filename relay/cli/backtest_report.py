"""What a backtest found: for people, with a curve and tables, and for machines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from relay.cli.plot import columns_of, draw
from relay.config.types import spell
from relay.reports.backtest import Grid, Outcome, Recorded, envelope, present
from relay.reports.tradeoffs import Asked, better_threshold, better_wait, by_threshold, by_wait, each, whole

MOST_SERIES = 10
MOST_MISSED = 10


def show(expr: str, asked: Asked, warnings: Sequence[str], compare: bool) -> None:
    """Print it for people; `compare` says whether Relay was asked for incidents."""
    console = Console(highlight=False)
    for line in (*_what(expr, asked), *(f"Prometheus warns: {warning}" for warning in warnings)):
        console.print(escape(line))
    if not asked.series:
        none = "Prometheus has no sample of it in all that time." if asked.comparison else "It was never true."
        return console.print(f"\n{none}")
    console.print()
    click.echo(_curve(asked, console.width, colour=console.is_terminal and not console.no_color), color=True)
    told = whole(asked)
    console.print()
    for line in _summary(asked, told, compare):
        console.print(escape(line), no_wrap=True, overflow="ellipsis")
    if told.firings and len(asked.series) > 1:
        console.print(_of_series(asked))
    console.print(_tradeoff("for", _marked(by_wait(asked), asked.wait, spell), compare))
    if asked.comparison and (rows := by_threshold(asked)):
        console.print(_tradeoff("threshold", _marked(rows, asked.comparison.number, _number), compare))
    for line in _suggestions(asked, compare):
        console.print(escape(line))


def as_plain(expr: str, asked: Asked, warnings: Sequence[str]) -> dict[str, Any]:
    """Give it as plain values; times in seconds."""
    grid = asked.grid
    met = whole(asked)
    return {
        "expr": expr,
        "for": asked.wait.total_seconds(),
        "step": grid.step.total_seconds(),
        "start": grid.start.isoformat(),
        "end": grid.at(grid.points - 1).isoformat(),
        "threshold": asked.comparison.number if asked.comparison else None,
        "warnings": list(warnings),
        "whole": _plain(met),
        "incidents": [
            {"id": one.id, "title": one.title, "started": one.started.isoformat(), "caught": one.id in met.delays}
            for one in asked.incidents
        ],
        "series": [{"labels": dict(labels), **_plain(outcome)} for labels, outcome in each(asked)],
        "by_for": [{"for": wait.total_seconds(), **_plain(outcome)} for wait, outcome in by_wait(asked)],
        "better_for": better[0].total_seconds() if (better := better_wait(asked)) else None,
        "better_threshold": nearest[0] if (nearest := better_threshold(asked)) else None,
        "by_threshold": [{"threshold": number, **_plain(outcome)} for number, outcome in by_threshold(asked)],
    }


def _plain(outcome: Outcome) -> dict[str, Any]:
    plain = asdict(outcome) | {"delays": {id_: delay.total_seconds() for id_, delay in outcome.delays.items()}}
    return {key: value.total_seconds() if isinstance(value, timedelta) else value for key, value in plain.items()}


def _what(expr: str, asked: Asked) -> list[str]:
    grid, last = asked.grid, asked.grid.at(asked.grid.points - 1)
    seen = sum(map(bool, present([one.samples for one in asked.series])))
    beside = "" if asked.comparison or not asked.series else ", each true at some time"
    lines = [
        f"{expr}   for {spell(asked.wait)}",
        f"{grid.start:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC, evaluated every {spell(grid.step)}; "
        f"{len(asked.series)} series{beside}",
    ]
    if asked.comparison and asked.series and seen < grid.points:
        lines.append(f"{grid.points - seen:,} of {grid.points:,} evaluations have no sample: nothing fires in them")
    if asked.wait % grid.step:
        lines.append(f"{spell(asked.wait)} is no multiple of the step: it fires at the evaluation after")
    return lines


def _curve(asked: Asked, width: int, *, colour: bool) -> str:
    columns = max(2, min(columns_of(width), asked.grid.points))
    compared = asked.comparison
    samples = [one.samples for one in asked.series]
    if compared:
        values = envelope(samples, columns, max if compared.above else min)
        which = "highest" if compared.above else "lowest"
        what = f"{which} value of all series; the line is at {_number(compared.number)}"
    else:
        values = envelope([present(samples)], columns, max)
        what = "for how many series it is true"
    picture = draw(values, compared.number if compared else None, _ticks(asked.grid, columns, width), width, colour)
    return f"{what}\n{picture}"


def _ticks(grid: Grid, columns: int, width: int) -> dict[int, str]:
    length = grid.step * grid.points
    form = "%m-%d %H:%M" if length < timedelta(days=8) else "%Y-%m-%d"
    marks = max(2, width // 24)
    places = [round((columns - 1) * i / (marks - 1)) for i in range(marks)]
    return {place: f"{grid.at(place * (grid.points - 1) // (columns - 1)):{form}}" for place in places}


def _summary(asked: Asked, told: Outcome, compare: bool) -> Iterable[str]:
    if told.firings:
        short = f"; {told.short} ended by themselves within {spell(asked.short)}" if told.short else ""
        yield f"It would have fired {_times(told.firings)}{short}."
        yield f"It fires for a median of {spell(told.median)}, for {spell(told.longest)} at the longest, and"
        yield f"for {spell(told.firing)} in all: {_percent(told.share)} of the time."
    else:
        yield "It would not have fired."
    if told.unended:
        yield f"It still fired at the end ({told.unended})."
    if compare and asked.incidents:
        delay = f", a median of {_delay(told).lstrip('-')} {_side(told)} they began" if told.delay is not None else ""
        yield f"It catches {len(told.delays)} of {len(asked.incidents)} incidents{delay}."
        yield from _missed([one for one in asked.incidents if one.id not in told.delays])
    elif compare:
        yield "Relay has recorded no such incident that began in that time."
    if told.alone:
        yield f"It fires {_times(told.alone)} while there is none."


def _suggestions(asked: Asked, compare: bool) -> Iterable[str]:
    """What would page less for nothing, and as well for what is something."""
    catches = ", and catches every incident that it catches now" if compare and asked.incidents else ""
    beside = "" if catches else " (no incidents are known: see that it would still fire when it must, or give --url)"
    if wait := better_wait(asked):
        yield f"With for: {spell(wait[0])} it fires {_shortly(wait[1])}{catches}{beside}."
    if threshold := better_threshold(asked):
        yield f"With the threshold {_number(threshold[0])} it fires {_shortly(threshold[1])}{catches}{beside}."


def _shortly(told: Outcome) -> str:
    return f"{_times(told.firings)}, {told.short or 'none'} of them short"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _missed(missed: Sequence[Recorded]) -> Iterable[str]:
    for one in missed[:MOST_MISSED]:
        yield f"  missed  {one.id}  {one.started:%Y-%m-%d %H:%M}  {one.title}"
    if len(missed) > MOST_MISSED:
        yield f"  missed  {len(missed) - MOST_MISSED} more"


def _of_series(asked: Asked) -> Table:
    table = _table("series", "firings", "short", "median", "longest", "time firing", "share")
    rows = each(asked)
    for labels, told in rows[:MOST_SERIES]:
        table.add_row(
            escape(_labels(labels)),
            str(told.firings),
            str(told.short),
            spell(told.median),
            spell(told.longest),
            spell(told.firing),
            _percent(told.share),
        )
    if len(rows) > MOST_SERIES:
        table.add_row(f"and {len(rows) - MOST_SERIES} more that fired")
    return table


def _tradeoff(name: str, rows: Sequence[tuple[str, Outcome]], compare: bool) -> Table:
    table = _table(name, "firings", "short", "time firing", "share", *(("caught", "delay", "alone") if compare else ()))
    for value, told in rows:
        cells = [value, str(told.firings), str(told.short), spell(told.firing), _percent(told.share)]
        if compare:
            cells += [str(len(told.delays)), _delay(told), str(told.alone)]
        table.add_row(*cells)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _marked(rows: Iterable[tuple[Any, Outcome]], asked: Any, write: Any) -> list[tuple[str, Outcome]]:
    return [(f"{write(value)}{' (asked)' if value == asked else ''}", told) for value, told in rows]


def _labels(labels: Mapping[str, str]) -> str:
    """Write a series as its alert would be known: a rule drops the name of the metric."""
    return ", ".join(f'{key}="{value}"' for key, value in labels.items() if key != "__name__") or "(no labels)"


def _delay(told: Outcome) -> str:
    if told.delay is None:
        return ""
    return f"-{spell(-told.delay)}" if told.delay < timedelta() else spell(told.delay)


def _side(told: Outcome) -> str:
    return "before" if told.delay is not None and told.delay < timedelta() else "after"


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%" if share < 0.1 else f"{share * 100:.1f}%"


def _number(value: float) -> str:
    return f"{value:.9g}"
