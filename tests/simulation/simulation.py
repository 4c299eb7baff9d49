"""One story by seed: the production engine on a real database and a manual clock, in a world that does its worst."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from playbook import NOON

from relay.clock import ManualClock
from relay.engine.hear import hear
from relay.engine.rehearsal import scratch_database
from relay.engine.set_back import Steps, bring_forward
from relay.engine.settle import Answer
from relay.engine.submit import NoSuchIncident, submit
from relay.engine.turn import turn
from relay.incident.events import Acknowledged, Escalated, NoteAdded, Resolved, SeveritySet
from relay.incident.lifecycle import NotNow
from relay.integrations.alertmanager import read_webhook
from relay.integrations.courier import Again
from relay.integrations.news import News
from relay.store.database import Database
from relay.store.inbox import Inbox, Received
from relay.store.incidents import Incidents
from relay.store.outbox import Errand, Outbox
from relay.store.transaction import Transaction
from simulation.asking import Asking
from simulation.invariants import at_rest, check, in_the_end, in_truth, not_overtaken, under_way
from simulation.pager import MOODS, Pager
from simulation.rulebooks import RULEBOOKS
from simulation.source import Source

STEPS = 50
COURIER_TIMEOUT = timedelta(seconds=20)


class Crash(Exception):
    """The process dies in the middle of a transaction."""


@dataclass
class Replica:
    """What one process of Relay has in memory."""

    under_way: list[Errand] = field(default_factory=list)
    """Errands that it is carrying out."""
    answers: list[Answer] = field(default_factory=list)


class Simulation:
    """Everything outside the engine, and the engine."""

    def __init__(self, seed: int, database: Database, runner: asyncio.Runner, steps: int = STEPS) -> None:
        random.seed(seed)  # for the references that the outbox draws
        self.seed = seed
        self.chance = random.Random(seed)
        self.database = database
        self.rules = self.chance.choice(RULEBOOKS)
        self.clock = ManualClock(NOON)
        """Relay's clock, which is set back and forth; the source's is `true`."""
        self.set_back = Steps(self.clock)
        self.true = NOON
        self.source = Source(self.chance, self.chance.random() < 0.5, NOON)
        self.pager = Pager(self.chance)
        self.news: list[News] = []
        """Webhooks of the pager that are under way."""
        self.asking = Asking(self, runner)
        self.steps = steps
        self.trace: list[str] = []
        self.replicas = [Replica() for _ in range(self.chance.choice((1, 1, 2)))]

    def run(self) -> str:
        """Tell the story; gives a digest of all that happened. Raises `Broken` when a promise is."""
        for _ in range(self.steps):
            self._step()
            check(self)
        self._calm()
        in_truth(self)
        self._quiet()
        in_the_end(self)
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def note(self, what: str) -> None:
        self.trace.append(f"{self.clock.now():%H:%M:%S} {what}")

    # ---- what may happen ----

    def _step(self) -> None:
        weights = {
            self._change: 8,
            self._pass: 10,
            self._repeat: 3,
            self._act: 4,
            self._act_at_the_pager: 3,
            self._ask_the_pager: 2,
            self._mood: 2,
            self._crash: 2,
            self._crash_within: 2,
            self._set_clock: 1,
            self._reload: 1,
        }
        if self.source.asked:
            weights |= {self._ask_the_source: 6, self._silence: 2, self._source_fails: 1}
        [step] = self.chance.choices(list(weights), list(weights.values()))
        step()
        self._receive()
        for _ in range(self.chance.randint(1, 4)):
            self._turn(self.chance.choice(self.replicas))
        if self.chance.random() < 0.5:
            self._rest()

    def _change(self) -> None:
        self.note(self.source.change(self.true))

    def _pass(self) -> None:
        seconds = self.chance.choice((1, 5, 30, 60, 300, 600, 1800))
        self._let_pass(timedelta(seconds=seconds))
        self.note(f"{seconds} seconds pass")

    def _let_pass(self, time: timedelta) -> None:
        self.true += time
        self.clock.advance(time)
        for replica in self.replicas if time >= COURIER_TIMEOUT else ():
            for errand in replica.under_way:  # no courier takes longer; some of what it gave up had arrived
                if self.chance.random() < 0.5:
                    self.pager.answer(errand.effect)
                replica.answers.append(Answer(errand, Again("no answer in time")))
            replica.under_way = []

    def _repeat(self) -> None:
        for service in self.source.services():
            self.source.tell(service, self.true)

    def _act(self) -> None:
        id_ = f"INC-{self.chance.randint(1, 6)}"
        event = self.chance.choice(
            (
                Acknowledged("ana"),
                Resolved("it is better", "ana"),
                Escalated("ana"),
                NoteAdded("ana", "hm"),
                SeveritySet("ana", self.chance.randint(1, 5), "so it is"),
            )
        )

        def work(transaction: Transaction) -> None:
            submit(transaction, id_, event, self.rules, self.clock.now())

        try:
            self._transact(work)
            self.note(f"{id_} {type(event).__name__}")
        except (NotNow, NoSuchIncident):
            pass

    def _transact(self, work: Callable[[Transaction], None]) -> None:
        """Do something beside the turns, as a request does."""

        def all_of_it(connection):
            transaction = Transaction(connection)
            work(transaction)
            transaction.write(self.clock.now())

        self.database.transact(all_of_it)

    def _act_at_the_pager(self) -> None:
        """Somebody does something there; its webhook may be late, or lost."""
        if news := self.pager.act():
            self.note(f"at the pager: {news.key} {news.what}")
            if self.chance.random() < 0.7:
                self.news.append(news)

    def _hear(self) -> None:
        """Webhooks of the pager arrive, some of them twice."""
        heard = [news for news in self.news if self.chance.random() < 0.5]
        self.news = [news for news in self.news if news not in heard or self.chance.random() < 0.1]
        if heard:
            self._transact(lambda transaction: hear(transaction, heard, lambda _: True, self.rules, self.clock.now()))
            self.pager.heard(heard, under_way(self))
            self.note(f"heard: {', '.join(f'{news.key} {news.what}' for news in heard)}")

    def _ask_the_pager(self) -> None:
        self.pager.heard(self.asking.pager(), under_way(self))
        self.note("the pager is asked")

    def _ask_the_source(self) -> None:
        self.asking.source()
        self.note("the source is asked")

    def _silence(self) -> None:
        self.note(self.source.silence())

    def _source_fails(self) -> None:
        """The Alertmanagers answer no more, or again; or they are restarted."""
        if self.chance.random() < 0.5:
            self.asking.api.well = not self.asking.api.well
            self.note(f"the source {'answers' if self.asking.api.well else 'does not answer'}")
        else:
            self.source.started_at = self.true
            self.note("the source is restarted")

    def _mood(self) -> None:
        self.pager.mood = self.chance.choice(MOODS)
        self.note(f"the pager is {self.pager.mood}")

    def _crash(self) -> None:
        """What is in memory is gone; of what was under way some has arrived. Claims are let go, or lapse."""
        place = self.chance.randrange(len(self.replicas))
        for errand in self.replicas[place].under_way:
            if self.chance.random() < 0.5:
                self.pager.answer(errand.effect)
        self.replicas[place] = Replica()
        if len(self.replicas) == 1 and self.chance.random() < 0.5:
            self.database.transact(lambda connection: Outbox(connection).release_all(self.clock.now()))
        self.asking.restart()
        self.note("the process dies, and another takes over")

    def _crash_within(self) -> None:
        """A turn is done, and never committed."""

        def work(connection):
            self._do_turn(connection, self.chance.choice(self.replicas))
            raise Crash

        try:
            self.database.transact(work)
        except Crash:
            self.note("a turn is rolled back")
        self._crash()

    def _set_clock(self) -> None:
        by = self.chance.choice((-3600, -60, 60, 3600))
        self.clock.step(timedelta(seconds=by))
        back = self.set_back.back()
        if back and len(self.replicas) == 1:  # one of several does not know what the others' clocks did
            self.database.transact(lambda connection: bring_forward(connection, back, self.clock.now()))
        self.note(f"the clock is set by {by} seconds")

    def _reload(self) -> None:
        self.rules = self.chance.choice(RULEBOOKS)
        self.database.transact(lambda connection: Incidents(connection).look_again(self.clock.now()))
        self.note("other rules")

    # ---- the engine ----

    def _receive(self) -> None:
        self._take_in(self.source.arrived(self.true))
        self._hear()

    def _take_in(self, bodies: list[bytes]) -> None:
        received = [Received("prod", self.clock.now(), body) for body in bodies]
        for one in received:
            assert not read_webhook(one.body, one.source, one.received_at).broken
        self.database.transact(lambda connection: Inbox(connection).append(received))

    def _do_turn(self, connection, replica: Replica):
        room = 32 - len(replica.under_way)
        return turn(
            connection, (), replica.answers, lambda target: room, (), self.rules, self.clock.now(),
            under_way=replica.under_way,
        )  # fmt: skip

    def _turn(self, replica: Replica, *, patient: bool = False):
        turned = self.database.transact(lambda connection: self._do_turn(connection, replica))
        replica.answers = []
        replica.under_way += turned.errands
        not_overtaken(self, turned.errands)
        self._carry_out(replica, patient=patient)
        return turned

    def _carry_out(self, replica: Replica, *, patient: bool) -> None:
        """Some errands are answered now, others later."""
        for errand in list(replica.under_way):
            if patient or self.chance.random() < 0.7:
                replica.under_way.remove(errand)
                said = self.pager.answer(errand.effect)
                self.note(f"{type(errand.effect).__name__} {errand.effect.key}: {type(said).__name__}")
                replica.answers.append(Answer(errand, said))

    def _rest(self) -> None:
        """Turn until there is nothing to do now."""
        for _ in range(200):
            turned = [self._turn(replica, patient=True) for replica in self.replicas]
            if not any(one.errands or one.more for one in turned) and not any(r.answers for r in self.replicas):
                return at_rest(self)
        raise AssertionError(f"seed {self.seed}: the engine never comes to rest")

    # ---- the end ----

    def _calm(self) -> None:
        """The world works, and goes on as it is: what is so has been told, and every clock has caught up."""
        self.note("all is well from here on")
        self.pager.mood, self.asking.api.well = "well", True
        self._let_pass(timedelta(hours=3))  # leases lapse, clocks that were set back catch up, messages arrive
        self._receive()
        self.news = []
        self._tell_all()
        self._rest()
        self._ask_the_pager()
        self._let_pass(timedelta(hours=1))  # what was closed at the pager, and goes on, is rung again
        self._rest()

    def _tell_all(self) -> None:
        """What is so is told: when it is asked for, or by one more message of each service."""
        if self.source.asked:
            for _ in range(4):
                self._ask_the_source()
                self._rest()
                self._let_pass(timedelta(minutes=3))
            return
        for service in self.source.services():
            body = self.source.body(service)
            self.source.ledger.hear(body)
            self._take_in([body])

    def _quiet(self) -> None:
        """Everything ends and is told of, and a day passes."""
        for alert in self.source.alerts:
            if alert.starts_at:
                alert.firing = False
                alert.ends_at = alert.ends_at or self.true
        self.source.under_way.clear()
        self._tell_all()
        for replica in self.replicas:
            replica.under_way, replica.answers = [], []
        for hours in (1, 1, 2, 4, 8, 8):
            self._rest()
            self._let_pass(timedelta(hours=hours))
        self._rest()


def simulate(seed: int, steps: int = STEPS, kind: type[Simulation] = Simulation) -> Simulation:
    """Tell the story of a seed; gives it when it is over."""
    with scratch_database() as database, asyncio.Runner() as runner:
        simulation = kind(seed, database, runner, steps)
        simulation.digest = simulation.run()
        return simulation
