"""What must hold for every outage, whatever happens in it and whatever the rules say."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import event as seen
from hypothesis import given, note
from hypothesis import strategies as st
from playbook import NOON, an_alert, rules

from relay.incident.alert import OWN_SOURCE, Alert
from relay.incident.decide import decide
from relay.incident.effects import Page
from relay.incident.events import (
    Acknowledged,
    AlertsChanged,
    AlertsFired,
    AlertsResolved,
    AlertsTruncated,
    Assessed,
    DeadlineMissed,
    DeadlineSet,
    Delivered,
    Escalated,
    Event,
    Measured,
    NoteAdded,
    Paged,
    Reopened,
    Resolved,
    Undeliverable,
)
from relay.incident.lifecycle import AWAKE, NotNow
from relay.incident.story import Story
from relay.incident.triage import place

ALERTS = (
    an_alert("A"),
    an_alert("B", severity="critical"),
    an_alert("C", severity="info"),
    Alert("prod", "no-start", {"service": "checkout", "severity": "info"}),
    Alert(OWN_SOURCE, "own", {"alertname": "Own", "service": "checkout"}, {}, NOON),
)
TIMES = ("0s", "1s", "90s", "30m", "3d")


# ---- random rules -----------------------------------------------------------------------------------------------


recipients = st.sampled_from(
    [{"rotation": "first"}, {"rotation": "over"}, {"person": "ada"}, {"person": "bob"}, {"target": "pd-noc"}]
)
severities = st.integers(1, 5).map("SEV-{}".format)
level = st.fixed_dictionaries(
    {"page": st.lists(recipients, min_size=1, max_size=3), "wait": st.sampled_from(TIMES[1:])}
)
policy = st.fixed_dictionaries(
    {
        "levels": st.lists(level, min_size=1, max_size=3).map(
            lambda levels: [{"name": f"L{n}", **level} for n, level in enumerate(levels, 1)]
        ),
        "jump": st.lists(st.fixed_dictionaries({"at_least": severities, "to": st.just("L1")}), max_size=1),
        "repeat": st.integers(0, 2),
        "until": st.sampled_from(["acknowledged", "resolved"]),
        "last_resort": st.lists(recipients, max_size=1).map(lambda others: [*others, {"person": "bob"}]),
        "last_resort_every": st.sampled_from(["10m", "30m"]),
    },
    optional={"ack_expires": st.sampled_from(["1m", "5m", "1h"])},
).map(lambda policy: {**policy, "jump": [{**jump, "to": policy["levels"][-1]["name"]} for jump in policy["jump"]]})
window = st.fixed_dictionaries(
    {
        "name": st.just("w"),
        "reason": st.just("work"),
        "owner": st.just("ana"),
        "zone": st.just("Europe/Berlin"),
        "matchers": st.sampled_from([["service=checkout"], ["alertname=A"], ["severity=info"]]),
        "never_suppress": st.lists(severities, max_size=2),
    }
)
times_of_window = st.sampled_from(
    [
        {"starts": "2026-01-07T12:30", "ends": "2026-01-07T13:30"},
        {"weekly": {"days": ["wed", "thu"], "from": "13:00", "to": "13:05"}},
        {"weekly": {"days": ["wed"], "from": "23:00", "to": "01:00"}},
    ]
)
files = st.fixed_dictionaries(
    {
        "people": st.just({"ada": {"via": "pd-ada"}, "bob": {"via": "pd-bob"}}),
        "rotations": st.just(
            {
                "first": {"zone": "Europe/Berlin", "starts": "2026-01-05", "every": "1d", "people": ["ada", "bob"]},
                "over": {"zone": "UTC", "starts": "2025-01-06", "ends": "2026-01-01", "people": ["bob"]},
            }
        ),
        "policies": st.fixed_dictionaries({"p": policy}),
        "route": st.just({"policy": "p", "group_by": ["service"]}),
        "resolution": st.fixed_dictionaries(
            {"reopen_within": st.sampled_from(TIMES), "recheck_after_close": st.sampled_from(["1m", "10m", "1h"])}
        ),
        "severity": st.fixed_dictionaries(
            {
                "default": severities,
                "page_at_least": severities,
                "measure_every": st.sampled_from(["10m", "1h"]),
                "rules": st.just(
                    [
                        {"severity": "SEV-2", "matchers": ["severity=critical"]},
                        {"severity": "SEV-1", "facts": {"errors": {"at_least": 10}}},
                        {"severity": "SEV-3", "matchers": ["severity=info"], "facts": {"users": {"at_most": 0}}},
                    ]
                ),
            }
        ),
        "facts": st.just({"errors": {"promql": 'e{service="{{service}}"}'}, "users": {"promql": 'u{pod="{{pod}}"}'}}),
        "windows": st.lists(st.builds(dict.__or__, window, times_of_window), max_size=1),
    }
)
rule_texts = files.map(json.dumps)
"""Rule files of many kinds: short and long policies, mild severities, facts, windows over any of it."""


# ---- random outages ---------------------------------------------------------------------------------------------

alerts = st.lists(st.sampled_from(ALERTS), min_size=1, max_size=3, unique_by=lambda a: a.key).map(tuple)
keys = alerts.map(lambda found: tuple(alert.key for alert in found))
numbers = st.sampled_from([0.0, 9.0, 10.0, 50.0])
facts = st.dictionaries(st.sampled_from(["errors", "users"]), numbers)
happenings = st.one_of(
    st.builds(AlertsFired, alerts, st.sampled_from(["", "", "perhaps an echo"])),
    st.builds(AlertsChanged, alerts),
    st.builds(AlertsResolved, keys),
    st.builds(AlertsResolved, keys),
    st.builds(AlertsTruncated, st.sampled_from(["g1", "g2"]), st.integers(0, 2)),
    st.builds(Acknowledged, st.just("ana")),
    st.builds(Escalated, st.just("ana")),
    st.builds(NoteAdded, st.just("ana"), st.just("hm")),
    st.builds(Resolved, st.just("fixed"), st.just("ana")),
    st.builds(Measured, facts, st.dictionaries(st.sampled_from(["errors", "users"]), st.just("no answer"))),
    st.just("the last page is refused"),
    st.just("the last page is accepted"),
    st.timedeltas(timedelta(), timedelta(hours=2)),
    st.sampled_from([timedelta(seconds=5), timedelta(minutes=1), timedelta(minutes=30)]),
)
outages = st.lists(happenings, max_size=15)


@dataclass
class Outage:
    """A story in which anything may happen at any time, told as a source and people would: by difference."""

    story: Story
    late: bool = False
    """Whether deadlines are looked at only after what happens next, as after a restart."""
    steps: list = field(default_factory=list)

    def tell(self, happenings):
        self.happen(place(ALERTS[0], self.story.rules).opened)
        self.happen(AlertsFired(ALERTS[:1]))
        for happening in happenings:
            note(f"{self.story.now:%d %H:%M:%S} {self.story.incident.phase}: {happening}")
            if isinstance(happening, timedelta):
                self.pass_time(happening)
            elif (event := self.event(happening)) is not None:
                self.happen(event)
        return self

    def pass_time(self, span):
        if self.late:
            self.story.now += span
        else:
            self.story.wait(self.story.now + span)

    def event(self, happening) -> Event | None:
        firing = self.story.incident.alerts
        match happening:
            case AlertsFired(told, doubt):
                fresh = tuple(alert for alert in told if alert.key not in firing)
                return AlertsFired(fresh, doubt) if fresh else None
            case AlertsChanged(told):
                known = tuple(alert for alert in told if alert.key in firing)
                return AlertsChanged(known) if known else None
            case AlertsResolved(told):
                ended = tuple(key for key in told if key in firing)
                return AlertsResolved(ended) if ended else None
            case str():
                rung = [e for _, e in self.story.happened if isinstance(e, Paged)]
                if not rung:
                    return None
                key, target = rung[-1].ring.key, rung[-1].ring.target
                return Undeliverable("Page", key, target, "no") if "refused" in happening else Delivered(key, target)
        return happening

    def happen(self, event):
        before = self.story.incident, len(self.story.happened), len(self.story.asked)
        try:
            self.story.happen(event)
        except NotNow:
            assert not isinstance(event, AlertsFired | AlertsChanged | AlertsResolved) or before[0].phase == "closed"
            return
        self.steps.append(before)


stories = st.builds(
    lambda text, happenings, late: Outage(Story(rules(text), NOON), late).tell(happenings),
    rule_texts,
    outages,
    st.booleans(),
)


# ---- what must hold ---------------------------------------------------------------------------------------------


@given(stories)
def test_after_time_has_passed_nothing_is_overdue(outage):
    story = outage.story
    story.wait(story.now + timedelta(hours=3))
    seen(story.incident.phase)
    assert story.incident.missed(story.now) == []


@given(stories)
def test_every_deadline_belongs_to_a_concern_that_is_awake_and_none_is_set_in_the_past(outage):
    story = outage.story
    awake = AWAKE[story.incident.phase]
    assert {name.partition("/")[0] for name in story.incident.deadlines} <= awake
    assert [(now, e) for now, e in story.happened if isinstance(e, DeadlineSet) and e.at < now] == []


@given(stories)
def test_every_page_has_a_key_of_its_own(outage):
    outage.story.wait(outage.story.now + timedelta(hours=3))
    keys = [e.ring.key for _, e in outage.story.happened if isinstance(e, Paged)]
    assert [key for key, count in Counter(keys).items() if count > 1] == []
    assert [e.key for _, e in outage.story.asked if isinstance(e, Page)] == keys


@given(stories)
def test_severity_never_falls_within_an_episode(outage):
    worst = None
    for _, event in outage.story.happened:
        if isinstance(event, Reopened):
            worst = None
        if isinstance(event, Assessed):
            assert worst is None or event.severity <= worst
            worst = event.severity


@given(stories)
def test_nobody_is_paged_for_what_is_over(outage):
    over = False
    for _, event in outage.story.happened:
        over = isinstance(event, Resolved) or (over and not isinstance(event, Reopened))
        assert not (over and isinstance(event, Paged))


@given(stories)
def test_who_is_asked_to_come_hears_of_the_end(outage):
    """Every page that no target has refused is closed when the incident is over."""
    story = outage.story
    if story.incident.phase in ("new", "held", "triggered", "acknowledged"):
        before = len(story.asked)
        open_pages = {ring.key for ring in story.incident.rings}
        story.happen(Resolved("fixed", "ana"))
        assert {effect.key for _, effect in story.asked[before:]} == open_pages


@given(stories, happenings)
def test_the_same_inputs_give_the_same_decision(outage, happening):
    story = outage.story
    event = None if isinstance(happening, timedelta) else outage.event(happening)
    if event is not None:
        assert _decided(story, event) == _decided(story, event)


def _decided(story, event):
    try:
        return decide(story.incident, event, story.rules, story.now)
    except NotNow as refused:
        return str(refused)


@given(stories)
def test_what_fires_and_is_not_held_has_rung_somebody_or_says_why_not(outage):
    """An open incident is held until a stated time, or was paged; it never just lies there."""
    incident = outage.story.incident
    if incident.phase == "held":
        assert incident.held_by
        assert "holding/look" in incident.deadlines
    if incident.phase == "triggered":
        assert any(name.startswith("escalation/") for name in incident.deadlines)
    assert incident.phase != "new"


@given(rule_texts, alerts)
def test_a_pager_that_refuses_everything_is_not_asked_again_without_time_passing(text, first):
    """However long the policy, and however often it starts over: each level once, and the last resort once."""
    story = Story(rules(text), NOON)
    story.happen(place(first[0], story.rules).opened)
    story.happen(AlertsFired(first))
    answered = 0
    for _ in range(100):
        rung = [e.ring for _, e in story.happened if isinstance(e, Paged)]
        for ring in rung[answered:]:
            story.happen(Undeliverable("Page", ring.key, ring.target, "no"))
        if answered == len(rung):
            break
        answered = len(rung)
    assert {ring.round for ring in rung} <= {0}
    assert max(Counter((ring.level, ring.step) for ring in rung).values(), default=0) <= 3


@given(stories)
def test_a_deadline_that_comes_late_leads_to_the_same_calm(outage):
    """After an hour without the process every deadline is missed in turn, and the story settles."""
    story = outage.story
    story.now += timedelta(hours=1)
    for _ in range(200):
        missed = story.incident.missed(story.now)
        if not missed:
            return
        story.happen(DeadlineMissed(missed[0]))
    raise AssertionError(f"never settles: {story.happened[-3:]}")
