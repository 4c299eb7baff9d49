"""The clock was set back: what waits would wait for longer by as much, and so is brought forward."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from relay.clock import Clock
from relay.incident.decide import Decision
from relay.incident.events import DeadlineSet
from relay.incident.incident import Incident, apply
from relay.store.transaction import Transaction

SET = timedelta(seconds=5)
"""By how much a clock must go back between two looks to count as set: it is also kept in step by little."""
SLICE = 1_000
"""Incidents in memory at once."""


class Steps:
    """Notices when a clock is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock.now(), clock.monotonic()

    def back(self) -> timedelta:
        """By how much the clock was set back since the last look; 0 if it was not."""
        (was, then), self._seen = self._seen, (self._clock.now(), self._clock.monotonic())
        now, elapsed = self._seen
        back = was + timedelta(seconds=elapsed - then) - now
        return back if back >= SET else timedelta()


def bring_forward(connection: Connection, by: timedelta, now: datetime) -> int:
    """Bring every deadline, and every errand that is due later, forward; gives how many incidents that changed.

    A time that was no wait, like the end of a window, only comes too early: then it is looked at again.
    """
    waiting = Transaction(connection).incidents.waiting()
    for start in range(0, len(waiting), SLICE):
        transaction = Transaction(connection)
        slice_ = waiting[start : start + SLICE]
        transaction.incidents.load(slice_, alerts=False)
        for incident in (transaction.incidents.get(id_) for id_ in slice_):
            if incident is not None:
                transaction.keep(_sooner(incident, by, now), now)
        transaction.write(now)
    Transaction(connection).outbox.bring_forward(by, now)
    return len(waiting)


def _sooner(incident: Incident, by: timedelta, now: datetime) -> Decision:
    events = tuple(DeadlineSet(name, at - by) for name, at in incident.deadlines.items())
    for event in events:
        incident = apply(incident, event, now)
    return Decision(incident, events, ())
