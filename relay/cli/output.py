"""Output for people or for machines: every command takes `-o json`."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from relay.config.printable import printable

WIDEST = 2_000
"""Columns of a table for what reads from a pipe."""
Command = TypeVar("Command", bound=Callable[..., Any])


def output_option(command: Command) -> Command:
    """Add `-o text|json`."""
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to answer."
    )(command)


def as_json(value: Any) -> None:
    """Print a value as JSON; what would drive a terminal, or it cannot show, is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=not _shows_all_letters(), default=str)
    click.echo("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def _shows_all_letters() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def say(text: str) -> None:
    """Print one line."""
    click.echo(printable(text))


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print rows under columns; those in `right` hold numbers. Where a terminal is too narrow, a row is a line.

    The last column may be wrapped, and no other. What reads from a pipe is given whole lines.
    """
    console = Console()
    table = Table(box=SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column != columns[-1], justify="right" if column in right else "left")
    cells = [[printable(cell) for cell in row] for row in rows]
    for row in cells:
        table.add_row(*map(escape, row))
    if not console.is_terminal:
        Console(width=WIDEST).print(table)
    elif Measurement.get(console, console.options.update(width=WIDEST), table).minimum > console.width:
        for row in cells:
            click.echo("  ".join(filter(None, row)))
    else:
        console.print(table)
