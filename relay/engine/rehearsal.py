"""Rehearsal: the production engine on a database of its own and a manual clock, in a world that answers as told.

`relay test`, `relay simulate`, `relay replay` and the project's own tests run on it: nothing in them is a copy.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from relay.clock import ManualClock
from relay.engine.settle import Answer, Said
from relay.engine.submit import submit
from relay.engine.turn import Turned, turn
from relay.incident.decide import Rules
from relay.incident.effects import Effect, Measure, Page
from relay.incident.events import Delivered, Event, Measured
from relay.incident.incident import Incident
from relay.store.database import Database, open_database
from relay.store.inbox import Inbox, Received
from relay.store.reading import Entry, list_incidents, read_timeline
from relay.store.transaction import Transaction

ALL = ("new", "held", "triggered", "acknowledged", "resolved", "closed")
MOST_INCIDENTS = 1_000_000
MOST_TURNS = 1_000
"""Turns that one moment may need. More is a loop, and a bug."""
LANE = 32


@contextmanager
def scratch_database() -> Iterator[Database]:
    """An empty database in memory's own file system, where there is one: nothing here is about disks."""
    shm = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="relay-rehearsal-", dir=shm if shm.is_dir() else None))
    database = open_database(f"sqlite:///{directory / 'relay.db'}")
    try:
        yield database
    finally:
        database.close()
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """What reached the world, and what it said."""

    at: datetime
    incident: str
    effect: Effect
    said: Said


def accept(effect: Effect) -> Said:
    """Answer as a pager that takes everything, and a Prometheus that knows nothing."""
    match effect:
        case Page(target, key):
            return Delivered(key, target)
        case Measure(queries):
            return Measured({}, dict.fromkeys(queries, "nobody knows"))
    return None


class Rehearsal:
    """Everything outside the engine. Time passes only when it is told to."""

    def __init__(self, database: Database, rules: Rules, start: datetime) -> None:
        self.database = database
        self.rules = rules
        self.clock = ManualClock(start)
        self.vendor: Callable[[Effect], Said] = accept
        """What pagers and Prometheus answer."""
        self.sent: list[Sent] = []
        """What reached the world, in order."""
        self._answers: list[Answer] = []
        self.next_moment: datetime | None = None
        """The next time at which there is something to do."""

    def receive(self, body: bytes, source: str = "prod") -> None:
        """A source posts; the body is durable, and not yet decided."""
        received = Received(source, self.clock.now(), body)
        self.database.transact(lambda connection: Inbox(connection).append([received]))

    def submit(self, id_: str, event: Event) -> None:
        """Somebody acts. Raises `NoSuchIncident`, or `NotNow` when it cannot happen in the incident's phase."""

        def work(connection: Connection) -> None:
            transaction = Transaction(connection)
            submit(transaction, id_, event, self.rules, self.clock.now())
            transaction.write(self.clock.now())

        self.database.transact(work)

    def settle(self) -> None:
        """Turn until there is nothing to do now."""
        for _ in range(MOST_TURNS):
            turned = self.turn()
            if not (turned.errands or turned.more or self._answers):
                return
        raise AssertionError("the engine never comes to rest")

    def turn(self) -> Turned:
        """Do one turn, and carry out what it asks for."""
        answers, self._answers = self._answers, []
        now = self.clock.now()
        turned = self.database.transact(
            lambda connection: turn(connection, (), answers, lambda target: LANE, (), self.rules, now)
        )
        for errand in turned.errands:
            said = self.vendor(errand.effect)
            self.sent.append(Sent(now, errand.incident, errand.effect, said))
            self._answers.append(Answer(errand, said))
        self.next_moment = turned.next_moment
        return turned

    def wait(self, until: datetime) -> None:
        """Let time pass, from deadline to deadline."""
        self.settle()
        while self.next_moment is not None and self.next_moment <= until:
            self.clock.set(max(self.next_moment, self.clock.now()))
            self.settle()
        self.clock.set(until)
        self.settle()

    def incidents(self, *phases: str) -> list[Incident]:
        """Incidents in some phases, or in all."""
        return self.database.read(lambda connection: list_incidents(connection, phases or ALL, MOST_INCIDENTS, None))

    def timeline(self, id_: str) -> list[Entry]:
        """What happened to an incident, in order."""
        return self.database.read(lambda connection: read_timeline(connection, id_))
