"""Writing many rows with one statement, at little more than the driver's own cost.

SQLAlchemy treats every row of an executemany anew, which costs more than SQLite's work itself. Here a Core statement
is compiled once for each dialect, and rows go to the driver as they are: times as microseconds (`moment`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Insert, Update

from relay.store.tables import EPOCH, MICROSECOND


def moment(value: datetime | None) -> int | None:
    """A time as the tables keep it."""
    return None if value is None else (value - EPOCH) // MICROSECOND


class Batch:
    """An insert or update for many rows. `names` are the columns of a row, or the bound parameters of an update."""

    def __init__(self, statement: Insert | Update, names: Sequence[str]) -> None:
        self._statement = statement
        self._names = list(names)
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}

    def send(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows; each holds a value for every name."""
        if not rows:
            return
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            columns = self._names if isinstance(self._statement, Insert) else None
            compiled = self._statement.compile(dialect=dialect, column_keys=columns)
            self._compiled[dialect.name] = str(compiled), compiled.positiontup
        text, order = self._compiled[dialect.name]
        if order is None:
            connection.exec_driver_sql(text, [dict(row) for row in rows])
        else:
            connection.exec_driver_sql(text, [tuple([row[name] for name in order]) for row in rows])
