"""News of pagers moves incidents: once, the right ones, and never in a circle. On both databases."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest
from databases import database, postgresql_url
from playbook import RULES, rules
from world import World, told

from relay.engine import follow
from relay.engine.follow import FollowUp
from relay.engine.hear import hear
from relay.engine.metrics import Metrics
from relay.engine.rehearsal import accept
from relay.engine.writer import Writer
from relay.incident.effects import AcknowledgePage, Page, ResolvePage, UpdatePage
from relay.incident.events import AlertsMuted
from relay.integrations.courier import Again
from relay.integrations.fitting import fold_key
from relay.integrations.news import News
from relay.store.transaction import Transaction

__all__ = ["database", "postgresql_url"]

KEY = "INC-1/1.0/L1/first"
ACK = News(KEY, "acknowledged", "Ada (PagerDuty)")


@pytest.fixture
def world(database):
    return World(database).post(told())


def hears(world, *news, speaks_of=lambda target: True):
    def work(connection):
        transaction = Transaction(connection)
        hear(transaction, news, speaks_of, world.rules, world.clock.now())
        transaction.write(world.clock.now())

    world.database.transact(work)
    world.run().sound()
    return world


def test_a_pager_moves_no_page_of_another(world):
    hears(world, ACK, News(KEY, "closed", "eve (Opsgenie)"), speaks_of=lambda target: target != "pd-ada")
    assert states(world) == [("INC-1", "triggered")]
    hears(world, ACK)
    assert states(world) == [("INC-1", "acknowledged")]


def states(world):
    return sorted((incident.id, incident.phase) for incident in world.incidents())


def test_an_answer_is_not_told_back_to_the_pager_it_came_from_and_a_close_is(world):
    world.after(minutes=5).took()
    hears(world, ACK)
    assert [(e.target, e.by) for e in world.took()] == [("pd-bob", "Ada (PagerDuty)")]
    hears(world, replace(ACK, what="closed"))
    assert [(type(e), e.target) for e in world.took()] == [(ResolvePage, "pd-ada"), (ResolvePage, "pd-bob")]


def test_a_page_that_is_still_tried_does_not_ring_again_after_somebody_has_closed_it(database):
    world = World(database)
    world.vendor = lambda effect: Again("it was taken, and the answer is lost")
    world.post(told()).took()
    world.vendor = accept
    hears(world, replace(ACK, what="closed")).after(minutes=2)
    assert [(type(e), e.key) for e in world.took()] == [(ResolvePage, KEY)]


def test_a_page_that_is_still_tried_when_another_takes_its_place_is_tried_no_more(database):
    world = World(database)
    world.vendor = lambda effect: Again("it was taken, and the answer is lost")
    world.post(told()).took()
    world.vendor = accept
    hears(world, replace(ACK, what="timed_out")).after(minutes=2)
    assert sorted((type(e).__name__, e.key) for e in world.took()) == [("Page", f"{KEY}+1"), ("ResolvePage", KEY)]


def test_news_of_a_close_closes_what_was_rung_by_an_update_since(world):
    """To PagerDuty an update is a trigger: of a page that was closed there, and Relay has not heard, it rings anew."""
    world.after(seconds=30).took()
    world.post(told(), told("Slow")).after(seconds=10)
    assert [type(e) for e in world.took()] == [UpdatePage]
    hears(world, replace(ACK, what="closed"))
    assert [(type(e), e.key) for e in world.took()] == [(ResolvePage, KEY)]


@pytest.mark.parametrize(
    "key",
    [
        "",
        "INC-1",
        "INC-1/1.0/L1/somebody",
        "INC-1/2.0/L1/first",
        "INC-9/1.0/L1/first",
        "INC-",
        "INC-²/1.0/L1/first",
        "\x00",
        "INC-\x00/1",
        "INC-\ud800/1",
        "INC-1/\ud800",
        "INC-" + "9" * 5_000,
        "a key of somebody else's",
    ],
)
def test_what_is_not_ours_is_nothing(world, key):
    world.took()
    hears(world, *(News(key, what, "Ada (PagerDuty)") for what in ("acknowledged", "closed", "timed_out")))
    assert (states(world), world.took()) == ([("INC-1", "triggered")], [])


def test_a_key_that_a_pager_shortens_is_known(database):
    long = "L" * 600
    world = World(database, rules(RULES.replace("name: L1", f"name: {long}"))).post(told())
    hears(world, News(fold_key(f"INC-1/1.0/{long}/first", 255), "acknowledged", "Ada (PagerDuty)"))
    assert states(world) == [("INC-1", "acknowledged")]


def test_one_answer_may_be_for_several_incidents(world):
    world.post(told(service="search")).post(told(service="cart"))
    hears(world, *(replace(ACK, key=f"INC-{n}/1.0/L1/first") for n in (3, 1)))
    assert states(world) == [("INC-1", "acknowledged"), ("INC-2", "triggered"), ("INC-3", "acknowledged")]


def test_a_repeat_is_no_second_line(world):
    before = len(hears(world, ACK).kinds("INC-1"))
    assert len(hears(world, ACK, ACK).kinds("INC-1")) == before


def test_who_closes_it_is_believed_for_ten_minutes(world):
    world.took()
    hears(world, replace(ACK, what="closed"))
    world.after(minutes=9).paged()
    world.after(minutes=2).paged("pd-ada")
    assert world.only().rings[0].key == "INC-1/2.0/L1/first"


def closes(world, *targets):
    """Every open page is closed by its pager itself."""
    found = [ring for ring in world.only().rings if not targets or ring.target in targets]
    return hears(world, *(News(ring.key, "timed_out", "somebody (PagerDuty)") for ring in found))


def test_a_page_that_its_pager_closes_rings_again_and_the_escalation_goes_on_as_it_was(world):
    world.after(minutes=3).paged("pd-ada")
    closes(world).paged("pd-ada")
    assert [ring.key for ring in world.only().rings] == [f"{KEY}+1"]
    assert (world.only().episode, world.only().phase) == (1, "triggered")
    world.after(minutes=1, seconds=59).paged()
    world.after(seconds=1).paged("pd-bob")
    closes(world, "pd-bob").paged("pd-bob")
    world.after(minutes=10).paged("pd-chen")
    hears(world, replace(ACK, key=f"{KEY}+1"))
    assert world.only().phase == "acknowledged"


def test_a_pager_that_closes_each_page_at_once_rings_nobody_without_end(world):
    world.took()
    for _ in range(20):
        closes(world)
    assert [e.key for e in world.took(Page)] == [f"{KEY}+1"]
    world.after(minutes=1)
    closes(world)
    assert [e.key for e in world.took(Page)] == [f"{KEY}+2"]
    assert world.kinds("INC-1").count("NoteAdded") == 0


def test_a_clock_that_is_set_back_lets_nobody_ring_later(world):
    closes(world).took()
    world.clock.step(-timedelta(hours=3))
    closes(world)
    assert [e.key for e in world.took(Page)] == [f"{KEY}+2"]


def test_a_pager_that_is_asked_each_minute_and_closes_each_page_keeps_nobody_from_the_next_level(world):
    for _ in range(120):
        world.after(minutes=1)
        closes(world)
    levels = Counter(page.key.split("/")[2] for page in world.took(Page))
    assert levels["L1"] == 7  # at 0, 1, 2, 4, 8, 16 and 32 minutes: by then the last resort is asked, each half hour
    assert set(levels) == {"L1", "L2", "L3", "last resort"}
    assert levels.total() < 45


def test_a_pager_that_closes_a_page_of_relays_own_says_nothing_of_its_end(database):
    world = World(database).post(told("A"), {**told("B"), "labels": None})
    [own] = [incident for incident in world.incidents() if "RelayAlertsQuarantined" in incident.group.values()]
    world.took()
    hears(world, News(own.rings[0].key, "timed_out", "somebody (PagerDuty)"))
    assert {incident.phase for incident in world.incidents()} == {"triggered"}
    assert len(world.took(Page)) == 1


def test_a_pager_that_closes_an_answered_page_asks_again(world):
    hears(world, ACK).took()
    closes(world).paged("pd-ada")
    assert world.only().rings[0].key == "INC-1/2.0/L1/first"


# ---- an answer that is no longer believed ----


@pytest.fixture
def expiring(database):
    policy = rules().policies["payments"].model_copy(update={"ack_expires": timedelta(hours=1)})
    return World(database, replace(rules(), policies={"payments": policy})).post(told())


def test_the_old_answer_does_not_count_for_the_new_page(expiring):
    hears(expiring, ACK)
    expiring.took()
    expiring.after(hours=1)
    assert {(type(e), e.key) for e in expiring.took()} == {(Page, "INC-1/1.1/L1/first"), (ResolvePage, KEY)}
    hears(expiring, ACK, replace(ACK, what="closed"))
    assert (states(expiring), expiring.took()) == ([("INC-1", "triggered")], [])
    hears(expiring, replace(ACK, key="INC-1/1.1/L1/first"))
    assert (states(expiring), expiring.took(AcknowledgePage)) == ([("INC-1", "acknowledged")], [])


def test_a_silence_is_an_answer_as_long_as_it_lasts(expiring):
    hears(expiring, ACK)
    [key] = expiring.only().alerts
    expiring.act("INC-1", AlertsMuted(key[0], {key[1]: "silence 1"})).took()
    expiring.after(hours=3).paged()
    expiring.act("INC-1", AlertsMuted(key[0], {}))
    expiring.after(hours=1).paged("pd-ada")


# ---- asking ----


class Pager:
    """A courier whose pager says what it was told to say."""

    def __init__(self):
        self.asked = []
        self.says = {}
        self.down = False

    async def carry_out(self, effect, session):
        raise AssertionError("nobody sends anything here")

    async def ask_about(self, key, session):
        self.asked.append(key)
        if self.down:
            raise Again("it is down")
        return self.says.get(key)


@pytest.fixture
async def asking(world):
    pagers, writer, metrics = {"pd-ada": Pager(), "pd-bob": Pager()}, Writer(world.database), Metrics()
    up = FollowUp(lambda: pagers, writer, lambda: world.rules, world.clock, metrics, lambda: None)
    async with aiohttp.ClientSession() as session:

        async def ask():
            for pager in pagers.values():
                pager.asked.clear()
            await up.ask(session)

        yield ask, pagers, metrics
    writer.close()


async def test_a_pager_that_does_not_answer_changes_nothing_and_is_not_pestered(world, asking):
    ask, pagers, metrics = asking
    world.post(*(told(service=f"s{n}") for n in range(20)))
    pagers["pd-ada"].down = True
    await ask()
    assert len(pagers["pd-ada"].asked) <= follow.AT_ONCE
    assert {phase for _, phase in states(world)} == {"triggered"}
    assert metrics.follow_up_failures.labels("pd-ada")._value.get() == len(pagers["pd-ada"].asked)


async def test_in_time_every_page_is_asked_about_the_worst_each_time(world, asking):
    ask, pagers, _ = asking
    world.post(*(told(service=f"worst{n}", severity="critical") for n in range(14)))
    world.post(*(told(service=f"s{n}") for n in range(60)))
    every, rounds = set(), 0
    while len(every) < 75 and rounds < 10:
        await ask()
        asked = pagers["pd-ada"].asked
        assert len(asked) == len(set(asked)) == follow.MOST_ASKED
        assert {f"INC-{n}/1.0/L1/first" for n in range(2, 16)} <= set(asked)
        every, rounds = every | set(asked), rounds + 1
    assert len(every) == 75


async def test_what_somebody_has_answered_and_then_closed_is_heard_too(world, asking):
    ask, pagers, _ = asking
    world.post(told(service="search"))
    pagers["pd-ada"].says[KEY] = ACK
    await ask()
    assert states(world) == [("INC-1", "acknowledged"), ("INC-2", "triggered")]
    await ask()
    assert pagers["pd-ada"].asked == ["INC-2/1.0/L1/first", KEY]  # what nobody has answered comes first
    pagers["pd-ada"].says[KEY] = replace(ACK, what="closed")
    await ask()
    assert states(world) == [("INC-1", "resolved"), ("INC-2", "triggered")]


async def test_however_many_are_open_the_oldest_is_among_them(world, asking, monkeypatch):
    monkeypatch.setattr(follow, "TOGETHER", 3)
    world.post(*(told(service=f"s{n}") for n in range(8)))
    ask, pagers, _ = asking
    await ask()
    assert set(pagers["pd-ada"].asked) == {f"INC-{n}/1.0/L1/first" for n in range(1, 10)}


WINDOW = """
  - {name: mail, reason: r, owner: o, zone: UTC, cron: "0 12 * * *", duration: 2h, matchers: [service=checkout],
     redirect: pd-noc}
"""


@pytest.mark.parametrize(("what", "phase"), [("acknowledged", "acknowledged"), ("closed", "resolved")])
def test_an_answer_to_a_redirected_page_counts(database, what, phase):
    world = World(database, rules(windows=WINDOW)).post(told()).paged("pd-noc")
    hears(world, News("INC-1/1.0/window/pd-noc", what, "Noc"))
    assert world.only().phase == phase


def test_a_redirected_page_that_was_closed_at_the_pager_rings_no_more(database):
    world = World(database, rules(windows=WINDOW)).post(told()).paged("pd-noc")
    hears(world, News("INC-1/1.0/window/pd-noc", "closed", "Noc")).took()
    world.post(told("Other")).after(seconds=11)
    assert [type(e).__name__ for e in world.took() if e.key == "INC-1/1.0/window/pd-noc"] == []
