"""One transaction: everything in it is kept, or nothing."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from relay.incident.decide import Decision
from relay.incident.effects import Effect
from relay.incident.events import Event
from relay.store import tables
from relay.store.inbox import Inbox
from relay.store.incidents import Incidents
from relay.store.outbox import Outbox


class Transaction:
    """What a piece of work sees of the store. Changes are written when the work is done."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.inbox = Inbox(connection)
        self.incidents = Incidents(connection)
        self.outbox = Outbox(connection)
        self._asked: list[tuple[str, int, Effect]] = []
        self.happened: list[Event] = []
        """Everything that happened in it, for metrics."""

    def keep(self, decision: Decision, now: datetime) -> None:
        """Take a decision over: the incident, what happened, and what it asks for."""
        self.incidents.keep(decision, now)
        severity = decision.incident.severity or 1
        self.happened += decision.happened
        self._asked += [(decision.incident.id, severity, effect) for effect in decision.effects]

    def write(self, now: datetime) -> None:
        """Send what was gathered to the database, within the transaction."""
        self.incidents.write()
        self.outbox.add(self._asked, now)
        self._asked = []

    def next_moment(self, now: datetime) -> datetime | None:
        """The next time after now at which there is something to do."""
        wake_at = tables.incident.c.wake_at
        wakes = self.connection.execute(select(func.min(wake_at)).where(wake_at > now)).scalar()
        return min((at for at in (wakes, self.outbox.next_due(now)) if at is not None), default=None)
