"""What a database refuses, in words: what is wrong, and what to do."""

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError


class StoreUnavailable(Exception):
    """The database cannot be used now: locked, full, read-only or away. The message says which, and what to do."""


class StoreRefused(StoreUnavailable):
    """The database works, and refuses this very thing: trying the same again cannot help."""


class StoreBusy(StoreUnavailable):
    """The database works, and another process holds what is wanted: trying again later helps."""


def lost_a_race(error: SQLAlchemyError) -> bool:
    """Two processes wrote the same thing, or waited for each other: the loser may simply try again."""
    if isinstance(error, IntegrityError):
        return True
    return _state(error) in ("40001", "40P01")


def _state(error: SQLAlchemyError) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


_BUSY = ("40001", "40P01", "55P03", "57014")
"""PostgreSQL's states for what lost a race, did not get a lock, or took too long."""
_ADVICE = (
    ("locked", "the database is locked by another program: close it"),
    ("readonly", "the database cannot be written: check the permissions and the mount of its directory"),
    ("read-only", "the database cannot be written: check the permissions and the mount of its directory"),
    ("disk is full", "the disk is full: make room, and nothing else has to be done"),
    ("disk i/o", "the disk answers with an error: check it, and restore from a backup if need be"),
    ("malformed", "the database file is damaged: restore it from a backup"),
    ("not a database", "this file is not a database: name another"),
    ("unable to open", "the database file cannot be opened: check the path and its permissions"),
)


def unavailable(error: SQLAlchemyError) -> StoreUnavailable:
    """Say what is wrong without the statement and its parameters, which hold what users sent."""
    original = str(getattr(error, "orig", error)).strip().splitlines()
    said = original[0] if original else type(error).__name__
    for word, advice in _ADVICE:
        if word in said.lower():
            return StoreUnavailable(f"{advice} ({said})")
    if _state(error) in _BUSY:
        return StoreBusy(f"the database is busy: {said}")
    if isinstance(error, OperationalError) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return StoreUnavailable(f"the database cannot be reached: {said}")
    return StoreRefused(f"the database refused: {said}")
