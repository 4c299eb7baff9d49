"""Maintenance: times in which an alert is expected, and pages nobody.

A window holds, it never drops: an incident whose alerts are all covered waits, visible, and what still fires when
the window ends is paged.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay.config.matchers import Matcher
from relay.incident.alert import Alert
from relay.incident.occasions import State
from relay.incident.window import Window


@dataclass(frozen=True, slots=True)
class Hold:
    """A reason not to page for now; what still fires at `until` is looked at again."""

    by: str
    until: datetime
    redirect: str = ""
    """A target that is paged instead."""


Open = tuple[Window, datetime]
"""A window, and until when it is open."""


Label = tuple[str, str, bool]
"""A label's name, and its value (True) or how its value begins (False)."""

A_YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class _Index:
    """The windows that are open from one instant to just before the next edge, by a label that they ask for.

    `lengths` are those of the beginnings of values, by the name of the label.
    """

    since: datetime
    edge: datetime
    open: tuple[Open, ...] = ()
    by_label: Mapping[Label, list[Open]] = field(default_factory=dict)
    lengths: Mapping[str, Collection[int]] = field(default_factory=dict)
    others: tuple[Open, ...] = ()
    """Those that ask for no label of which a value, or how it begins, is known."""
    pause_at: datetime | None = None
    """When a window that pauses escalations opens, or ends, next."""


class Windows:
    """All windows. When one opens or ends is computed at that time, and not for each alert.

    What `known` has computed of the same windows is taken over.
    """

    def __init__(self, windows: Iterable[Window] = (), known: "Windows | None" = None) -> None:
        self._all = tuple(windows)
        before = {id(window): state for window, state in zip(known._all, known._states, strict=True)} if known else {}
        self._states: list[tuple[datetime, State] | None] = [before.get(id(window)) for window in self._all]
        self._index: _Index | None = None

    def __iter__(self) -> Iterator[Window]:
        """Every window, open or not."""
        return iter(self._all)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    def open(self, now: datetime) -> tuple[Open, ...]:
        """Windows that are open at a moment, each with its end in UTC."""
        return self._at(now).open

    def next_pause(self, now: datetime) -> datetime | None:
        """When to look again whether a window pauses escalations; None when none will within a year."""
        at = self._at(now).pause_at
        return at if at is not None and at - now <= A_YEAR else None

    def covering(self, labels: Mapping[str, str], now: datetime) -> list[Open]:
        """Windows that are open and cover these labels."""
        index = self._at(now)
        if not index.open:
            return []
        likely = [*index.others]
        for name, value in labels.items():
            likely += index.by_label.get((name, value, True), ())
            for length in index.lengths.get(name, ()):
                likely += index.by_label.get((name, value[:length], False), ())
        once = {id(one[0]): one for one in likely}  # a window of several sets is listed under several labels
        return [one for one in once.values() if one[0].covers(labels)]

    def _at(self, now: datetime) -> _Index:
        index = self._index
        if index is None or not index.since <= now < index.edge:
            index = self._index = self._look(now)
        return index

    def _look(self, now: datetime) -> _Index:
        found, edge = list[Open](), datetime.max.replace(tzinfo=now.tzinfo)
        pause_at: datetime | None = None
        for number, window in enumerate(self._all):
            known = self._states[number]
            if known is None or not known[0] <= now < known[1].edge:
                known = self._states[number] = now, window.state(now)
            until, next_ = known[1]
            edge = min(edge, next_)
            if until is not None:
                found.append((window, until))
            if pauses(window):
                pause_at = min(next_, pause_at or next_)
        return _Index(now, edge, tuple(found), *_by_label(found), pause_at)


def _by_label(
    found: Sequence[Open],
) -> tuple[dict[Label, list[Open]], dict[str, set[int]], tuple[Open, ...]]:
    """List each window under the rarest of the labels that its alerts must have."""
    asked = [(one, [_choices(matchers) for matchers in one[0].sets()]) for one in found]
    counts = Counter(label for _, sets in asked for choices in sets for labels in choices for label in labels)
    by_label: dict[Label, list[Open]] = {}
    lengths: dict[str, set[int]] = {}
    others: dict[int, Open] = {}
    for one, sets in asked:
        for choices in sets:
            if not choices:
                others[id(one[0])] = one
                continue
            for label in min(choices, key=lambda labels: max(counts[label] for label in labels)):
                by_label.setdefault(label, []).append(one)
                if not label[2]:
                    lengths.setdefault(label[0], set()).add(len(label[1]))
    return by_label, lengths, tuple(others.values())


def _choices(matchers: Sequence[Matcher]) -> list[list[Label]]:
    """For each matcher whose values can be listed, or begin alike: the labels of which an alert must have one."""
    listed = [[(matcher.name, value, True) for value in matcher.choices()] for matcher in matchers]
    begun = [[(matcher.name, prefix, False)] for matcher in matchers if (prefix := matcher.prefix())]
    return [labels for labels in (*listed, *begun) if labels and all(value for _, value, _ in labels)]


def enforced(window: Window) -> bool:
    """Whether a window holds."""
    return window.mode == "enforce"


def shadowed(window: Window) -> bool:
    """Whether a window would hold, were it enforced."""
    return window.mode == "shadow"


def pauses(window: Window) -> bool:
    """Whether a window holds even those for whom people were asked already."""
    return enforced(window) and window.pause_escalations


def hushes(window: Window) -> bool:
    """Whether a window keeps back even the news of what was paged before."""
    return enforced(window) and window.suppress == "notifications"


def hold(
    windows: Windows,
    alerts: Collection[Alert],
    severity: int,
    now: datetime,
    which: Callable[[Window], bool] = enforced,
) -> Hold | None:
    """Say whether every firing alert is covered by an open window, and by which until when.

    One alert that no window covers is enough to page. Where windows overlap, an alert is covered until the last of
    them ends. An alert that has begun in the grace after a window is not what the window was for.
    """
    if not windows.open(now):
        return None
    names: dict[str, str] = {}
    until: datetime | None = None
    for alert in alerts:
        covering = [
            (end, window)
            for window, end in windows.covering(alert.labels, now)
            if which(window) and _holds(window, alert, len(alerts), severity, end, now)
        ]
        if not covering:
            return None
        end, window = max(covering, key=lambda pair: pair[0])
        names[window.because] = window.redirect
        until = end if until is None else min(until, end)
    redirect = next((target for target in names.values() if target), "")
    return Hold("; ".join(names), until, redirect) if until is not None else None


def _holds(window: Window, alert: Alert, alerts: int, severity: int, end: datetime, now: datetime) -> bool:
    if severity <= max(window.never_suppress, default=0) or alerts > (window.max_suppressed or alerts):
        return False
    ended = end - window.grace
    return now < ended or (alert.starts_at is not None and alert.starts_at < ended)
