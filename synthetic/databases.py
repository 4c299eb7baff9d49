"""What the probes of databases share: phases, and how a value, a role and a lag are judged."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from synthetic.kinds import DatabaseKeys, ValueExpectation
from synthetic.run import Failed, Run, label
from synthetic.secrets import secret

PORTS = {"postgres": 5432, "mysql": 3306, "redis": 6379}
PHASES = ("resolve", "connect", "query")
"""Finding the host; connecting, TLS and the log-in; the query, and questions about replication."""

Value = str | int | float | bool | None


@contextmanager
def measured(run: Run) -> Iterator[dict[str, float]]:
    """Seconds by phase, to be added to; they are measured in the end, whatever happens."""
    phases = dict.fromkeys(PHASES, 0.0)
    try:
        yield phases
    finally:
        for phase, seconds in phases.items():
            run.measure("probe_database_duration_seconds", seconds, label("phase", phase))


def password_of(keys: DatabaseKeys, run: Run) -> str:
    """Read the password, and let nobody see it. Raises `Failed`."""
    if keys.password_file is None:
        return ""
    password = secret(keys.password_file)
    run.hide(password, "password")
    return password


def asks_for_replication(keys: DatabaseKeys) -> bool:
    """Whether the check wants to know of replication: asking takes rights that not every user has."""
    return keys.must_be is not None or keys.max_replication_lag is not None


def judge_value(expected: ValueExpectation | None, found: Value, run: Run) -> None:
    """Hold what a query gave against what it is to give. Raises `Failed`."""
    number = _number(found)
    if number is not None:
        run.measure("probe_database_query_value", number)
    if expected is None:
        return
    told = "nothing" if found is None else repr(found)[:80]
    if expected.matches is not None:
        if found is None or not expected.matches.found_in(str(found)):
            raise Failed("assertion", f"the query gives {told}, which does not match {expected.matches}")
    elif expected.at_least is not None or expected.at_most is not None:
        low = -math.inf if expected.at_least is None else expected.at_least
        high = math.inf if expected.at_most is None else expected.at_most
        if number is None or not low <= number <= high:
            bound = f"at least {low:g}" if expected.at_least is not None else f"at most {high:g}"
            raise Failed("assertion", f"the query gives {told}, and not {bound}")
    elif not _same(found, expected.equals):
        wanted = "nothing" if expected.equals is None else repr(expected.equals)
        raise Failed("assertion", f"the query gives {told}, and not {wanted}")


def _same(found: Value, wanted: Value) -> bool:
    if isinstance(found, bool) or isinstance(wanted, bool) or found is None or wanted is None:
        return found is wanted  # to Python, 1 is True
    if isinstance(wanted, str):
        return str(found) == wanted
    return _number(found) == wanted


def _number(found: Value) -> float | None:
    """A value as a number; also one that is written in digits, as Redis writes it."""
    if found is None:
        return None
    try:
        number = float(found)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def judge_replication(keys: DatabaseKeys, is_replica: bool, lag: float | None, why_unknown: str, run: Run) -> None:
    """Hold the role and the lag (seconds; None: it cannot be told) against what they are to be. Raises `Failed`."""
    run.measure("probe_database_is_replica", float(is_replica))
    if lag is not None:
        run.measure("probe_database_replication_lag_seconds", lag)
    role = "replica" if is_replica else "primary"
    run.note(f"it is a {role}; lag: {why_unknown if lag is None else f'{lag:.3g} s'}")
    if keys.must_be not in (None, role):
        raise Failed("assertion", f"it is a {role}, and not the {keys.must_be}")
    if keys.max_replication_lag is None:
        return
    most = keys.max_replication_lag.total_seconds()
    if lag is None:
        raise Failed("replication_lag", f"how far replication is behind cannot be told: {why_unknown}")
    if lag > most:
        raise Failed("replication_lag", f"replication is {lag:.3g} s behind, more than {most:.3g} s")
