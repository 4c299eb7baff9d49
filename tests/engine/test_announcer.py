"""Maintenance is announced: once, in time, and not long after."""

from datetime import timedelta

import pytest
from playbook import rules
from world import World

from relay.engine.announcer import Announcer
from relay.engine.rehearsal import scratch_database
from relay.engine.writer import Writer
from relay.incident.effects import Announce

WINDOW = """
  - name: backup
    reason: it is loud
    owner: team-db
    zone: Europe/Berlin
    starts: 2026-01-07T15:00
    ends: 2026-01-07T16:00
    matchers: ['service="checkout"']
    announce: {to: [pd-noc, pd-ada], before: [1h, 10m], at_start: true, at_end: true}
"""


@pytest.fixture
async def announcing():
    with scratch_database() as database:
        world = World(database, rules(windows=WINDOW))
        writer = Writer(database)

        def announcer():
            return Announcer(lambda: world.rules.windows, writer, world.clock, lambda: None)

        yield world, announcer
        writer.close()


async def test_each_thing_is_told_once_to_each_target(announcing):
    world, announcer = announcing
    one, told = announcer(), []
    for _ in range(300):
        world.clock.advance(timedelta(minutes=1))
        await one.announce()
        told += [(f"{world.clock.now():%H:%M}", e.title, e.target) for e in world.run().took(Announce)]
    assert told[::2] == [
        ("13:00", "Maintenance in 1h: backup", "pd-noc"),
        ("13:50", "Maintenance in 10m: backup", "pd-noc"),
        ("14:00", "Maintenance begins: backup", "pd-noc"),
        ("15:00", "Maintenance has ended: backup", "pd-noc"),
    ]
    assert [target for _, _, target in told[1::2]] == ["pd-ada"] * 4


async def test_it_says_when_in_the_zone_of_the_window_and_why(announcing):
    world, announcer = announcing
    world.clock.advance(timedelta(hours=2))
    await announcer().announce()
    text = world.run().took(Announce)[0].text
    assert "it is loud" in text
    assert "When: Wed 07 Jan 2026 15:00 to Wed 07 Jan 16:00 (Europe/Berlin)" in text
    assert 'Covers: service="checkout"\nOwner: team-db\nRule: rules.yaml:23' in text


async def test_another_replica_and_a_restart_tell_nothing_again(announcing):
    world, announcer = announcing
    world.clock.advance(timedelta(hours=1))
    for _ in range(3):
        await announcer().announce()
    assert len(world.run().took(Announce)) == 2


async def test_what_is_long_past_is_not_told(announcing):
    world, announcer = announcing
    world.clock.advance(timedelta(hours=1, minutes=11))
    await announcer().announce()
    assert world.run().took(Announce) == []
