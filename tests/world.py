"""The production engine on a real database and a manual clock, with vendors that answer as a story says."""

import json
from datetime import datetime, timedelta

from playbook import NOON, rules

from relay.engine.rehearsal import Rehearsal
from relay.incident.decide import Rules
from relay.incident.effects import Effect, Page
from relay.incident.events import Event
from relay.incident.incident import Incident
from relay.store.database import Database
from relay.store.outbox import Outbox
from relay.store.reading import verify_timeline

OPEN = ("new", "held", "triggered", "acknowledged")
NOT_ENDED = "0001-01-01T00:00:00Z"


class World(Rehearsal):
    """Everything outside the engine, told step by step: `.post(alert).after(minutes=5).paged("pd-bob")`."""

    def __init__(self, database: Database, made_of: Rules | None = None, start: datetime = NOON) -> None:
        super().__init__(database, made_of or rules(), start)
        self._looked = 0

    # ---- what comes in ----

    def post(self, *alerts: dict, source: str = "prod", group_key: str = "{}:{}", truncated: int = 0) -> "World":
        """Alertmanager posts, and the engine does what there is to do."""
        return self.deliver(*alerts, source=source, group_key=group_key, truncated=truncated).run()

    def deliver(self, *alerts: dict, source: str = "prod", group_key: str = "{}:{}", truncated: int = 0) -> "World":
        """Alertmanager posts; the body is durable, and not yet decided."""
        status = "firing" if any(a["status"] == "firing" for a in alerts) else "resolved"
        body = {"version": "4", "groupKey": group_key, "truncatedAlerts": truncated, "status": status}
        self.receive(json.dumps({**body, "alerts": list(alerts)}).encode(), source)
        return self

    def act(self, id_: str, event: Event) -> "World":
        self.submit(id_, event)
        return self.run()

    # ---- time ----

    def run(self) -> "World":
        """Turn until there is nothing to do now."""
        self.settle()
        return self

    def after(self, **time: float) -> "World":
        self.wait(self.clock.now() + timedelta(**time))
        return self

    # ---- what is so ----

    def took(self, *kinds: type) -> list[Effect]:
        """What vendors were asked since the last look, of some kinds or all."""
        new, self._looked = self.sent[self._looked :], len(self.sent)
        return [sent.effect for sent in new if not kinds or isinstance(sent.effect, kinds)]

    def reached(self) -> list[Effect]:
        """All that has reached a vendor."""
        return [sent.effect for sent in self.sent]

    def paged(self, *targets: str) -> "World":
        """Pages since the last look, by target, and no others."""
        got = [effect.target for effect in self.took(Page)]
        assert got == list(targets), f"paged {got}, expected {list(targets)}"
        return self

    def only(self) -> Incident:
        [incident] = self.incidents()
        return incident

    def kinds(self, id_: str) -> list[str]:
        """The kinds of an incident's timeline."""
        return [entry.kind for entry in self.timeline(id_)]

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
