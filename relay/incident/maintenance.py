"""Maintenance windows: times in which an alert is expected, and pages nobody. Section `windows:`.

A window holds, it never drops: an incident whose alerts are all covered waits, visible, and what still fires when
the window ends is paged.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pydantic import Field, model_validator

from relay.config.matchers import all_match
from relay.config.types import Day, Moment, OneMatcher, Placed, TimeOfDay, Zone, to_utc
from relay.incident.alert import Alert
from relay.incident.severity import SeverityLevel


class Weekly(Placed):
    """The same hours of some days every week; `to` at or before `from` is on the next day."""

    days: tuple[Day, ...] = Field(min_length=1)
    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay


class Window(Placed):
    """One maintenance window: one-off (`starts`, `ends`) or `weekly`."""

    name: str
    reason: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    zone: Zone
    matchers: tuple[OneMatcher, ...] = Field(min_length=1)
    starts: Moment | None = None
    ends: Moment | None = None
    weekly: Weekly | None = None
    never_suppress: tuple[SeverityLevel, ...] = ()
    """Severities that page all the same."""

    @model_validator(mode="after")
    def _one_kind_of_time(self) -> "Window":
        if self.weekly is None and (self.starts is None or self.ends is None):
            raise ValueError('write "starts" and "ends", or "weekly"')
        if self.weekly is not None and (self.starts is not None or self.ends is not None):
            raise ValueError('write "starts" and "ends", or "weekly", but not both')
        if self.weekly is None and self.once() is not None and self.once()[0] >= self.once()[1]:
            raise ValueError('"ends" must be later than "starts"')
        if all_match(self.matchers, {}):
            raise ValueError("these matchers cover alerts of every kind: one of them must ask for a value")
        return self

    def once(self) -> tuple[datetime, datetime]:
        """Start and end of a one-off window, in UTC."""
        assert self.starts is not None
        assert self.ends is not None
        return to_utc(self.starts, self.zone), to_utc(self.ends, self.zone, end=True)


@dataclass(frozen=True, slots=True)
class Hold:
    """A reason not to page for now; what still fires at `until` is looked at again."""

    by: str
    until: datetime


def active(windows: Iterable[Window], now: datetime) -> list[tuple[Window, datetime]]:
    """Windows that are open at a moment, each with its end in UTC."""
    return [(window, end) for window in windows if (end := _end_if_open(window, now)) is not None]


def hold(windows: Sequence[Window], alerts: Iterable[Alert], severity: int, now: datetime) -> Hold | None:
    """Say whether every firing alert is covered by an open window, and by which until when.

    One alert that no window covers is enough to page. Where windows overlap, an alert is covered until the last of
    them ends.
    """
    open_now = [(w, end) for w, end in active(windows, now) if severity not in w.never_suppress]
    if not open_now:
        return None
    names: dict[str, None] = {}
    until: datetime | None = None
    for alert in alerts:
        covering = [(end, w) for w, end in open_now if all_match(w.matchers, alert.labels)]
        if not covering:
            return None
        end, window = max(covering, key=lambda pair: pair[0])
        names[f"maintenance window {window.name} ({window.place}): {window.reason}"] = None
        until = end if until is None else min(until, end)
    return Hold("; ".join(names), until) if until is not None else None


def _end_if_open(window: Window, now: datetime) -> datetime | None:
    if window.weekly is None:
        starts, ends = window.once()
        return ends if starts <= now < ends else None
    today = now.astimezone(window.zone).date()
    ends_at = [_end_of(window, window.weekly, today - timedelta(days=back), now) for back in (0, 1)]
    return max((end for end in ends_at if end is not None), default=None)


def _end_of(window: Window, weekly: Weekly, day: date, now: datetime) -> datetime | None:
    """The end of the occurrence that begins on a local day, if it is open now."""
    if day.weekday() not in weekly.days:
        return None
    over_midnight = weekly.to <= weekly.from_
    starts = to_utc(datetime.combine(day, weekly.from_), window.zone)
    last_day = day + timedelta(days=1) if over_midnight else day
    ends = to_utc(datetime.combine(last_day, weekly.to), window.zone, end=True)
    return ends.astimezone(UTC) if starts <= now < ends else None
