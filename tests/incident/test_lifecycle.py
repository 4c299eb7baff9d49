"""The phase table is complete, and every event and effect has its place."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from playbook import an_alert, rules

from relay.incident import escalation, fallback, holding, paging, resolution, severity
from relay.incident.effects import Effect
from relay.incident.events import (
    AlertsFired,
    AlertsResolved,
    Assessed,
    DeadlineMissed,
    Event,
    Opened,
    for_the_record,
    is_quiet,
    occurred_at,
)
from relay.incident.incident import Incident, apply
from relay.incident.lifecycle import AWAKE, NEXT, PHASES, NotNow, follow, possible
from relay.incident.plan import Ring
from relay.incident.telling import tell
from relay.incident.triage import place

EVENTS = get_args(Event)
CONCERNS = {
    "severity": severity,
    "holding": holding,
    "escalation": escalation,
    "fallback": fallback,
    "paging": paging,
    "resolution": resolution,
}
NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)


def an(kind):
    """An event of a kind, with something in every field."""
    samples = {
        "alerts": (an_alert(),),
        "keys": (an_alert().key,),
        "ring": Ring("L1", "pd", "k", "person ada"),
        "plan": place(an_alert(), rules()).opened.plan,
        "group": {"service": "checkout"},
        "values": {"errors": 0.1},
        "unknown": {"users": "no answer"},
        "severity": 2,
        "was": 3,
        "could_be": 1,
        "until": NOW + timedelta(hours=1),
        "since": NOW,
        "at": NOW,
        "name": "escalation/L2",
        "doubt": "",
        "muted": {"5ec7": "silence 1"},
    }
    numbers = {"round", "step", "count", "more"}
    given = {f.name: 0 if f.name in numbers else samples.get(f.name, "words") for f in fields(kind)}
    if kind is Opened:
        given["group"] = {"service": "checkout"}
    elif kind.__name__ == "AlertsTruncated":
        given["group"] = "g"
    elif kind is Assessed:
        given["unknown"] = ("users",)
    return kind(**given)


def test_every_phase_has_a_row_a_meaning_and_its_concerns():
    assert NEXT.keys() == PHASES.keys() == AWAKE.keys()
    assert {to for row in NEXT.values() for to in row.values()} <= PHASES.keys()


@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_can_happen_in_some_phase(kind):
    assert [phase for phase in PHASES if kind in NEXT[phase]]


@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_can_be_told_and_applied_and_put_on_record(kind):
    event = an(kind)
    assert tell(event)
    phase = next(phase for phase in PHASES if kind in NEXT[phase])
    after = apply(Incident("INC-1", phase=phase), event, NOW)
    assert after.phase == NEXT[phase][kind]
    assert type(for_the_record(event)) is kind
    assert is_quiet(event) in (True, False)
    assert occurred_at(event, NOW) == NOW


def test_every_phase_can_be_reached_and_left_but_the_last():
    reached = {"new"}
    for _ in PHASES:
        reached |= {to for phase in reached for to in NEXT[phase].values()}
    assert reached == PHASES.keys()
    assert [phase for phase in PHASES if set(NEXT[phase].values()) == {phase}] == ["closed"]


@pytest.mark.parametrize("name", CONCERNS)
def test_a_concern_reacts_only_to_what_can_happen_while_it_is_awake(name):
    awake_in = [phase for phase, awake in AWAKE.items() if name in awake]
    assert awake_in
    for kind in CONCERNS[name].REACTS_TO:
        assert kind in EVENTS
        assert any(kind in NEXT[before] and NEXT[before][kind] in awake_in for before in PHASES), kind


def test_nobody_else_is_awake():
    assert {name for awake in AWAKE.values() for name in awake} == CONCERNS.keys()


def test_an_event_is_never_taken_for_an_effect():
    assert not set(get_args(Effect)) & set(EVENTS)


def test_what_a_phase_does_not_list_is_refused_in_words():
    with pytest.raises(NotNow) as refused:
        follow("closed", an(AlertsFired))
    assert str(refused.value) == "AlertsFired is not possible while it is closed; possible: note"


def test_what_people_can_do_in_each_phase():
    assert {phase: possible(phase) for phase in PHASES} == {
        "new": ["note", "resolve", "severity"],
        "held": ["ack", "note", "resolve", "severity"],
        "triggered": ["ack", "escalate", "note", "resolve", "severity"],
        "acknowledged": ["ack", "escalate", "note", "resolve", "severity"],
        "resolved": ["note"],
        "closed": ["note"],
    }


def test_the_deadlines_of_a_concern_that_falls_asleep_go_away():
    busy = Incident("INC-1", phase="triggered", deadlines={"escalation/L2": NOW, "resolution/x": NOW, "paging/y": NOW})
    ended = apply(busy, an(EVENTS[[k.__name__ for k in EVENTS].index("Resolved")]), NOW)
    assert ended.deadlines == {"resolution/x": NOW, "paging/y": NOW}


def test_a_missed_deadline_is_told_only_where_somebody_should_have_come():
    assert not is_quiet(DeadlineMissed("escalation/L2"))
    assert is_quiet(DeadlineMissed("severity/measure"))


def test_the_record_of_a_storm_lists_a_few_and_counts_the_rest():
    storm = tuple(an_alert(pod=f"p{n}") for n in range(500))
    fired = for_the_record(AlertsFired(storm))
    assert (len(fired.alerts), fired.more) == (20, 480)
    ended = for_the_record(AlertsResolved(tuple(alert.key for alert in storm)))
    assert (len(ended.keys), ended.more) == (20, 480)
    assert tell(fired) == "500 alerts (HighErrorRate) fired"
    assert tell(ended) == "500 alerts ended"


def test_an_incident_knows_when_to_wake_and_what_is_overdue_in_order():
    soon, later = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
    incident = Incident("INC-1", deadlines={"b/x": later, "a/x": soon, "c/x": soon})
    assert incident.wake_at == soon
    assert incident.missed(NOW) == []
    assert incident.missed(soon) == ["a/x", "c/x"]
    assert incident.missed(later) == ["a/x", "c/x", "b/x"]
    assert Incident("INC-1").wake_at is None
