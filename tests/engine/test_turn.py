"""One turn: what is under way stays with who carries it out, however the clock is set."""

import json
import threading
from datetime import timedelta

import pytest
from databases import database, emptied, postgresql_url
from playbook import NOON, rules
from world import World, ended, told

from relay.engine.rehearsal import accept
from relay.engine.settle import Answer
from relay.engine.turn import turn
from relay.incident.effects import Page, ResolvePage
from relay.incident.events import Acknowledged, Delivered
from relay.integrations.courier import Again
from relay.store.inbox import Inbox, Received
from relay.store.outbox import Left

__all__ = ["database", "postgresql_url"]

HOUR = timedelta(hours=1, seconds=2)


def a_turn(connection, now, *alerts, under_way=(), answers=(), room=32, look=True):
    """Turn, after Alertmanager has posted."""
    if alerts:
        body = json.dumps({"version": "4", "groupKey": "g", "status": "x", "alerts": alerts}).encode()
        Inbox(connection).append([Received("prod", now, body)])
    return turn(connection, (), answers, lambda target: room, (), rules(), now, look=look, under_way=under_way)


@pytest.fixture
def turned(database):
    """Turn in a transaction; gives what is to be carried out."""

    def once(*told, whole=False, **how):
        turned = database.transact(lambda connection: a_turn(connection, *told, **how))
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


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def test_who_has_lost_a_claim_does_not_let_the_end_overtake_the_page(turned):
    [of_a] = turned(NOON, told())  # replica A, which is suspended in the midst of it
    [of_b] = turned(after(31))  # its lease has ended: replica B carries it out, slowly
    assert of_a.effect == of_b.effect
    turned(after(32), answers=[Answer(of_a, Again("no answer within 20 s"))])  # A goes on
    assert turned(after(33), ended(told()), under_way=[of_b]) == []  # no end while B still rings


@pytest.mark.servers
def test_a_page_that_fails_while_its_incident_ends_in_another_transaction_is_not_tried_again(postgresql_url):
    database = emptied(postgresql_url)
    [page] = database.transact(lambda connection: a_turn(connection, NOON, told())).errands
    refused = [Answer(page, Again("503"))]

    def fails(connection):
        a_turn(connection, after(2), answers=refused, look=False)

    def ends(connection):
        a_turn(connection, after(2), ended(told()), look=False)
        fails_beside.start()
        fails_beside.join(0.5)  # it waits for this one, which holds the incident

    fails_beside = threading.Thread(target=database.transact, args=(fails,))
    database.transact(ends)
    fails_beside.join()
    later = database.transact(lambda connection: a_turn(connection, after(10)))
    assert [type(errand.effect) for errand in later.errands] == [ResolvePage]
    database.close()


def test_a_page_that_failed_is_not_tried_again_once_somebody_has_answered(database):
    world = World(database)
    world.vendor = lambda effect: Again("503")
    world.deliver(told()).turn()  # on its way
    world.submit("INC-1", Acknowledged("bob"))
    world.took()
    world.vendor = accept
    world.run().after(minutes=1).paged()
