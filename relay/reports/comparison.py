"""Two ways of dealing with the same alerts, compared: who is paged no more, newly, later, or by another judgement."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay.incident.alert import AlertKey
from relay.incident.events import AlertsFired, Assessed, Event, Held, Opened, Paged, Resolved
from relay.incident.incident import Incident
from relay.incident.plan import Ring

SEVERE = 2
"""A page for this severity or worse that is missed is a finding."""
MUCH_LATER = timedelta(minutes=1)

Firing = tuple[AlertKey, datetime | None]
"""One time that an alert fired: which, and since when."""


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one incident."""

    id: str
    what: str
    opened_at: datetime
    firings: frozenset[Firing]
    severity: int
    """The worst it was."""
    because: str
    policy: str
    paged: tuple[tuple[datetime, Ring], ...]
    held_by: tuple[str, ...]
    resolved_at: datetime | None

    @property
    def first_page(self) -> datetime | None:
        """When somebody was paged for the first time."""
        return self.paged[0][0] if self.paged else None


def summarise(incident: Incident, events: Sequence[tuple[datetime, Event]]) -> Story:
    """Sum an incident's timeline up."""
    fired = [event for _, event in events if isinstance(event, AlertsFired)]
    alerts = [alert for event in fired for alert in event.alerts]
    judged = min((e for _, e in events if isinstance(e, Assessed)), key=lambda e: e.severity, default=None)
    group = ", ".join(f"{name}={value}" for name, value in incident.group.items())
    names = ", ".join(dict.fromkeys(alert.name for alert in alerts))
    return Story(
        incident.id,
        f"{names or 'no alert'} ({group})" if group else names,
        min((at for at, event in events if isinstance(event, Opened)), default=events[0][0]),
        frozenset((alert.key, alert.starts_at) for alert in alerts),
        judged.severity if judged else 3,
        judged.because if judged else "",
        incident.plan.policy if incident.plan else "",
        tuple((at, event.ring) for at, event in events if isinstance(event, Paged)),
        tuple(dict.fromkeys(event.by for _, event in events if isinstance(event, Held))),
        max((at for at, event in events if isinstance(event, Resolved)), default=None),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """An incident of the old way, those of the new way that have its alerts, and what is different."""

    old: Story | None
    new: tuple[Story, ...]
    what: str


@dataclass(slots=True)
class Comparison:
    """The differences, each kind in the order of time."""

    missed: list[Change] = field(default_factory=list)
    """Paged before, and nobody is now."""
    paged: list[Change] = field(default_factory=list)
    """Paged now, and nobody was before."""
    later: list[Change] = field(default_factory=list)
    severity: list[Change] = field(default_factory=list)
    policy: list[Change] = field(default_factory=list)

    @property
    def severe_misses(self) -> list[Change]:
        """What must not be merged unseen."""
        return [change for change in self.missed if change.old and change.old.severity <= SEVERE]


def compare(old: Sequence[Story], new: Sequence[Story]) -> Comparison:
    """Compare by the alerts: the incidents of the two ways need not be the same."""
    found = Comparison()
    by_firing = {firing: story for story in new for firing in story.firings}
    for story in old:
        same = tuple(_unique(by_firing[firing] for firing in story.firings if firing in by_firing))
        _compare_one(story, same, found)
    before = {firing: story for story in old for firing in story.firings}
    for story in new:
        was = _unique(before[firing] for firing in story.firings if firing in before)
        if story.paged and not any(one.paged for one in was):
            held = "; ".join(dict.fromkeys(by for one in was for by in one.held_by))
            what = f"was held by {held}" if held else "was not paged"
            found.paged.append(Change(was[0] if was else None, (story,), what))
    return found


def _compare_one(old: Story, new: tuple[Story, ...], found: Comparison) -> None:
    paged = [story for story in new if story.first_page is not None]
    if old.first_page is not None and not paged:
        held = "; ".join(dict.fromkeys(by for story in new for by in story.held_by))
        found.missed.append(Change(old, new, f"held by {held}" if held else "nobody is paged"))
    elif old.first_page is not None:
        first = min(story.first_page for story in paged if story.first_page)
        if first - old.first_page > MUCH_LATER:
            found.later.append(Change(old, new, f"first page {first - old.first_page} later"))
    if new and min(story.severity for story in new) != old.severity:
        worst = min(new, key=lambda story: story.severity)
        what = f"SEV-{old.severity} becomes SEV-{worst.severity}: {worst.because}"
        found.severity.append(Change(old, new, what))
    if new and old.policy not in {story.policy for story in new}:
        found.policy.append(Change(old, new, f"policy {old.policy} becomes {new[0].policy}"))


def _unique(stories: Iterable[Story]) -> list[Story]:
    return list({story.id: story for story in stories}.values())


def pages_by_target(stories: Iterable[Story]) -> Counter[str]:
    """How many pages each target got."""
    return Counter(ring.target for story in stories for _, ring in story.paged)
