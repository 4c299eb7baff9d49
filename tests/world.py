"""The production engine on a real database and a manual clock, with vendors that answer as a story says."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

from playbook import NOON, rules

from relay.clock import ManualClock
from relay.engine.settle import Answer, Said
from relay.engine.submit import submit
from relay.engine.turn import Turned, turn
from relay.incident.decide import Rules
from relay.incident.effects import Effect, Measure, Page
from relay.incident.events import Delivered, Event, Measured
from relay.incident.incident import Incident
from relay.store.database import Database
from relay.store.inbox import Inbox, Received
from relay.store.outbox import Outbox
from relay.store.reading import list_incidents, read_timeline, verify_timeline
from relay.store.transaction import Transaction

OPEN = ("new", "held", "triggered", "acknowledged")
ALL = (*OPEN, "resolved", "closed")
NOT_ENDED = "0001-01-01T00:00:00Z"


def accept(effect: Effect) -> Said:
    """A vendor that takes everything; a Prometheus that knows nothing."""
    match effect:
        case Page(target, key):
            return Delivered(key, target)
        case Measure(queries):
            return Measured({}, dict.fromkeys(queries, "nobody knows"))
    return None


class World:
    """Everything outside the engine."""

    def __init__(self, database: Database, made_of: Rules | None = None, start: datetime = NOON) -> None:
        self.database = database
        self.rules = made_of or rules()
        self.clock = ManualClock(start)
        self.vendor: Callable[[Effect], Said] = accept
        self.sent: list[Effect] = []
        """What reached a vendor, in order."""
        self._looked = 0
        self._answers: list[Answer] = []

    # ---- what comes in ----

    def post(self, *alerts: dict, source: str = "prod", group_key: str = "{}:{}", truncated: int = 0) -> "World":
        """Alertmanager posts, and the engine does what there is to do."""
        return self.deliver(*alerts, source=source, group_key=group_key, truncated=truncated).run()

    def deliver(self, *alerts: dict, source: str = "prod", group_key: str = "{}:{}", truncated: int = 0) -> "World":
        """Alertmanager posts; the body is durable, and not yet decided."""
        status = "firing" if any(a["status"] == "firing" for a in alerts) else "resolved"
        body = {"version": "4", "groupKey": group_key, "truncatedAlerts": truncated, "status": status}
        received = Received(source, self.clock.now(), json.dumps({**body, "alerts": list(alerts)}).encode())
        self.database.transact(lambda connection: Inbox(connection).append([received]))
        return self

    def act(self, id_: str, event: Event) -> "World":
        def work(connection):
            transaction = Transaction(connection)
            submit(transaction, id_, event, self.rules, self.clock.now())
            transaction.write(self.clock.now())

        self.database.transact(work)
        return self.run()

    # ---- time ----

    def run(self) -> "World":
        """Turn until there is nothing to do now."""
        for _ in range(1000):
            turned = self.turn()
            if not (turned.errands or turned.more or self._answers):
                return self
        raise AssertionError("the engine never comes to rest")

    def turn(self) -> Turned:
        answers, self._answers = self._answers, []
        now = self.clock.now()
        turned = self.database.transact(
            lambda connection: turn(connection, (), answers, lambda target: 32, (), self.rules, now)
        )
        for errand in turned.errands:
            self.sent.append(errand.effect)
            self._answers.append(Answer(errand, self.vendor(errand.effect)))
        self.next_moment = turned.next_moment
        return turned

    def after(self, **time: float) -> "World":
        until = self.clock.now() + timedelta(**time)
        self.run()
        while self.next_moment is not None and self.next_moment <= until:
            self.clock.advance(max(self.next_moment - self.clock.now(), timedelta()))
            self.run()
        self.clock.advance(until - self.clock.now())
        return self.run()

    # ---- what is so ----

    def took(self, *kinds: type) -> list[Effect]:
        """What vendors were asked since the last look, of some kinds or all."""
        new, self._looked = self.sent[self._looked :], len(self.sent)
        return [effect for effect in new if not kinds or isinstance(effect, kinds)]

    def paged(self, *targets: str) -> "World":
        """Pages since the last look, by target, and no others."""
        got = [effect.target for effect in self.took(Page)]
        assert got == list(targets), f"paged {got}, expected {list(targets)}"
        return self

    def incidents(self, *phases: str) -> list[Incident]:
        return self.database.read(lambda c: list_incidents(c, phases or ALL, 500, None))

    def only(self) -> Incident:
        [incident] = self.incidents()
        return incident

    def timeline(self, id_: str) -> list[str]:
        return [entry.kind for entry in self.database.read(lambda c: read_timeline(c, id_))]

    def sound(self) -> "World":
        """Every timeline verifies."""
        for incident in self.incidents():
            assert self.database.read(lambda c, id_=incident.id: verify_timeline(c, id_)) == []
        return self

    def restart(self) -> "World":
        """The process dies and comes back: what it held in memory is gone."""
        self._answers = []
        self.database.transact(lambda connection: Outbox(connection).release_all(self.clock.now()))
        return self.run()


def told(
    name: str = "HighErrorRate",
    status: str = "firing",
    starts: str = "2026-01-07T12:00:00Z",
    ends: str = NOT_ENDED,
    fingerprint: str | None = None,
    annotations: dict | None = None,
    **labels: str,
) -> dict:
    """An alert as Alertmanager writes it."""
    labels = {"alertname": name, "service": "checkout", **labels}
    return {
        "status": status,
        "labels": labels,
        "annotations": annotations or {"summary": f"{name} is bad"},
        "startsAt": starts,
        "endsAt": ends,
        "generatorURL": "",
        "fingerprint": fingerprint or f"{hash(tuple(sorted(labels.items()))) & 0xFFFFFFFFFFFFFFFF:016x}",
    }


def ended(alert: dict, ends: str = "2026-01-07T12:30:00Z") -> dict:
    return {**alert, "status": "resolved", "endsAt": ends}
