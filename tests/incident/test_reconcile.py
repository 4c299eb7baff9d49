from datetime import timedelta

import pytest
from playbook import Playbook, ResolvePage, an_alert

from relay.incident.events import Acknowledged, AlertsFired, AlertsMuted, AlertsResolved, Held, Paged, Resolved
from relay.incident.reconcile import Differences, Patience, Seen, reconcile
from relay.incident.telling import tell

SILENCE = "silence 5ec7 in Alertmanager by ana: planned work"
PATIENCE = Patience()


@pytest.fixture
def lasting():
    return Differences()


def compare(lasting, minutes, firing=(), there=(), muted=(), proves_absence=True):
    seen = {name: Seen(an_alert(name)) for name in there} | {name: Seen(an_alert(name), SILENCE) for name in muted}
    at = timedelta(minutes=minutes)
    return reconcile(firing, seen, lasting, PATIENCE, at, at, proves_absence=proves_absence)


def test_what_is_the_same_is_no_difference(lasting):
    found = compare(lasting, 60, firing=["a"], there=["a"])
    assert (found.missed, found.absent, found.muted) == ((), (), {})


def test_an_alert_that_no_message_tells_of_is_raised_after_a_while(lasting):
    assert compare(lasting, 0, there=["a"]).missed == ()
    assert compare(lasting, 1, there=["a"]).missed == ()
    assert [alert.name for alert in compare(lasting, 2, there=["a"]).missed] == ["a"]


def test_a_message_that_comes_meanwhile_ends_the_doubt(lasting):
    compare(lasting, 0, there=["a"])
    compare(lasting, 1, firing=["a"], there=["a"])
    assert compare(lasting, 2, there=["a"]).missed == ()


def test_an_alert_that_is_gone_is_over_after_a_while(lasting):
    assert compare(lasting, 0, firing=["a"]).absent == ()
    assert compare(lasting, 4, firing=["a"]).absent == ()
    assert compare(lasting, 5, firing=["a"]).absent == ("a",)


def test_who_cannot_prove_absence_proves_none_and_the_wait_starts_anew(lasting):
    compare(lasting, 0, firing=["a"])
    assert compare(lasting, 5, firing=["a"], proves_absence=False).absent == ()
    assert compare(lasting, 6, firing=["a"]).absent == ()
    assert compare(lasting, 11, firing=["a"]).absent == ("a",)


def test_a_silenced_alert_is_neither_missed_nor_gone(lasting):
    for minutes in (0, 30):
        found = compare(lasting, minutes, firing=["a"], muted=["a", "unknown"])
        assert (found.missed, found.absent, found.muted) == ((), (), {"a": SILENCE})


def test_what_is_muted_and_then_not_shown_is_believed_until_its_end_is_decided(lasting):
    assert compare(lasting, 0, firing=["a"], muted=["a"]).unseen == frozenset()
    assert compare(lasting, 1, firing=["a"]).unseen == {"a"}
    found = compare(lasting, 6, firing=["a"])
    assert (found.unseen, found.absent) == ({"a"}, ("a",))


def test_what_nobody_can_prove_the_end_of_is_not_muted_for_ever(lasting):
    for minutes, unseen in ((0, {"a"}), (19, {"a"}), (20, set())):
        assert compare(lasting, minutes, firing=["a"], proves_absence=False).unseen == unseen


def test_what_is_silenced_and_unknown_is_counted(lasting):
    assert compare(lasting, 0, firing=["a"], muted=["a", "b", "c"]).quiet == 2


# ---- what it does to an incident ----

ALERT = an_alert("Down")
MUTED = AlertsMuted(ALERT.source, {ALERT.fingerprint: SILENCE})
LOUD = AlertsMuted(ALERT.source, {})


def test_a_silence_stops_the_paging_and_closes_the_pages():
    story = Playbook().fires(ALERT).paged("L1:pd-ada").when(MUTED)
    assert [effect.target for effect in story.asked(ResolvePage)] == ["pd-ada"]
    story.held(SILENCE).after(hours=20).paged()


def test_what_fires_after_the_silence_pages_from_the_first_level_under_new_keys():
    story = Playbook().fires(ALERT).after(minutes=5).paged("L1:pd-ada", "L2:pd-bob").when(MUTED)
    story.after(hours=1).when(LOUD).paged("L1:pd-ada").after(minutes=5).paged("L2:pd-bob")
    keys = [event.ring.key for _, event in story.story.happened if isinstance(event, Paged)]
    assert len(keys) == len(set(keys)) == 4


def test_what_ends_under_the_silence_pages_nobody():
    Playbook().fires(ALERT).paged("L1:pd-ada").when(MUTED).ends(ALERT).after(hours=20).paged()


def test_one_alert_that_is_not_silenced_pages():
    other = an_alert("Other")
    Playbook().fires(ALERT, other).paged("L1:pd-ada").when(MUTED).after(minutes=5).paged("L2:pd-bob")


def test_a_silence_says_nothing_of_the_next_time_that_it_fires():
    other = an_alert("Other")
    story = Playbook().fires(ALERT, other).paged("L1:pd-ada").when(MUTED).ends(ALERT)
    assert story.incident.muted == {}
    story.ends(other).fires(ALERT).paged("L1:pd-ada")


def test_a_new_alert_in_a_silenced_incident_pages():
    Playbook().fires(ALERT).paged("L1:pd-ada").when(MUTED).fires(an_alert("Other")).paged("L1:pd-ada")


def test_a_silence_does_not_take_the_incident_from_who_is_on_it():
    story = Playbook().fires(ALERT).paged("L1:pd-ada").when(Acknowledged("ada")).when(MUTED)
    assert story.incident.phase == "acknowledged"


def test_a_long_silence_does_not_fill_the_timeline():
    story = Playbook().fires(ALERT).paged("L1:pd-ada").when(MUTED).after(days=1)
    assert sum(isinstance(event, Held) for _, event in story.story.happened) < 10


def test_an_end_by_absence_is_told_as_such_even_of_truncated_alerts():
    story = Playbook().fires(ALERT).paged("L1:pd-ada").when(AlertsResolved((ALERT.key,), absent=True))
    [ended] = [event for _, event in story.story.happened if isinstance(event, Resolved)]
    assert ended.because == "every alert ended, the last of them gone from its source, which has told of no end"


def test_it_is_told_in_words():
    assert tell(AlertsFired((ALERT,), missed=True)) == "Down fired; no message has told of it, its source was asked"
    assert tell(MUTED) == f"{ALERT.source} keeps 1 alert to itself: {SILENCE}"
    assert tell(LOUD) == f"{ALERT.source} no longer keeps alerts to itself"


def test_a_slow_answer_proves_no_longer_absence_than_from_the_last_to_the_next_question(lasting):
    def compare_slowly(asked, answered):
        at = (timedelta(minutes=asked), timedelta(minutes=answered))
        return reconcile(["a"], {}, lasting, PATIENCE, *at, proves_absence=True).absent

    assert compare_slowly(0, 4) == ()
    assert compare_slowly(8, 12) == ()
    assert compare_slowly(9, 13) == ("a",)
