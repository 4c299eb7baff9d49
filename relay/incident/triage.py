"""Triage: what a message of a source changes. Alerts move an incident by difference: no difference, no event.

The traps it is built against are Alertmanager's (docs/integrations/alertmanager.md lists them): repeats, duplicates
from a pair, reordered and stale messages, truncated bodies, alerts that vanish without an end.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from relay.config.matchers import all_match
from relay.incident import routing
from relay.incident.alert import Alert, AlertKey
from relay.incident.decide import Rules
from relay.incident.events import Opened
from relay.incident.routing import Destination

OVERTAKEN_WITHIN = timedelta(minutes=1)
"""How much earlier a message may have come than one that was decided before it."""
ECHO_WITHIN = timedelta(minutes=5)
"""How soon after its end the same firing (the same start) may be an echo: a late copy from a second Alertmanager."""


class Difference(StrEnum):
    """What one told alert changes."""

    FIRED = "fired"
    """It fires, and did not."""
    ECHOED = "echoed"
    """It fires with the start of a firing that has just ended: perhaps a late copy, perhaps not over."""
    OVERTAKEN = "overtaken"
    """It fired, and is over: its end was decided before it, and was not known to be of anything."""
    CHANGED = "changed"
    """It still fires, and says something new of itself."""
    RESOLVED = "resolved"
    DUPLICATE = "duplicate"
    """Known already."""
    STALE = "stale"
    """Older than what is known."""
    UNKNOWN_END = "unknown_end"
    """The end of an alert that was never told of."""


@dataclass(frozen=True, slots=True)
class Known:
    """An alert as it was last told of, and the incident it belongs to."""

    alert: Alert
    incident: str
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where an alert belongs: all alerts with the same `group_key` are one incident."""

    group_key: str
    group: Mapping[str, str]
    destination: Destination
    rules: Rules

    @property
    def opened(self) -> Opened:
        """The event with which an incident of this group begins: it pins the escalation plan."""
        policy = self.destination.policy
        pinned = self.rules.policies[policy]
        found = self.destination
        plan = pinned.plan(policy, self.rules.revision, found.because, found.hold_for)
        return Opened(self.group, plan, found.would)


def compare(known: Known | None, told: Alert, told_at: datetime, *, asked: bool = False) -> Difference:
    """Say what a told alert changes, given what is known of it; `told_at` is when its message came.

    Replicas decide messages out of order: a firing is over whose message came before that of an end of nothing known.
    Any other that seems to have come earlier may fire again under a clock that was set back: it is in doubt. The same
    clock, or a second Prometheus, may tell of an earlier start: what fires then fires, and an end later than the start
    that is known ends it, unless Relay has made the message itself, of what it knew when it `asked` the source.
    """
    if known is None:
        return Difference.FIRED if told.firing else Difference.UNKNOWN_END
    was, older = known.alert, _older(told, known.alert)
    if was.firing:
        if older:
            return Difference.RESOLVED if _outlasts(told, was) and not asked else Difference.STALE
        return _while_firing(was, told)
    if not told.firing:
        return Difference.STALE if older else Difference.DUPLICATE
    same = told.starts_at is not None and told.starts_at == was.starts_at
    if same and not known.incident and timedelta() < known.told_at - told_at < OVERTAKEN_WITHIN:
        return Difference.OVERTAKEN
    if same or older:
        return Difference.ECHOED if told_at - known.told_at <= ECHO_WITHIN else Difference.FIRED
    return Difference.FIRED


def _while_firing(was: Alert, told: Alert) -> Difference:
    if not told.firing:
        return Difference.RESOLVED
    same = (was.starts_at, was.annotations, was.generator_url) == (told.starts_at, told.annotations, told.generator_url)
    return Difference.DUPLICATE if same else Difference.CHANGED


def _older(told: Alert, was: Alert) -> bool:
    return told.starts_at is not None and was.starts_at is not None and told.starts_at < was.starts_at


def _outlasts(told: Alert, was: Alert) -> bool:
    return told.ends_at is not None and was.starts_at is not None and told.ends_at > was.starts_at


def is_watchdog(alert: Alert, rules: Rules) -> bool:
    """Say whether the alert only proves that alerting works."""
    return bool(rules.watchdog) and all_match(rules.watchdog, alert.labels)


def place(alert: Alert, rules: Rules) -> Place:
    """Route an alert: the group it belongs to, and how an incident of that group begins."""
    destination = routing.choose(rules.root, rules.routes, alert.labels)
    labels = routing.group(destination, alert.labels)
    return Place(routing.group_key(destination.policy, labels), labels, destination, rules)


def sort(
    told: Iterable[Alert], known: Mapping[AlertKey, Known], told_at: datetime, *, asked: bool = False
) -> dict[Difference, list[Alert]]:
    """Sort the alerts of one message by what they change; an alert told of twice in it counts once, the last time."""
    sorted_: dict[Difference, list[Alert]] = defaultdict(list)
    for key, alert in {alert.key: alert for alert in told}.items():
        sorted_[compare(known.get(key), alert, told_at, asked=asked)].append(alert)
    return sorted_
