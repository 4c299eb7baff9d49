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
from relay.store.outbox import Left

__all__ = ["database", "postgresql_url"]

HOUR = timedelta(hours=1, seconds=2)


@pytest.fixture
def turned(database):
    """Turn, after Alertmanager has posted; gives what is to be carried out."""

    def once(now, *alerts, under_way=(), answers=(), whole=False, room=32, look=True):
        body = json.dumps({"version": "4", "groupKey": "g", "status": "x", "alerts": alerts}).encode()

        def work(connection):
            if alerts:
                Inbox(connection).append([Received("prod", now, body)])
            return turn(connection, (), answers, lambda target: room, (), rules(), now, look=look, under_way=under_way)

        turned = database.transact(work)
        return turned if whole else turned.errands

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


def test_a_page_without_room_needs_no_look_until_there_is_room(turned):
    page = turned(NOON, told(), room=0, look=False, whole=True)
    assert (page.errands, page.left, page.more) == ([], Left.FULL, False)
    assert turned(NOON, room=0, whole=True).left is Left.FULL
    assert [type(errand.effect) for errand in turned(NOON)] == [Page]


def test_what_a_turn_does_not_claim_itself_is_looked_for_at_once(turned):
    [page] = turned(NOON, told())
    answer = Answer(page, Delivered(page.effect.key, page.effect.target))
    end = turned(NOON, ended(told()), answers=[answer], look=False, whole=True)
    assert (end.errands, end.left, end.more) == ([], Left.CLAIMABLE, True)
    assert turned(NOON, whole=True).left is Left.NOTHING
