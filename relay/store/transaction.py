"""One transaction: everything in it is kept, or nothing."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Connection, bindparam, func, select

from relay.incident.decide import Decision
from relay.incident.effects import Effect
from relay.incident.events import Event
from relay.incident.severity import LEAST
from relay.store import tables
from relay.store.inbox import Inbox
from relay.store.incidents import Incidents
from relay.store.outbox import Errand, Left, Outbox, Room
from relay.store.prepared import Prepared, at, moment

_NOW = bindparam("now", type_=BigInteger)
_NEXT = Prepared(
    select(
        select(func.min(tables.incident.c.wake_at))
        .where(tables.incident.c.wake_at > _NOW)
        .scalar_subquery()
        .label("wake"),
        *(
            select(func.min(tables.outbox.c.due_at))
            .where(tables.outbox.c.claimed.is_(claimed), tables.outbox.c.due_at > _NOW)
            .scalar_subquery()
            .label(f"errand_{claimed}")
            for claimed in (False, True)
        ),
    )
)


def no_room(target: str) -> int:
    """Claim nothing: the engine's next turn does."""
    return 0


class Transaction:
    """What a piece of work sees of the store. Changes are written when the work is done."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.inbox = Inbox(connection)
        self.incidents = Incidents(connection)
        self.outbox = Outbox(connection)
        self._asked: list[tuple[str, int, Effect]] = []
        self._moments: list[datetime] = []
        self.left = Left.NOTHING
        """What it asked for, and nobody holds a claim on yet."""
        self.happened: list[tuple[str, Event]] = []
        """Everything that happened in it, each with its incident, for metrics and the log."""

    def take_time(self) -> None:
        """Let PostgreSQL wait for what comes next: much is to be decided before."""
        self._set("idle_in_transaction_session_timeout = '10min'")

    def hurry(self) -> None:
        """Wait for no other process: what it holds is for later."""
        self._set("lock_timeout = '20ms'")

    def _set(self, what: str) -> None:
        if self.connection.dialect.name == "postgresql":
            self.connection.exec_driver_sql(f"set local {what}")

    def keep(self, decision: Decision, now: datetime) -> None:
        """Take a decision over: the incident, what happened, and what it asks for."""
        self.incidents.keep(decision, now)
        severity = decision.incident.severity or 1
        self.happened += [(decision.incident.id, event) for event in decision.happened]
        self._asked += [(decision.incident.id, severity, effect) for effect in decision.effects]

    def ask(self, effect: Effect) -> None:
        """Ask for something that belongs to no incident."""
        self._asked.append(("", LEAST, effect))

    def expect(self, moment: datetime) -> None:
        """Say that there will be something to do at a time."""
        self._moments.append(moment)

    def write(self, now: datetime, lease: timedelta = timedelta(), room: Room = no_room) -> list[Errand]:
        """Send what was gathered to the database; gives the errands that the caller now holds a claim on."""
        self.incidents.write()
        claimed, self.left = self.outbox.add(self._asked, now, lease, room)
        self._asked = []
        return claimed

    @property
    def soonest(self) -> datetime | None:
        """The next time at which there is something to do because of this transaction."""
        moments = [*self._moments, self.incidents.soonest]
        return min((at for at in moments if at is not None), default=None)

    def next_moment(self, now: datetime) -> datetime | None:
        """The next time after now at which there is something to do at all."""
        [row] = _NEXT.run(self.connection, now=moment(now))
        return at(min((when for when in row if when is not None), default=None))


def happening(work: Callable[[Transaction], None], now: datetime) -> Callable[[Connection], list[tuple[str, Event]]]:
    """Make of a piece of work a whole transaction that gives all that happened in it, each with its incident."""

    def whole(connection: Connection) -> list[tuple[str, Event]]:
        transaction = Transaction(connection)
        work(transaction)
        transaction.write(now)
        return transaction.happened

    return whole
