"""Whole outages, on a real database and a manual clock."""

from dataclasses import replace
from datetime import timedelta

import pytest
from playbook import rules
from world import World, ended, told

from relay.engine.rehearsal import ALL, accept
from relay.engine.settle import Answer
from relay.incident.effects import AcknowledgePage, Page, ResolvePage, UpdatePage
from relay.incident.events import Acknowledged, Delivered, Resolved
from relay.integrations.courier import Again, Never
from relay.store.reading import read_refusals

IT_IS_A_WATCHDOG = rules(watchdog="{matchers: ['alertname=\"HighErrorRate\"']}")


@pytest.fixture
def world(database):
    return World(database)


def test_an_alert_becomes_a_page_an_answer_stops_it_and_the_end_closes_it(world):
    alert = told()
    world.post(alert).paged("pd-ada")
    world.after(minutes=5).paged("pd-bob")
    world.act("INC-1", Acknowledged("bob"))
    assert [e.target for e in world.took(AcknowledgePage)] == ["pd-ada", "pd-bob"]
    world.after(hours=2).paged()
    world.post(ended(alert))
    assert [e.target for e in world.took(ResolvePage)] == ["pd-ada", "pd-bob"]
    assert world.only().phase == "resolved"
    assert world.after(minutes=30).only().phase == "closed"
    assert world.kinds("INC-1") == [
        "Opened", "AlertsFired", "Assessed", "Triggered", "Paged", "Delivered", "DeadlineMissed", "Paged", "Delivered",
        "Acknowledged", "AlertsResolved", "Resolved", "Closed",
    ]  # fmt: skip
    world.sound()


def test_repeats_and_duplicates_from_a_pair_change_nothing(world):
    alert = told()
    world.post(alert).paged("pd-ada")
    for _ in range(5):
        world.post(alert).post(alert, group_key="another")
    world.paged()
    world.post(ended(alert)).post(ended(alert)).post(ended(alert))
    assert len(world.took(ResolvePage)) == 1
    assert len(world.incidents()) == 1


def test_an_alert_that_begins_ends_and_begins_in_one_turn_fires(world):
    first, again = told(starts="2026-01-07T11:50:00Z"), told(starts="2026-01-07T11:55:00Z")
    world.deliver(first).deliver(ended(first, "2026-01-07T11:52:00Z")).deliver(again).run()
    assert [alert.starts_at.minute for alert in world.only().alerts.values()] == [55]
    world.post(ended(again))
    assert world.only().phase == "resolved"


def test_news_of_a_closed_incident_does_not_open_its_group_twice(world):
    errors, slow, down = told("Errors"), told("Slow"), told("Down")
    world.post(errors, slow).post(ended(errors), ended(slow)).after(hours=1)
    assert world.only().phase == "closed"
    again = told("Errors", starts="2026-01-07T12:59:00Z")
    world.deliver(again).deliver(ended(slow), truncated=1).deliver(down).run()
    assert {i.id: (i.phase, len(i.alerts)) for i in world.incidents()} == {
        "INC-1": ("closed", 0),
        "INC-2": ("triggered", 2),
    }


def test_an_incident_grows_and_shrinks_and_ends_with_the_last_alert(world):
    one, two = told("A"), told("B")
    world.post(one).paged("pd-ada")
    world.post(one, two).after(seconds=10)
    assert [u.what for u in world.took(UpdatePage)] == ["2 alerts fire now"]
    assert world.post(ended(one), two).only().phase == "triggered"
    assert world.post(ended(two)).only().phase == "resolved"


@pytest.mark.parametrize("by_hand", [False, True])
def test_news_that_was_still_to_be_told_opens_no_page_of_what_is_over(world, by_hand):
    one, two = told("A"), told("B")
    world.post(one).post(one, two)
    world.act("INC-1", Resolved("fixed", "ana")) if by_hand else world.post(ended(one), ended(two))
    world.after(minutes=1)
    assert [type(effect) for effect in world.took()] == [Page, ResolvePage]


def test_groups_are_incidents_of_their_own(world):
    world.post(told(service="checkout"), told(service="search")).paged("pd-ada", "pd-ada")
    assert {incident.service for incident in world.incidents()} == {"checkout", "search"}


def test_what_fires_again_soon_reopens_and_rings_under_a_new_key(world):
    alert = told()
    world.post(alert).post(ended(alert)).paged("pd-ada")
    again = told(starts="2026-01-07T12:40:00Z")
    world.after(minutes=20).post(again)
    [page] = [e for e in world.reached() if isinstance(e, Page)][1:]
    assert page.key == "INC-1/2.0/L1/first"
    assert world.only().episode == 2


def test_what_fires_again_later_is_another_incident(world):
    world.post(told()).post(ended(told())).after(minutes=31).post(told(starts="2026-01-07T13:40:00Z"))
    assert [i.id for i in world.incidents(*ALL)] == ["INC-2", "INC-1"]


def test_an_echo_of_what_has_just_ended_pages_only_if_it_stays(world):
    alert = told()
    world.post(alert).post(ended(alert)).paged("pd-ada")
    world.post(alert).paged()
    assert world.only().phase == "held"
    assert world.post(ended(alert)).only().phase == "resolved"
    world.post(alert).after(minutes=1).paged("pd-ada")


def test_what_may_be_a_late_copy_is_in_doubt_though_a_firing_after_it_was_never_told_of(world):
    """It may also be a clock that was set back: it waits for its end for a minute, and pages if that does not come."""
    over = ended(told(), "2026-01-07T12:00:30Z")
    world.post(told()).post(over).took()
    world.post(ended(told(starts="2026-01-07T12:00:40Z"), "2026-01-07T12:00:50Z"))
    assert world.post(told()).only().phase == "held"
    assert world.post(over).paged().only().phase == "resolved"
    world.post(told()).after(minutes=1).paged("pd-ada")


def test_a_truncated_message_cannot_close_a_live_outage(world):
    one = told("A")
    world.post(one, truncated=3).paged("pd-ada")
    world.post(ended(one), truncated=3)
    assert world.only().phase == "triggered"
    assert "NoteAdded" in world.kinds("INC-1")
    world.after(minutes=5).paged("pd-bob")


def test_an_alert_that_vanishes_is_not_over(world):
    world.post(told("A"), told("B")).post(told("A"))
    assert len(world.only().alerts) == 2


def test_one_message_may_end_one_incident_and_begin_another(world):
    old, new = told(service="a"), told(service="b")
    world.post(old)
    world.post(ended(old), new)
    assert {i.service: i.phase for i in world.incidents()} == {"b": "triggered", "a": "resolved"}


def test_a_page_is_tried_again_until_it_is_taken_and_always_under_its_key(world):
    outage = [Again("503"), Again("no route"), Again("429", timedelta(seconds=30))]

    def vendor(effect):
        return outage.pop(0) if outage else Delivered(effect.key, effect.target)

    world.vendor = vendor
    world.post(told()).after(minutes=2)
    pages = [e for e in world.reached() if isinstance(e, Page)]
    assert {page.key for page in pages} == {"INC-1/1.0/L1/first"}
    assert len(pages) == 4
    assert "Delivered" in world.kinds("INC-1")


def test_nobody_is_rung_for_what_ended_before_the_page_left(world):
    world.vendor = lambda effect: Again("503") if isinstance(effect, Page) else None
    world.post(told()).post(ended(told())).after(hours=1)
    assert [type(effect) for effect in world.reached()] == [Page, ResolvePage]


@pytest.mark.parametrize("dies", [False, True])
def test_nobody_is_rung_again_for_what_ended_while_its_page_was_being_sent(world, dies):
    world.vendor = lambda effect: Again("it was taken, and the answer is lost")
    world.deliver(told()).turn()
    world.submit("INC-1", Resolved("it is over", "ana"))  # before the answer is taken in
    world.vendor = accept
    (world.restart() if dies else world.run()).after(minutes=2)
    assert [type(effect) for effect in world.took()] == [Page, ResolvePage]


def test_a_refused_page_goes_to_the_next_level_at_once(world):
    world.vendor = lambda e: Never("key revoked") if e.target == "pd-ada" else Delivered(e.key, e.target)
    world.post(told()).paged("pd-ada", "pd-bob")


def test_a_page_that_its_target_refuses_to_close_is_told_of_once_and_somebody_is_paged(world):
    alert = told()
    world.vendor = lambda e: Never("key revoked") if isinstance(e, ResolvePage) else Delivered(e.key, e.target)
    world.post(alert).paged("pd-ada").post(ended(alert)).paged("pd-ada")
    own, first = world.incidents()
    assert (first.phase, own.phase, own.group["alertname"]) == ("resolved", "triggered", "RelayPageNotClosed")
    assert "Undeliverable" in world.kinds(first.id)
    refused = world.database.read(lambda connection: read_refusals(connection, 10))
    assert [(id_, entry.event.because) for id_, entry in refused] == [(first.id, "key revoked")]
    world.act(own.id, Resolved("closed by hand", "ada")).paged()  # its own end is refused, and nobody is paged for that
    assert len(world.incidents()) == 2


def test_news_of_a_page_that_was_refused_is_not_told(world):
    """To PagerDuty it would open the page, and nobody would close it."""
    world.vendor = lambda effect: Again("it is down")
    world.post(told("A")).post(told("A"), told("B")).after(seconds=11)
    world.took()
    world.vendor = lambda effect: (
        Never("no") if effect.target == "pd-ada" and isinstance(effect, Page) else accept(effect)
    )
    world.after(minutes=2)
    assert [(type(effect), effect.target) for effect in world.took()] == [(Page, "pd-ada"), (Page, "pd-bob")]


def test_what_fires_is_not_forgotten_when_news_of_its_page_shares_a_turn_with_an_alert_that_comes_and_goes(world):
    first, second = told("A"), told("B")
    world.deliver(first).turn()  # the page is sent, and the next turn hears that it was taken
    world.deliver(second, group_key="other").deliver(ended(second), group_key="other").run()
    assert (world.only().phase, [alert.name for alert in world.only().alerts.values()]) == ("triggered", ["A"])


def test_a_firing_that_is_decided_after_its_end_is_over(world):
    """Replicas decide what they hold; its message had come first."""
    alert = told()
    world.post(ended(alert))
    world.clock.step(timedelta(seconds=-1))
    world.post(alert).paged()
    assert (world.only().phase, world.took(ResolvePage), world.kinds("INC-1").count("AlertsFired")) == (
        "resolved",
        [],
        1,
    )
    world.post(alert).post(ended(alert)).paged()  # copies
    world.clock.step(timedelta(seconds=2))
    world.post(alert).after(minutes=1).paged("pd-ada")  # told again, later than its end: perhaps it fires


def test_what_fires_again_under_a_clock_that_was_set_back_is_not_taken_for_old(world):
    alert = told()
    world.post(alert).paged("pd-ada").post(ended(alert))
    world.clock.step(timedelta(seconds=-30))
    world.post(alert).after(minutes=2).paged("pd-ada")


def test_a_late_refusal_takes_nothing_from_what_another_has_carried_out(world):
    world.deliver(told("A")).turn()
    late = world._answers.pop().errand
    world.clock.advance(timedelta(seconds=31))
    world.run()  # its lease has ended: it is sent again, and taken
    world.vendor = lambda effect: Again("down")
    world.act("INC-1", Acknowledged("bob"))
    world._answers.append(Answer(late, Never("no")))
    world.run()
    world.vendor = accept
    world.after(minutes=2)
    assert AcknowledgePage in {type(effect) for effect in world.reached()}


def test_a_page_that_was_never_taken_needs_no_closing_by_hand(world):
    world.vendor = lambda effect: Never("forbidden") if effect.target == "pd-ada" else accept(effect)
    world.deliver(told("A")).deliver(ended(told("A"))).run()
    assert [incident.group["alertname"] for incident in world.incidents() if "alertname" in incident.group] == []


def test_a_restart_forgets_nothing_and_sends_what_was_under_way_again_under_its_key(world):
    world.deliver(told()).turn()  # the page is with the vendor, and its answer is never heard
    world.restart().paged("pd-ada", "pd-ada")
    first, again = world.reached()
    assert first.key == again.key
    world.after(minutes=5).paged("pd-bob")


def test_one_body_with_a_broken_alert_keeps_the_good_ones(world):
    body = told("A"), {**told("B"), "labels": None}, told("C", service="c")
    world.post(*body).paged("pd-ada", "pd-ada", "pd-ada")
    world.post(*body).paged()
    assert [i.group.get("service") or i.group["alertname"] for i in world.incidents()] == [
        "c", "checkout", "RelayAlertsQuarantined",
    ]  # fmt: skip


def test_an_alert_that_cannot_be_read_proves_no_end(world):
    world.post(told("A"), {**told("B"), "labels": None}).post(ended(told("A")), {**told("B"), "labels": None})
    assert "triggered" in {i.phase for i in world.incidents() if i.group.get("service") == "checkout"}


def test_what_relay_raises_itself_ends_when_somebody_says_so(world):
    world.post(told("A"), {**told("B"), "labels": None})
    world.act("INC-1", Resolved("mended the exporter", "ana")).after(hours=2)
    assert {i.id: i.phase for i in world.incidents(*ALL)}["INC-1"] == "closed"
    world.post(told("D"), {**told("B"), "labels": None})
    assert world.incidents("triggered")[0].group["alertname"] == "RelayAlertsQuarantined"


class Poisoned(dict):
    """Policies of which one cannot be found, as after a bug."""

    def __getitem__(self, name):
        if name == "poison":
            raise LookupError(name)
        return super().__getitem__(name)


@pytest.fixture
def poisoned(database):
    """A world in which alerts of the service `poison` cannot be decided."""
    made_of = rules(routes='[{matchers: [service="poison"], policy: payments}]')
    broken = made_of.routes[0].model_copy(update={"policy": "poison"})
    return World(database, replace(made_of, policies=Poisoned(made_of.policies), routes=(broken,)))


def test_a_webhook_that_cannot_be_decided_stops_no_other_and_is_paged(poisoned):
    world = poisoned.post(told(service="poison")).post(told(service="fine"))
    undecided, fine = sorted(world.incidents(), key=lambda i: i.service == "fine")
    assert fine.phase == undecided.phase == "triggered"
    assert undecided.group["alertname"] == "RelayWebhookUndecided"
    world.paged("pd-ada", "pd-ada")


def test_the_next_webhook_of_a_group_opens_what_one_that_cannot_be_decided_did_not(poisoned):
    poisoned.deliver(told(service="fine"), told(service="poison")).deliver(told(service="fine")).run()
    assert sorted(i.group.get("alertname", i.service) for i in poisoned.incidents()) == [
        "RelayWebhookUndecided",
        "fine",
    ]
    poisoned.sound().paged("pd-ada", "pd-ada")


def test_a_watchdog_is_heard_and_is_no_incident(world):
    world.post(told("Watchdog")).after(minutes=60)
    assert world.incidents() == []


def test_what_rules_no_longer_take_for_a_watchdog_is_told_of_at_its_next_message(database):
    world = World(database, IT_IS_A_WATCHDOG).post(told())
    assert world.incidents() == []
    world.rules = rules()
    world.post(told()).paged("pd-ada")
    world.post(ended(told()))
    assert {incident.id: incident.phase for incident in world.incidents(*ALL)} == {"INC-1": "resolved"}


def test_the_end_of_what_rules_no_longer_take_for_a_watchdog_is_no_trouble(database):
    world = World(database, IT_IS_A_WATCHDOG).post(told())
    world.rules = rules()
    world.post(ended(told())).paged()
    assert world.incidents(*ALL) == []


@pytest.mark.parametrize("still", [True, False])
def test_what_becomes_a_watchdog_is_no_longer_of_its_incident(world, still):
    world.post(told()).paged("pd-ada")
    world.rules = IT_IS_A_WATCHDOG
    alert = told() if still else ended(told())
    world.post(alert)
    assert (world.only().phase, world.only().alerts) == ("resolved", {})
    world.post(alert).after(hours=2).paged().sound()


def test_what_becomes_a_watchdog_leaves_the_others_to_their_incident(world):
    world.post(told(), told("Other")).paged("pd-ada")
    world.rules = IT_IS_A_WATCHDOG
    world.post(told(), told("Other"))
    assert [alert.name for alert in world.only().alerts.values()] == ["Other"]
    assert world.post(ended(told("Other"))).only().phase == "resolved"


@pytest.mark.servers
def test_twenty_thousand_alerts_in_one_message_are_one_page(world):
    world.post(*(told(pod=f"p{n}") for n in range(20_000))).paged("pd-ada")
    assert len(world.only().alerts) == 20_000
    world.sound()
