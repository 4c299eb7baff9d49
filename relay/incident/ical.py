"""iCalendar files (RFC 5545) as occasions: every event of a calendar is a time at which the window is open."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from icalendar import Calendar, Component

from relay.incident.occasions import Occasion, Occasions, Once, Series
from relay.incident.recurrence import Rule, refuse_too_close

MOST_EVENTS = 5_000

Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Event:
    summary: str
    uid: str
    starts: datetime
    """Wall time."""
    zone: tzinfo
    length: timedelta
    event: Component

    def instant(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=self.zone).astimezone(UTC)


def read_calendar(text: str, zone: ZoneInfo, wanted: Wanted) -> tuple[Occasions, ...]:
    """Read a calendar; `zone` is that of times which name none, and `wanted` says of a summary whether it counts.

    Cancelled events count not; one that was moved (RECURRENCE-ID) counts where it was moved to. Raises ValueError.
    """
    try:
        calendars = Calendar.from_ical(text, multiple=True)
        events = [event for one in calendars for event in one.walk("VEVENT")]
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"write an iCalendar file (.ics): this one cannot be read ({error})") from None
    if not calendars:
        raise ValueError("write an iCalendar file (.ics): this one is empty")
    if len(events) > MOST_EVENTS:
        raise ValueError(f"write a calendar of at most {MOST_EVENTS:,} events: this one has {len(events):,}")
    moved: dict[str, set[datetime]] = {}
    for event in events:
        if event.get("RECURRENCE-ID") is not None:
            wall, _ = _wall(event.decoded("RECURRENCE-ID"), zone)
            moved.setdefault(str(event.get("UID", "")), set()).add(wall)
    found: list[Occasions] = []
    for event in events:
        summary = str(event.get("SUMMARY", ""))
        if wanted(summary) and str(event.get("STATUS", "")).upper() != "CANCELLED":
            try:
                found += _occasions(_read(event, summary, zone), moved)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f'mend the event "{summary[:60]}" of the calendar: {error}') from None
    return tuple(found)


def _read(event: Component, summary: str, zone: ZoneInfo) -> _Event:
    told = event.decoded("DTSTART")
    starts, its_zone = _wall(told, zone)
    if event.get("DTEND") is not None:
        length = _wall(event.decoded("DTEND"), zone)[0] - starts
    elif event.get("DURATION") is not None:
        length = event.decoded("DURATION")
    else:
        length = timedelta() if isinstance(told, datetime) else timedelta(days=1)
    return _Event(summary, str(event.get("UID", "")), starts, its_zone, length, event)


def _occasions(event: _Event, moved: dict[str, set[datetime]]) -> list[Occasions]:
    besides = _dates(event, "RDATE")
    rule = event.event.get("RRULE")
    if rule is None:
        walls = {event.starts, *besides} - _dates(event, "EXDATE")
        begin = [event.instant(wall) for wall in sorted(walls)]
        return [Once(Occasion(start, start + event.length)) for start in begin if event.length > timedelta()]
    if isinstance(rule, list):
        raise ValueError("it has more than one RRULE")
    starts = Rule(rule.to_ical().decode(), event.starts, event.zone)
    refuse_too_close(starts, event.starts)
    but_not = _dates(event, "EXDATE") | moved.get(event.uid, set())
    return [Series(event.zone, starts, event.length, tuple(sorted(besides)), frozenset(but_not))]


def _dates(event: _Event, name: str) -> set[datetime]:
    """The wall times that a property lists, which may be written once or several times."""
    written = event.event.get(name)
    lists = written if isinstance(written, list) else [written] if written is not None else []
    return {_wall(one.dt, event.zone)[0] for those in lists for one in those.dts}


def _wall(told: Any, zone: tzinfo) -> tuple[datetime, tzinfo]:
    """A date or time as a wall time, and the zone whose clocks show it."""
    if isinstance(told, datetime):
        return told.replace(tzinfo=None), told.tzinfo or zone
    if isinstance(told, date):
        return datetime.combine(told, time()), zone
    raise ValueError(f'"{told}" is neither a date nor a time')


@dataclass(frozen=True, slots=True)
class Padded:
    """Occasions that begin earlier and end later than their calendar says."""

    occasions: Occasions
    before: timedelta
    after: timedelta

    def between(self, after: datetime, before: datetime) -> list[Occasion]:
        """Give occasions that end after an instant and start before another, in any order."""
        found = self.occasions.between(after - self.after, before + self.before)
        return [Occasion(starts - self.before, ends + self.after) for starts, ends in found]
