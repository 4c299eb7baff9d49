"""Statements of the hot path, at little more than the driver's own cost.

SQLAlchemy treats every execution and every row anew, which costs several times what the database's own work does.
Here a Core statement is compiled once for each dialect and size, and values go to the driver as the tables keep them:
times as microseconds (`moment`). Everything that is not asked for each alert goes through SQLAlchemy as usual.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from relay.store.tables import EPOCH, MICROSECOND


def moment(value: datetime | None) -> int | None:
    """A time as the tables keep it."""
    return None if value is None else (value - EPOCH) // MICROSECOND


def at(value: int | None) -> datetime | None:
    """A time that the tables keep."""
    return None if value is None else EPOCH + value * MICROSECOND


class Prepared:
    """A statement that is run often. A parameter that is `expanding` takes a list of at least one value."""

    def __init__(self, statement: Any, columns: Sequence[str] = ()) -> None:
        """`columns` are those that an insert is given."""
        self._statement = statement
        self._columns = list(columns) or None
        self._texts: dict[tuple[str, int], _Text] = {}
        self._row_type: Any = None

    def run(self, connection: Connection, **values: Any) -> list[Any]:
        """Run it once; gives rows with a field for each column."""
        size = 0
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, list):
                # few sizes, so that few texts are made, here and in the driver
                size = 1 << (len(value) - 1).bit_length()
                values[name] = padded = value + value[-1:] * (size - len(value))
                flat |= {f"{name}_{number}": item for number, item in enumerate(padded, 1)}
            else:
                flat[name] = value
        text = self._texts.get((connection.dialect.name, size)) or self._compile(connection, size, values, flat)
        return self._execute(connection, text.text, text.as_taken(text.fixed | flat))

    def many(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Run it for each of many rows."""
        if rows:
            text = self._texts.get((connection.dialect.name, 0)) or self._compile(connection, 0, rows[0], rows[0])
            self._execute(connection, text.text, [text.as_taken(text.fixed | row) for row in rows], many=True)

    def _compile(
        self, connection: Connection, size: int, values: Mapping[str, Any], flat: Mapping[str, Any]
    ) -> "_Text":
        """Make the text for lists of a size; `flat` names what they hold as the text does: `ids_1`, `ids_2` …"""
        dialect = connection.dialect
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        expanded = compiled.construct_expanded_state(dict(values))
        fixed = {name: value for name, value in expanded.parameters.items() if name not in flat}
        text = self._texts[dialect.name, size] = _Text(expanded.statement, fixed, _taken(expanded.positiontup))
        return text

    def _execute(self, connection: Connection, text: str, values: Any, *, many: bool = False) -> list[Any]:
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        try:
            if many:
                cursor.executemany(text, values)
                return []
            cursor.execute(text, values)
            if cursor.description is None:
                return []
            if self._row_type is None:
                self._row_type = _row_type([column[0] for column in cursor.description])
            return [self._row_type._make(row) for row in cursor.fetchall()]
        except Exception as error:
            raise _as_sqlalchemy_says(error, text, connection) from error
        finally:
            cursor.close()


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as the driver takes it."""

    text: str
    fixed: dict[str, Any]
    """Values that are part of the statement."""
    as_taken: Callable[[dict[str, Any]], Any]
    """Gives the values of its parameters as the driver takes them: by name, or in their order."""


def _taken(order: Sequence[str] | None) -> Callable[[dict[str, Any]], Any]:
    if order is None:
        return dict
    if len(order) < 2:
        return lambda values: (values[order[0]],) if order else ()
    return itemgetter(*order)


def _as_sqlalchemy_says(error: Exception, text: str, connection: Connection) -> Exception:
    driver: Any = connection.dialect.loaded_dbapi
    if not isinstance(error, driver.Error):
        return error
    said: Exception = DBAPIError.instance(
        text, None, error, driver.Error, hide_parameters=True, dialect=connection.dialect
    )
    return said


def _row_type(columns: list[str]) -> Any:
    make: Any = namedtuple
    return make("Row", columns)
