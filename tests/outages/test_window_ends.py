"""Outages in maintenance windows: what the engine makes of many incidents at once."""

import pytest
from playbook import NOON, rules
from world import World, told

from relay.incident.effects import Page
from relay.store.incidents import Incidents

BACKUP = """
  - name: backup
    reason: the backup saturates it
    owner: team-db
    zone: UTC
    starts: 2026-01-07T12:00
    ends: 2026-01-07T13:00
    matchers: ['dc="1"']
"""
SERVICES = ("a", "b", "c", "d", "e", "f", "g")


@pytest.fixture
def world(database):
    return World(database, rules(windows=BACKUP))


def held_by_the_same(page):
    return [line for line in page.notice.text.splitlines() if line.startswith("Held by the same")]


def test_what_one_window_held_is_paged_at_once_the_worst_first_and_each_page_names_the_others(world):
    worst = {"f": "critical"}
    world.post(*(told(service=service, dc="1", severity=worst.get(service, "")) for service in SERVICES))
    pages = world.after(hours=1).took(Page)
    assert [page.key for page in pages[:2]] == ["INC-6/1.0/L1/first", "INC-1/1.0/L1/first"]
    assert len(pages) == len(SERVICES)
    assert held_by_the_same(pages[0]) == ["Held by the same: INC-1, INC-2, INC-3, INC-4, INC-5 and 1 more"]
    assert held_by_the_same(pages[1]) == ["Held by the same: INC-6, INC-2, INC-3, INC-4, INC-5 and 1 more"]


def test_who_is_alone_is_alone(world):
    [page] = world.post(told(dc="1")).after(hours=1).took(Page)
    assert held_by_the_same(page) == []


def test_what_a_window_held_that_is_taken_away_names_the_others_too(world):
    world.post(told(service="a", dc="1"), told(service="b", dc="1")).paged()
    world.rules = rules()
    world.database.transact(lambda connection: Incidents(connection).look_again(NOON))
    assert [held_by_the_same(page) for page in world.run().took(Page)] == [
        ["Held by the same: INC-2"],
        ["Held by the same: INC-1"],
    ]
