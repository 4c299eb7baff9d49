"""Two ways of dealing with the same alerts, compared: who is paged no more, newly, later, or by another judgement."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from relay.incident.alert import Firing
from relay.incident.events import AlertsFired, Assessed, Event, Held, Opened, Paged, Resolved
from relay.incident.incident import Incident
from relay.incident.plan import Ring
from relay.incident.policy import REDIRECTED

SEVERE = 2
"""A page for this severity or worse that is missed is a finding."""
MUCH_LATER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Story:
    """What became of one incident."""

    id: str
    what: str
    opened_at: datetime
    firings: frozenset[Firing]
    severity: int
    """The worst it was."""
    worst: int
    """The worst it was recorded to be; where there is no record, that it could have been."""
    because: str
    policy: str
    paged: tuple[tuple[datetime, Ring], ...]
    held_by: tuple[str, ...]
    resolved_at: datetime | None

    @property
    def first_page(self) -> datetime | None:
        """When somebody was paged for the first time; whom a window pages instead does not count."""
        return min((at for at, ring in self.paged if ring.level != REDIRECTED), default=None)

    @property
    def rung_first(self) -> list[str]:
        """Who that was: people, else targets."""
        return sorted({ring.person or ring.target for at, ring in self.paged if at == self.first_page})

    @property
    def redirected_to(self) -> list[str]:
        """The targets that a window has paged instead."""
        return sorted({ring.target for _, ring in self.paged if ring.level == REDIRECTED})


def summarise(incident: Incident, events: Sequence[tuple[datetime, Event]]) -> Story:
    """Sum an incident's timeline up."""
    fired = [event for _, event in events if isinstance(event, AlertsFired)]
    alerts = [alert for event in fired for alert in event.alerts]
    judgements = [event for _, event in events if isinstance(event, Assessed)]
    judged = min(judgements, key=lambda e: e.severity, default=None)
    group = ", ".join(f"{name}={value}" for name, value in incident.group.items())
    names = ", ".join(dict.fromkeys(alert.name for alert in alerts))
    return Story(
        incident.id,
        f"{names or 'no alert'} ({group})" if group else names,
        min((at for at, event in events if isinstance(event, Opened)), default=events[0][0]),
        frozenset((alert.key, alert.starts_at) for alert in alerts),
        judged.severity if judged else 3,
        min((e.could_be or e.severity for e in judgements), default=3),
        judged.because if judged else "",
        incident.plan.policy if incident.plan else "",
        tuple((at, event.ring) for at, event in events if isinstance(event, Paged)),
        tuple(dict.fromkeys(event.by for _, event in events if isinstance(event, Held))),
        max((at for at, event in events if isinstance(event, Resolved)), default=None),
    )


def as_recorded(stories: Iterable[Story], severities: Mapping[Firing, int]) -> list[Story]:
    """Say of each story what was recorded of its severity then, when facts were known and people had their say."""
    told = []
    for story in stories:
        recorded = [severities[firing] for firing in story.firings if firing in severities]
        told.append(replace(story, worst=min(story.severity, *recorded)) if recorded else story)
    return told


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
    others: list[Change] = field(default_factory=list)
    """Somebody else is the first to be paged."""
    severity: list[Change] = field(default_factory=list)
    policy: list[Change] = field(default_factory=list)

    @property
    def severe_misses(self) -> list[Change]:
        """What must not be merged unseen."""
        return [change for change in self.missed if change.old and change.old.worst <= SEVERE]


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
        if story.first_page and not any(one.first_page for one in was):
            held = "; ".join(dict.fromkeys(by for one in was for by in one.held_by))
            what = f"was held by {held}" if held else "was not paged"
            found.paged.append(Change(was[0] if was else None, (story,), what))
    return found


def _compare_one(old: Story, new: tuple[Story, ...], found: Comparison) -> None:
    paged = [story for story in new if story.first_page is not None]
    if old.first_page is not None and not paged:
        found.missed.append(Change(old, new, _why_not(new)))
    elif old.first_page is not None:
        first = min(paged, key=lambda story: story.first_page or story.opened_at)
        late = (first.first_page or old.first_page) - old.first_page
        if late > MUCH_LATER:
            held = f", held by {'; '.join(first.held_by)}" if first.held_by else ""
            found.later.append(Change(old, new, f"first page {late} later{held}"))
        if first.rung_first != old.rung_first:
            what = f"rings {', '.join(first.rung_first)} first, not {', '.join(old.rung_first)}"
            found.others.append(Change(old, new, what))
    if new and min(story.severity for story in new) != old.severity:
        worst = min(new, key=lambda story: story.severity)
        what = f"SEV-{old.severity} becomes SEV-{worst.severity}: {worst.because}"
        found.severity.append(Change(old, new, what))
    if new and old.policy not in {story.policy for story in new}:
        found.policy.append(Change(old, new, f"policy {old.policy} becomes {new[0].policy}"))


def _why_not(new: Iterable[Story]) -> str:
    held = "; ".join(dict.fromkeys(by for story in new for by in story.held_by))
    instead = ", ".join(dict.fromkeys(target for story in new for target in story.redirected_to))
    return (f"held by {held}" if held else "nobody is paged") + (f", which pages {instead} instead" if instead else "")


def _unique(stories: Iterable[Story]) -> list[Story]:
    return list({story.id: story for story in stories}.values())


def pages_by_target(stories: Iterable[Story]) -> Counter[str]:
    """How many pages each target got."""
    return Counter(ring.target for story in stories for _, ring in story.paged)
