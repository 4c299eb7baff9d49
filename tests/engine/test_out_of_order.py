"""What comes out of order: starts that go back, an end before its beginning, news of a page before the page."""

import json
from datetime import timedelta

from databases import database, postgresql_url
from playbook import NOON
from world import World, ended, told

from relay.engine.drain import Drained, decide_stored
from relay.engine.submit import wake
from relay.incident.effects import Page
from relay.integrations.alertmanager_api import body
from relay.store.inbox import Inbox, Received
from relay.store.transaction import Transaction

__all__ = ["database", "postgresql_url"]


def test_an_alert_that_fires_with_an_earlier_start_than_the_one_that_ended_is_paged(database):
    world = World(database)
    world.post(told(starts="2026-01-07T13:00:00Z")).paged("pd-ada")  # its Prometheus' clock is an hour ahead
    world.after(minutes=3).post(ended(told(starts="2026-01-07T13:00:00Z"), "2026-01-07T13:03:00Z"))
    world.after(minutes=20).took()
    world.post(told(starts="2026-01-07T12:23:00Z")).paged("pd-ada")  # and now it is right


def test_the_same_when_the_source_is_asked(database):
    world = World(database)
    world.post(told(starts="2026-01-07T12:00:15Z")).after(minutes=3)
    world.post(ended(told(starts="2026-01-07T12:00:15Z"), "2026-01-07T12:03:00Z")).after(minutes=20).took()
    world.receive(body("firing", [told(starts="2026-01-07T12:00:00Z")]))
    world.run().paged("pd-ada")


def test_an_end_that_is_later_than_the_start_ends_the_firing(database):
    world = World(database)
    world.post(told(starts="2026-01-07T12:00:15Z")).paged("pd-ada")
    world.after(minutes=2).post(ended(told(starts="2026-01-07T12:00:00Z"), "2026-01-07T12:02:00Z"))
    assert world.only().phase == "resolved"


def test_a_firing_that_its_end_has_overtaken_rings_nobody_the_second_time_either(database):
    world = World(database)
    world.post(told()).after(minutes=1).post(ended(told(), "2026-01-07T12:01:00Z")).after(hours=2).took()
    again = told(starts="2026-01-07T14:00:00Z")
    fires, ends = (
        Received("prod", world.clock.now() + timedelta(seconds=after), json.dumps({"alerts": [alert]}).encode())
        for after, alert in ((0, again), (1, ended(again, "2026-01-07T14:00:30Z")))
    )
    world.clock.advance(timedelta(seconds=2))
    for one in (ends, fires):  # one replica holds the firing, which came first, while another decides the end
        world.database.transact(lambda connection, one=one: Inbox(connection).append([one]))
        world.run()
    world.after(minutes=5).paged()


def test_a_page_says_how_severe_it_is_and_news_of_it_does_not_go_before_it(database):
    world = World(database)
    world.deliver(told("Slow")).deliver(told("Down", severity="critical"), group_key="other").run()
    first, *_ = world.took()
    assert (type(first), first.notice.severity) == (Page, 2)


def test_a_webhook_opens_a_new_incident_where_that_of_its_group_was_closed_in_the_same_transaction(database):
    world = World(database)
    world.post(told()).post(ended(told()))
    later = NOON + timedelta(hours=1)
    world.deliver(told("Another"))

    def work(connection):
        transaction = Transaction(connection)
        wake(transaction, world.rules, later, 10)
        bodies, _ = transaction.inbox.waiting(10, 10**6)
        decide_stored(transaction, bodies, world.rules, later, Drained())
        transaction.write(later)

    database.transact(work)
    assert [(i.id, i.phase, i.service) for i in world.incidents()] == [
        ("INC-2", "triggered", "checkout"),
        ("INC-1", "closed", "checkout"),
    ]
    world.sound()
