"""Reconciling: what a source says of itself when it is asked, against what its messages have told.

Messages get lost: Relay was down, Alertmanager was restarted, a resolve was never sent. So each source is asked from
time to time. A difference counts only when it lasts; an answer that cannot be had proves nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from relay.incident.alert import Alert

ABSENT = "gone from its source, which has told of no end"
"""Why an alert is taken to be over that no message has ended."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An alert as its source shows it. `muted_by` says what keeps the source from telling of it; empty if nothing."""

    alert: Alert
    muted_by: str = ""


class Firing(NamedTuple):
    """An alert that fires here: of which incident, since when, and when it was last told of."""

    incident: str
    starts_at: datetime | None
    told_at: datetime


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a difference has to last before it counts."""

    missed: timedelta = timedelta(minutes=2)
    """Firing there, unknown here: longer than Alertmanager's `group_wait` and `group_interval` need."""
    absent: timedelta = timedelta(minutes=5)
    """Firing here, unknown there: longer than Prometheus needs to tell a restarted Alertmanager again."""
    believed: timedelta = timedelta(minutes=10)
    """How long a source of which nothing is known is believed to keep alerts to itself; then they page."""


@dataclass(slots=True)
class Differences:
    """What has been different between a source and Relay, by fingerprint, and since when, by time that only passes."""

    missed: dict[str, timedelta] = field(default_factory=dict)
    absent: dict[str, timedelta] = field(default_factory=dict)
    unseen: dict[str, timedelta] = field(default_factory=dict)
    """Those not shown, whether or not that proves anything."""

    def forget(self) -> None:
        """Start anew: the source could not be asked, so that nothing has lasted."""
        self.missed.clear()
        self.absent.clear()
        self.unseen.clear()


@dataclass(frozen=True, slots=True)
class Found:
    """Differences that have lasted."""

    missed: tuple[Alert, ...]
    """Fire there, and no message has told of them."""
    absent: tuple[str, ...]
    """Fingerprints that fire here, and are gone there."""
    muted: Mapping[str, str]
    """Fingerprints that fire here, and are silenced or inhibited there, with what does it."""
    unseen: frozenset[str]
    """Fingerprints that fire here, and are not shown, which proves no end yet: what muted them is still believed to."""
    quiet: int
    """How many alerts are silenced or inhibited there, and do not fire here: no message has told of them."""


def reconcile(
    firing: Collection[str],
    seen: Mapping[str, Seen],
    lasting: Differences,
    patience: Patience,
    asked: timedelta,
    answered: timedelta,
    *,
    proves_absence: bool,
) -> Found:
    """Compare the fingerprints that fire here with what the source shows; `lasting` is remembered from call to call.

    `asked` and `answered` are times since anything, which no setting of a clock moves: a step must neither end an alert
    nor hide one. A difference is first known of when it was answered, and lasts until the source is asked again.
    `proves_absence` is whether every Alertmanager of the source has answered, and has been up for long enough.
    """

    def lasted(since: timedelta) -> timedelta:
        return max(asked - since, timedelta())

    unknown = {name for name, one in seen.items() if name not in firing and not one.muted_by}
    unseen = {name for name in firing if name not in seen}
    gone = unseen if proves_absence else set()
    # a restarted source proves nothing for as long as `absent`, and then absence has to last as long again
    believed = 2 * patience.absent + patience.believed
    lasting.missed = {name: lasting.missed.get(name, answered) for name in unknown}
    lasting.absent = {name: lasting.absent.get(name, answered) for name in gone}
    lasting.unseen = {name: lasting.unseen.get(name, answered) for name in unseen}
    return Found(
        missed=tuple(seen[name].alert for name, since in lasting.missed.items() if lasted(since) >= patience.missed),
        absent=tuple(name for name, since in lasting.absent.items() if lasted(since) >= patience.absent),
        muted={name: one.muted_by for name, one in seen.items() if one.muted_by and name in firing},
        unseen=frozenset(name for name, since in lasting.unseen.items() if lasted(since) < believed),
        quiet=sum(1 for name, one in seen.items() if one.muted_by and name not in firing),
    )
