"""What Alertmanager leaves out of a message about a group (`max_alerts`): each group proves its own end alone."""

import pytest
from databases import database, postgresql_url
from world import World, ended, told

from relay.incident.events import AlertsTruncated

__all__ = ["database", "postgresql_url"]

ROUTE = "{}/{" + ",".join(f'team_{number}=~"^(?:payments|checkout|search)$"' for number in range(8)) + "}"
A, B = told("A"), told("B")


@pytest.mark.parametrize("route", ["{}/{x}", ROUTE], ids=["short", "long"])
def test_groups_that_differ_at_the_end_of_their_keys_alone_are_apart(database, route):
    world = World(database)
    world.post(A, group_key=route + ':{alertname="A"}', truncated=5).post(B, group_key=route + ':{alertname="B"}')
    world.after(minutes=1).post(ended(A), group_key=route + ':{alertname="A"}', truncated=5)
    world.post(ended(B), group_key=route + ':{alertname="B"}').after(minutes=1)
    assert world.only().phase == "triggered"
    world.post(ended(A), group_key=route + ':{alertname="A"}')
    assert world.only().phase == "resolved"


@pytest.mark.parametrize("key", ["k" * 295, "🔥" * 295], ids=["ascii", "fire"])
def test_a_key_that_fits_is_known_by_itself_as_it_is_to_a_replica_of_an_earlier_version(database, key):
    assert World(database).post(A, group_key=key, truncated=5).only().truncated == {f"prod:{key}": 5}


def test_what_an_earlier_version_has_kept_of_a_long_key_is_taken_back(database):
    world = World(database)
    world.post(A, group_key=ROUTE)
    world.act("INC-1", AlertsTruncated(f"prod:{ROUTE}"[:300], 5))
    world.post(A, group_key=ROUTE, truncated=2).after(minutes=1)
    assert list(world.only().truncated.values()) == [2]
    world.post(ended(A), group_key=ROUTE)
    assert world.only().phase == "resolved"
