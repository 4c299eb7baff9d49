"""What messages of a source change; the traps are Alertmanager's, and the bodies are real ones."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import RULES, an_alert, rules

from relay.incident.alert import Alert
from relay.incident.triage import Difference, Known, compare, is_watchdog, place, sort
from relay.integrations.alertmanager import read_webhook

PAYLOADS = Path(__file__).parent.parent / "payloads"
START = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
LATER = timedelta(seconds=30)
TELLING = (Difference.FIRED, Difference.ECHOED, Difference.CHANGED, Difference.RESOLVED)


class Memory:
    """What is known of alerts after message upon message; each answers with what it changed."""

    def __init__(self, start: datetime = START) -> None:
        self.known: dict[tuple[str, str], Known] = {}
        self.now = start

    def told(self, *alerts: Alert, after: timedelta = LATER) -> str:
        """The differences that a message makes, as words in the order of its alerts."""
        self.now += after
        found = sort(alerts, self.known, self.now)
        words = {alert.key: difference for difference, listed in found.items() for alert in listed}
        for difference in TELLING:
            for alert in found[difference]:
                self.known[alert.key] = Known(alert, "INC-1", self.now)
        return " ".join(words[key].value for key in dict.fromkeys(alert.key for alert in alerts))

    def posted(self, name: str, source: str = "am", after: timedelta = LATER) -> str:
        return self.told(*read_webhook(body(name), source, self.now + after).alerts, after=after)

    @property
    def firing(self) -> int:
        return sum(known.alert.firing for known in self.known.values())


def body(name: str) -> bytes:
    return (PAYLOADS / f"real-{name}.json").read_bytes()


# ---- the traps, with the bodies that were captured --------------------------------------------------------------


def test_t1_a_truncated_body_says_resolved_of_two_and_proves_nothing_of_the_others():
    memory = Memory()
    assert memory.posted("am033-truncated-firing") == "fired fired"
    assert memory.posted("am033-truncated-LIES-resolved") == "resolved resolved"
    assert read_webhook(body("am033-truncated-LIES-resolved"), "am", START).truncated == 3


def test_t2_a_resolved_alert_comes_again_and_again_and_changes_nothing():
    memory = Memory()
    said = [memory.posted(f"prom242-am033-seq{name}") for name in (
        "1-1f", "2-1f-2f", "3-1r-2f", "4-1r-2f-3f", "5-1r-2r-3f", "6-1r-2r-3r", "7-1f-2r-3r", "8-1r-2r-3r",
    )]  # fmt: skip
    assert said == [
        "fired",
        "changed fired",  # its text says 21 % now
        "resolved duplicate",
        "duplicate duplicate fired",
        "duplicate resolved duplicate",
        "duplicate duplicate resolved",
        "fired duplicate duplicate",
        "resolved duplicate duplicate",
    ]
    assert memory.firing == 0


def test_t3_what_vanishes_from_a_group_still_fires():
    memory = Memory()
    assert memory.posted("am033-partial-silence-1") == "fired fired"
    assert memory.posted("am033-partial-silence-2") == "duplicate fired"
    assert memory.firing == 3
    assert memory.posted("am033-sendresolved-false-shrunk") == "fired"
    assert memory.firing == 4


def test_t6_a_reload_sends_the_same_under_another_group_key_and_that_is_no_identity():
    memory = Memory()
    assert memory.posted("am033-reload-1-before") == "fired"
    assert memory.posted("am033-reload-2-after-new-groupkey") == "duplicate"
    assert memory.posted("am033-reload-3-resolve-new-groupkey") == "resolved"


def test_t8_a_firing_that_comes_late_is_ended_by_the_message_behind_it():
    memory = Memory()
    assert memory.posted("am033-late-firing-then-resolved-1") == "fired"
    assert memory.posted("am033-late-firing-then-resolved-2", after=timedelta(milliseconds=5)) == "resolved"


def test_t8_a_firing_that_comes_even_later_than_its_end_is_doubted():
    memory = Memory()
    memory.posted("am033-late-firing-then-resolved-1")
    memory.posted("am033-late-firing-then-resolved-2")
    assert memory.posted("am033-late-firing-then-resolved-1", after=timedelta(seconds=1)) == "echoed"


def test_t9_a_flap_nobody_told_of_shows_as_a_later_start_and_wakes_nobody_again():
    memory = Memory()
    assert memory.posted("am033-flap-1") == "fired"
    assert memory.posted("am033-flap-2-startsat-moved") == "changed"
    assert memory.posted("am033-flap-1") == "stale"  # the copy of a slower peer


def test_t10_the_same_start_soon_after_its_end_may_be_an_echo_and_later_is_real():
    memory = Memory()
    memory.posted("am033-reload-1-before")
    memory.posted("am033-reload-3-resolve-new-groupkey")
    assert memory.posted("am033-reload-1-before", after=timedelta(minutes=5)) == "echoed"

    memory = Memory()
    memory.posted("am033-reload-1-before")
    memory.posted("am033-reload-3-resolve-new-groupkey")
    assert memory.posted("am033-reload-1-before", after=timedelta(minutes=5, seconds=1)) == "fired"


def test_t10_an_echo_that_is_one_ends_again_with_the_same_end():
    memory = Memory()
    memory.posted("am033-ha-duplicate-1")
    ended = replace(read_webhook(body("am033-ha-duplicate-1"), "am", START).alerts[0], ends_at=START)
    assert memory.told(ended) == "resolved"
    assert memory.posted("am033-ha-duplicate-2") == "echoed"
    assert memory.told(ended) == "resolved"
    assert memory.firing == 0


def test_t11_a_resolve_by_timeout_looks_like_any_other():
    memory = Memory()
    assert memory.posted("am033-bare-firing") == "fired"
    assert memory.posted("am033-bare-resolve-timeout") == "resolved"


def test_t12_a_new_text_comes_with_the_next_repeat_and_is_taken_over():
    memory = Memory()
    [told] = read_webhook(body("am033-annotation-changed-on-repeat"), "am", START).alerts
    before = replace(told, annotations={**told.annotations, next(iter(told.annotations)): "1"})
    assert memory.told(before) == "fired"
    assert memory.posted("am033-annotation-changed-on-repeat") == "changed"
    assert memory.posted("am033-annotation-changed-on-repeat") == "duplicate"


def test_both_members_of_a_pair_deliver_and_it_is_one_alert():
    memory = Memory()
    assert memory.posted("am033-ha-duplicate-1") == "fired"
    assert memory.posted("am033-ha-duplicate-2") == "duplicate"


def test_two_sources_with_the_same_fingerprint_are_two_alerts():
    memory = Memory()
    assert memory.posted("am033-1-firing", source="eu") == "fired"
    assert memory.posted("am033-1-firing", source="us") == "fired"


def test_t4_t5_t7_what_never_comes_leaves_everything_as_it_was():
    """A resolve that is lost, or never sent: nothing but a message, a person or Relay's own look changes an alert."""
    memory = Memory()
    memory.posted("am033-2-two-firing")
    assert memory.posted("am033-3-mixed", after=timedelta(days=3)) == "resolved duplicate"
    assert memory.firing == 1


# ---- one alert against what is known ----------------------------------------------------------------------------

FIRST, SECOND = START - timedelta(hours=2), START - timedelta(hours=1)


def an(start, end=None, **changed):
    return replace(an_alert("A"), starts_at=start, ends_at=end, **changed)


TABLE = [  # known, told, difference
    (None, an(FIRST), "fired"),
    (None, an(FIRST, SECOND), "unknown_end"),
    (an(FIRST), an(FIRST), "duplicate"),
    (an(FIRST), an(FIRST, SECOND), "resolved"),
    (an(FIRST), an(SECOND), "changed"),
    (an(FIRST), an(SECOND, START), "resolved"),  # its end, and a flap before it that nobody told of
    (an(SECOND), an(FIRST), "stale"),
    (an(SECOND), an(FIRST, FIRST), "stale"),
    (an(FIRST), an(FIRST, generator_url="http://p"), "changed"),
    (an(FIRST, SECOND), an(FIRST, SECOND), "duplicate"),
    (an(FIRST, SECOND), an(FIRST, START), "duplicate"),  # another end of the same firing
    (an(FIRST, SECOND), an(FIRST), "echoed"),
    (an(FIRST, SECOND), an(SECOND), "fired"),
    # a clock that was set back, or a second Prometheus: what fires now fires, whatever it says of its start
    (an(SECOND, START), an(FIRST), "echoed"),
    (an(SECOND, START), an(FIRST, SECOND), "stale"),
    (an(SECOND), an(FIRST, START), "resolved"),
    (an(None), an(None), "duplicate"),
    (an(None), an(FIRST), "changed"),
    (an(None, SECOND), an(None), "fired"),  # no start proves nothing: better once too often
    (an(FIRST, SECOND), an(None), "fired"),
]


@pytest.mark.parametrize(("was", "told", "difference"), TABLE)
def test_what_a_told_alert_changes(was, told, difference):
    known = was and Known(was, "INC-1", START - timedelta(minutes=1))
    assert compare(known, told, START) is Difference(difference)


def test_what_fires_long_after_an_end_is_no_echo_though_its_start_is_earlier():
    known = Known(an(SECOND, START), "INC-1", START - timedelta(minutes=6))
    assert compare(known, an(FIRST), START) is Difference.FIRED


def test_an_end_that_relay_itself_concludes_is_that_of_the_firing_it_asked_about():
    known = Known(an(SECOND), "INC-1", START - timedelta(minutes=1))
    assert compare(known, an(FIRST, START), START, asked=True) is Difference.STALE


def test_of_an_alert_that_a_message_lists_twice_the_last_counts():
    memory = Memory()
    assert memory.told(an(FIRST), an(FIRST, SECOND)) == "unknown_end"
    assert memory.told(an(FIRST, SECOND), an(FIRST)) == "fired"


messages = st.lists(
    st.builds(
        lambda start, lasting: an(start, start + lasting if lasting else None),
        st.sampled_from([FIRST, SECOND]),
        st.sampled_from([None, timedelta(minutes=5)]),
    ),
    max_size=8,
)


@given(messages, messages)
def test_a_message_told_again_at_once_changes_nothing(before, last):
    memory = Memory()
    for alert in before:
        memory.told(alert)
    memory.told(*last)
    assert set(memory.told(*last, after=timedelta()).split()) <= {"duplicate", "stale", "unknown_end"}


@given(messages)
def test_a_pair_that_says_everything_twice_says_nothing_more(told):
    once, twice = Memory(), Memory()
    for alert in told:
        once.told(alert)
        twice.told(alert)
        twice.told(alert, after=timedelta())
    assert {k: v.alert for k, v in once.known.items()} == {k: v.alert for k, v in twice.known.items()}


# ---- where it belongs -------------------------------------------------------------------------------------------


def test_an_alert_is_placed_with_the_policy_as_it_is_now():
    where = place(an_alert(), rules())
    assert where.group_key == "payments{service='checkout'}"
    opened = where.opened
    assert opened.group == {"service": "checkout"}
    assert (opened.plan.policy, opened.plan.revision) == ("payments", "r1")
    assert opened.plan.route == "the root route (rules.yaml:16), as no branch wants it"
    assert [level.name for level in opened.plan.levels] == ["L1", "L2", "L3"]


def test_alerts_of_one_group_are_one_incident_whatever_else_they_say():
    made_of = rules()
    one, two = place(an_alert("A", pod="1"), made_of), place(an_alert("B", pod="2"), made_of)
    assert one.group_key == two.group_key != place(an_alert("A", service="search"), made_of).group_key


@given(st.lists(st.dictionaries(st.sampled_from(["service", "a", "b"]), st.text(max_size=3)), min_size=2, max_size=2))
def test_two_groups_never_share_a_key(labels):
    made_of = rules(RULES.replace("[service]", "[service, a, b]"))
    one, two = (place(Alert("s", "f", found), made_of) for found in labels)
    assert (one.group_key == two.group_key) == (one.group == two.group)


def test_keys_stay_apart_when_they_are_too_long_to_read():
    made_of = rules()
    places = [place(an_alert(service="s" * length), made_of) for length in (370, 600, 601)]
    assert all(len(where.group_key) <= 400 for where in places)
    assert all(one.group_key != two.group_key for one, two in itertools.combinations(places, 2))


def test_the_watchdog_is_known_by_its_name_or_by_what_the_rules_say():
    assert is_watchdog(an_alert("Watchdog"), rules())
    assert not is_watchdog(an_alert("Down"), rules())
    own = rules(watchdog="{matchers: [purpose=heartbeat]}")
    assert is_watchdog(an_alert("Beat", purpose="heartbeat"), own)
    assert not is_watchdog(an_alert("Watchdog"), own)


def test_the_real_watchdog_is_one():
    [alert] = read_webhook(body("prom242-am033-watchdog"), "am", START).alerts
    assert is_watchdog(alert, rules())
