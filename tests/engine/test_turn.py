"""One turn: what is under way stays with who carries it out, however the clock is set."""

import json
from datetime import timedelta

import pytest
from databases import database, postgresql_url
from playbook import NOON, rules
from world import ended, told

from relay.engine.settle import Answer
from relay.engine.turn import turn
from relay.incident.effects import Page, ResolvePage
from relay.incident.events import Delivered
from relay.store.inbox import Inbox, Received

__all__ = ["database", "postgresql_url"]

HOUR = timedelta(hours=1, seconds=2)


@pytest.fixture
def turned(database):
    """Turn, after Alertmanager has posted; gives what is to be carried out."""

    def once(now, *alerts, under_way=(), answers=()):
        body = json.dumps({"version": "4", "groupKey": "g", "status": "x", "alerts": alerts}).encode()

        def work(connection):
            if alerts:
                Inbox(connection).append([Received("prod", now, body)])
            return turn(connection, (), answers, lambda target: 32, (), rules(), now, under_way=under_way)

        return database.transact(work).errands

    return once


def test_what_is_under_way_is_not_claimed_twice_when_the_clock_is_set(turned):
    under_way = turned(NOON, told())
    assert [type(errand.effect) for errand in under_way] == [Page]
    assert not [e for e in turned(NOON + HOUR, under_way=under_way) if e.effect.target == "pd-ada"]


def test_the_end_of_a_page_waits_for_the_page_when_the_clock_is_set(turned):
    [page] = under_way = turned(NOON, told())
    assert turned(NOON + HOUR, ended(told()), under_way=under_way) == []
    answer = Answer(page, Delivered(page.effect.key, page.effect.target))
    assert [type(errand.effect) for errand in turned(NOON + HOUR, answers=[answer])] == [ResolvePage]


def test_what_a_process_has_left_falls_due_again_at_the_end_of_its_lease(turned):
    [page] = turned(NOON, told())
    assert turned(NOON + timedelta(seconds=29)) == []
    assert [errand.effect for errand in turned(NOON + timedelta(seconds=31))] == [page.effect]
