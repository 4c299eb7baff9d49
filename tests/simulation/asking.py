"""What Relay asks of its own accord: the production code, asking a source and a pager that are simulated."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from relay.engine.follow import FollowUp
from relay.engine.metrics import Metrics
from relay.engine.reconcile import Asked, Reconcile
from relay.incident.reconcile import Seen
from relay.integrations.alertmanager import read_webhook
from relay.integrations.alertmanager_api import Told, body
from relay.integrations.courier import Again
from relay.store.inbox import Inbox, Received
from simulation.pager import TARGETS

METRICS = Metrics()


@dataclass
class Store:
    """The database without threads, so that a story goes the same way each time."""

    simulation: object

    async def transact(self, work):
        return self.simulation.database.transact(work)

    async def read(self, work):
        return self.simulation.database.read(work)

    async def accept(self, source, text, webhook, now):
        """Take in what reconciling tells, as the intake does: it is durable when this returns."""
        self.simulation.source.ledger.hear(text)
        received = Received(source, now, text)
        self.simulation.database.transact(lambda connection: Inbox(connection).append([received]))


@dataclass
class Shown:
    """The API of the Alertmanagers."""

    simulation: object
    well: bool = True

    async def ask(self, session):
        if not self.well:
            raise Again("it is down")
        source, now = self.simulation.source, self.simulation.true
        alerts = source.shown(now)
        if not alerts:
            return Told({}, now - source.started_at)
        silent = {alert.fingerprint: "a silence" if alert.silenced else "" for alert in alerts}
        told = read_webhook(body("firing", [alert.told() for alert in alerts]), "prod", now).alerts
        return Told({one.fingerprint: Seen(one, silent[one.fingerprint]) for one in told}, now - source.started_at)


@dataclass
class Asking:
    """Reconciling with the source, and following up pages."""

    simulation: object
    runner: asyncio.Runner
    api: Shown = field(init=False)

    def __post_init__(self):
        story, store = self.simulation, Store(self.simulation)
        self.api = Shown(story)
        self.restart()
        couriers = dict.fromkeys(TARGETS, story.pager)
        self._follow = FollowUp(lambda: couriers, store, lambda: story.rules, story.clock, METRICS, lambda: None)

    def restart(self):
        """The process that asks is another."""
        story, store = self.simulation, Store(self.simulation)
        self._asked = Asked((self.api,), since=timedelta(seconds=story.clock.monotonic()))
        self._reconcile = Reconcile(
            {"prod": self._asked}, store, store, lambda: story.rules, story.clock, METRICS, lambda: None
        )

    def source(self):
        """Compare with what the source shows."""
        self.runner.run(self._reconcile.ask("prod", self._asked, None))

    def pager(self):
        """Ask what became of the open pages; gives what was told."""
        self.simulation.pager.told = []
        self.runner.run(self._follow.ask(None))
        return self.simulation.pager.told
