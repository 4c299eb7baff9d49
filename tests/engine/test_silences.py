"""What a source keeps to itself holds here, no longer than it is so: in virtual time, on both databases."""

from datetime import timedelta

import pytest
from databases import database, postgresql_url
from world import World, ended, told

from relay.engine.intake import Intake, tell
from relay.engine.metrics import Metrics
from relay.engine.reconcile import Asked, Reconcile
from relay.engine.writer import Writer
from relay.incident.effects import Page, ResolvePage
from relay.incident.events import Acknowledged, Resolved
from relay.incident.reconcile import Seen
from relay.integrations.alertmanager import read_alerts
from relay.integrations.alertmanager_api import Told
from relay.integrations.courier import Again

__all__ = ["database", "postgresql_url"]

SILENCE = "silence 5ec75ec7 in Alertmanager by ana: planned work"
ALERT = told()


class Source:
    """An Alertmanager that shows what a story says."""

    def __init__(self):
        self.shown = {}
        self.up_for = timedelta(days=1)
        self.away = False

    def shows(self, muted_by=""):
        [alert], _ = read_alerts([ALERT], "prod", None)
        self.shown = {alert.fingerprint: Seen(alert, muted_by)}

    async def ask(self, session):
        if self.away:
            raise Again("it is away")
        return Told(self.shown, self.up_for)


class Replica:
    """A Relay that asks the source when the story says so."""

    def __init__(self, world, source, name="prod"):
        self.world, self.name = world, name
        self.writer, self._intake = Writer(world.database), Intake()
        self._intake.came = self._stores
        self.asked = Asked([source], since=timedelta(seconds=world.clock.monotonic()))
        self._reconcile = Reconcile(
            {name: self.asked}, self.writer, self._intake, lambda: world.rules, world.clock, Metrics(), lambda: None
        )

    def _stores(self):
        """Make durable what it tells itself; the world's next turn decides it."""
        waiting = self._intake.take()
        for one in waiting:
            self.world.receive(one.arrived.received.body, one.arrived.received.source)
        tell(waiting)

    async def asks(self):
        await self._reconcile.ask(self.name, self.asked, None)
        self.world.run()

    async def starts(self):
        """Start without a source to ask."""
        reconcile = Reconcile(
            {}, self.writer, Intake(), lambda: self.world.rules, self.world.clock, Metrics(), lambda: None
        )
        await reconcile.run()
        self.world.run()


@pytest.fixture
def world(database):
    return World(database).post(ALERT).paged("pd-ada")


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def replicas(world, source):
    """Makes replicas that see a source."""
    made = []

    def make(seen=source):
        made.append(Replica(world, seen))
        return made[-1]

    yield make
    for replica in made:
        replica.writer.close()


@pytest.fixture
async def silenced(world, source, replicas):
    """A replica that has found the incident's alert silenced."""
    source.shows(SILENCE)
    replica = replicas()
    await replica.asks()
    assert (world.only().phase, world.took(ResolvePage)[0].target) == ("held", "pd-ada")
    return replica


async def minutes(world, count, *replicas):
    for _ in range(count):
        world.after(minutes=1)
        for replica in replicas:
            await replica.asks()


async def test_what_is_silenced_and_not_shown_for_a_while_pages_nobody(world, source, silenced):
    source.shown = {}  # it has ended, or Alertmanager was restarted and has not heard of it yet
    await minutes(world, 4, silenced)
    world.paged()
    source.shows(SILENCE)
    await minutes(world, 10, silenced)
    world.paged()
    source.shows()
    await minutes(world, 1, silenced)
    world.paged("pd-ada")


async def test_a_silence_that_ends_while_it_is_resolved_holds_nothing_when_it_comes_back(world, source, silenced):
    world.act("INC-1", Resolved("done", "ana"))
    source.shows()
    await minutes(world, 1, silenced)
    world.after(minutes=10).paged("pd-ada")


async def test_a_silence_that_lasts_holds_it_when_it_comes_back(world, silenced):
    world.act("INC-1", Resolved("done", "ana"))
    await minutes(world, 15, silenced)
    world.paged()
    assert (world.only().phase, world.only().episode) == ("held", 2)


async def test_a_silence_says_nothing_of_the_next_time_that_it_fires(world, source, silenced):
    world.post(ended(ALERT))
    assert (world.only().phase, world.only().muted) == ("resolved", {})
    world.after(minutes=10).post(told(starts="2026-01-07T12:09:00Z")).paged("pd-ada")


async def test_a_silence_that_ends_during_a_restart_does_not_outlast_it(world, source, replicas):
    """It is an answer, too: as long as it lasts, that of somebody who has acknowledged does not expire."""
    world.act("INC-1", Acknowledged("ada"))
    source.shows(SILENCE)
    await replicas().asks()
    assert world.only().muted
    source.shows()
    await replicas().asks()
    assert (world.only().phase, world.only().muted) == ("acknowledged", {})


async def test_an_alertmanager_that_has_just_been_restarted_proves_no_absence(world, source, replicas):
    """It has to be told again what fires; only what it does not show after that time may be over."""
    replica = replicas()
    for up_for in range(10):
        assert world.only().phase == "triggered"
        source.shown, source.up_for = {}, timedelta(minutes=up_for)
        await minutes(world, 1, replica)
    await minutes(world, 1, replica)
    assert world.only().phase == "resolved"


async def test_what_a_source_has_muted_that_is_asked_no_more_pages(world, silenced):
    await silenced.starts()
    world.paged("pd-ada")


# ---- several replicas ----


async def test_another_replica_unmutes_what_the_one_that_muted_it_cannot(world, source, silenced, replicas):
    other = replicas()
    source.shows()
    await other.asks()
    world.paged("pd-ada")


async def test_a_replica_that_cannot_ask_does_not_unmute_what_another_is_told_of(world, silenced, replicas):
    away = Source()
    away.away = True
    blind = replicas(away)
    await minutes(world, 30, silenced, blind)
    world.paged()
    assert world.only().phase == "held"
    await minutes(world, 11, blind)  # and now nobody is told of anything
    assert [type(effect) for effect in world.took(Page)] == [Page]
