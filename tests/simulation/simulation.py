"""One story by seed: the production engine on a real database and a manual clock, in a world that does its worst."""

import hashlib
import random
from dataclasses import replace
from datetime import timedelta

from playbook import NOON, rules
from playbook import RULES as RULES_TEXT

from relay.clock import ManualClock
from relay.engine.rehearsal import scratch_database
from relay.engine.settle import Answer
from relay.engine.submit import NoSuchIncident, submit
from relay.engine.turn import turn
from relay.incident.events import Acknowledged, Escalated, NoteAdded, Resolved, SeveritySet
from relay.incident.fallback import Fallback
from relay.incident.lifecycle import NotNow
from relay.integrations.alertmanager import read_webhook
from relay.integrations.courier import Again
from relay.store.database import Database
from relay.store.inbox import Inbox, Received
from relay.store.incidents import Incidents
from relay.store.outbox import Errand, Outbox
from relay.store.transaction import Transaction
from simulation.invariants import at_rest, check, in_the_end
from simulation.pager import MOODS, Pager
from simulation.source import Source

WINDOWS = """
  - name: backup
    reason: it is loud
    owner: team-ledger
    zone: Europe/Berlin
    weekly: {days: [wednesday, thursday], from: "13:10", to: "13:40"}
    matchers: ['service="ledger"']
    never_suppress: [SEV-1]
"""
EVERYTHING = """
  - {name: mail, reason: r, owner: o, zone: UTC, cron: "20 * * * *", duration: 25m, matchers: [service=search],
     redirect: pd-noc, grace: 3m, pause_escalations: true}
  - {name: few, reason: r, owner: o, zone: UTC, cron: "5 * * * *", duration: 1h, matchers: [service=ledger],
     max_suppressed: 1, never_suppress: [SEV-2], suppress: notifications, pause_escalations: true}
  - {name: tried, reason: r, owner: o, zone: UTC, cron: "0 * * * *", duration: 1h, matchers: [service=checkout],
     mode: shadow}
"""
CRITERIA = """
    jump: [{at_least: SEV-2, to: L2}, {after: 10m, to: L3}]
    quiet: {at_most: SEV-4, hours: {zone: UTC, from: "09:00", to: "13:30"}}
    repeat: 1
"""
PLAIN = rules()
JUDGING = RULES_TEXT.replace("default: SEV-3", "default: SEV-4\n  lower_after: 5m").replace(
    "    jump: [{at_least: SEV-1, to: L2}]\n", CRITERIA.lstrip("\n")
)
DAMPED = JUDGING.replace("group_by: [service]}", "group_by: [service], hold_for: 2m}")
RULES = (
    PLAIN,
    rules(windows=WINDOWS),
    replace(PLAIN, fallbacks={"pd-ada": Fallback("pd-noc", timedelta(minutes=1))}),
    replace(
        PLAIN,
        policies={"payments": PLAIN.policies["payments"].model_copy(update={"ack_expires": timedelta(minutes=20)})},
    ),
    rules(DAMPED, windows=EVERYTHING),
    replace(rules(JUDGING, windows=EVERYTHING), fallbacks={"pd-noc": Fallback("pd-ada", timedelta(minutes=1))}),
)
STEPS = 50
COURIER_TIMEOUT = timedelta(seconds=20)


class Crash(Exception):
    """The process dies in the middle of a transaction."""


class Simulation:
    """Everything outside the engine, and the engine."""

    def __init__(self, seed: int, database: Database, steps: int = STEPS) -> None:
        random.seed(seed)  # for the references that the outbox draws
        self.seed = seed
        self.chance = random.Random(seed)
        self.database = database
        self.rules = self.chance.choice(RULES)
        self.clock = ManualClock(NOON)
        """Relay's clock, which is set back and forth; the source's is `true`."""
        self.true = NOON
        self.source = Source(self.chance)
        self.pager = Pager(self.chance)
        self.steps = steps
        self.trace: list[str] = []
        self.under_way: list[Errand] = []
        """Errands that this process is carrying out."""
        self.answers: list[Answer] = []

    def run(self) -> str:
        """Tell the story; gives a digest of all that happened. Raises `Broken` when a promise is."""
        for _ in range(self.steps):
            self._step()
            check(self)
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
            self._mood: 2,
            self._crash: 2,
            self._crash_within: 2,
            self._set_clock: 1,
            self._reload: 1,
        }
        [step] = self.chance.choices(list(weights), list(weights.values()))
        step()
        self._receive()
        for _ in range(self.chance.randint(1, 4)):
            self._turn()
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
        if time >= COURIER_TIMEOUT:  # no courier takes longer; some of what it gave up had arrived
            for errand in self.under_way:
                if self.chance.random() < 0.5:
                    self.pager.answer(errand.effect)
                self.answers.append(Answer(errand, Again("no answer in time")))
            self.under_way = []

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

        def work(connection):
            transaction = Transaction(connection)
            submit(transaction, id_, event, self.rules, self.clock.now())
            transaction.write(self.clock.now())

        try:
            self.database.transact(work)
            self.note(f"{id_} {type(event).__name__}")
        except (NotNow, NoSuchIncident):
            pass

    def _mood(self) -> None:
        self.pager.mood = self.chance.choice(MOODS)
        self.note(f"the pager is {self.pager.mood}")

    def _crash(self) -> None:
        """What is in memory is gone; of what was under way some has arrived. Claims are let go, or lapse."""
        for errand in self.under_way:
            if self.chance.random() < 0.5:
                self.pager.answer(errand.effect)
        self.under_way, self.answers = [], []
        if self.chance.random() < 0.5:
            self.database.transact(lambda connection: Outbox(connection).release_all(self.clock.now()))
        self.note("the process dies, and another takes over")

    def _crash_within(self) -> None:
        """A turn is done, and never committed."""

        def work(connection):
            self._do_turn(connection)
            raise Crash

        try:
            self.database.transact(work)
        except Crash:
            self.note("a turn is rolled back")
        self._crash()

    def _set_clock(self) -> None:
        by = self.chance.choice((-3600, -60, 60, 3600))
        self.clock.advance(timedelta(seconds=by))
        self.note(f"the clock is set by {by} seconds")

    def _reload(self) -> None:
        self.rules = self.chance.choice(RULES)
        self.database.transact(lambda connection: Incidents(connection).look_again(self.clock.now()))
        self.note("other rules")

    # ---- the engine ----

    def _receive(self) -> None:
        bodies = self.source.arrived(self.true)
        received = [Received("prod", self.clock.now(), body) for body in bodies]
        for one in received:
            assert not read_webhook(one.body, one.source, one.received_at).broken
        self.database.transact(lambda connection: Inbox(connection).append(received))

    def _do_turn(self, connection):
        room = 32 - len(self.under_way)
        return turn(
            connection,
            (),
            self.answers,
            lambda target: room,
            (),
            self.rules,
            self.clock.now(),
            under_way=self.under_way,
        )

    def _turn(self, *, patient: bool = False):
        turned = self.database.transact(self._do_turn)
        self.answers = []
        self.under_way += turned.errands
        self._carry_out(patient=patient)
        return turned

    def _carry_out(self, *, patient: bool) -> None:
        """Some errands are answered now, others later."""
        for errand in list(self.under_way):
            if patient or self.chance.random() < 0.7:
                self.under_way.remove(errand)
                said = self.pager.answer(errand.effect)
                self.note(f"{type(errand.effect).__name__} {errand.effect.key}: {type(said).__name__}")
                self.answers.append(Answer(errand, said))

    def _rest(self) -> None:
        """Turn until there is nothing to do now."""
        for _ in range(200):
            turned = self._turn(patient=True)
            if not (turned.errands or turned.more or self.answers):
                return at_rest(self)
        raise AssertionError(f"seed {self.seed}: the engine never comes to rest")

    def _quiet(self) -> None:
        """The world calms down: the pager is well, everything ends and is told of, and a day passes."""
        self.pager.mood = "well"
        for alert in self.source.alerts:
            if alert.starts_at:
                alert.firing = False
                alert.ends_at = alert.ends_at or self.true
        self._let_pass(timedelta(hours=3))  # leases lapse, clocks that were set back catch up, messages arrive
        self.source.under_way.clear()
        for service in self.source.services():
            body = Received("prod", self.clock.now(), self.source.body(service))
            self.database.transact(lambda connection, body=body: Inbox(connection).append([body]))
        self.under_way, self.answers = [], []
        for hours in (1, 1, 2, 4, 8, 8):
            self._rest()
            self._let_pass(timedelta(hours=hours))
        self._rest()


def simulate(seed: int, steps: int = STEPS, kind: type[Simulation] = Simulation) -> Simulation:
    """Tell the story of a seed; gives it when it is over."""
    with scratch_database() as database:
        simulation = kind(seed, database, steps)
        simulation.digest = simulation.run()
        return simulation
