"""iCalendar files (RFC 5545) as occasions: every event of a calendar is a time at which the window is open."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from importlib import import_module
from operator import itemgetter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from relay.config.types import in_our_time
from relay.incident.occasions import Occasion, Occasions, Once, Series, WholeDays, lasting
from relay.incident.recurrence import ENDLESS, Rule, Starts, refuse_too_close

MOST_EVENTS = 5_000
_DAY = timedelta(days=1)

Component = Any
"""A component of icalendar, which is loaded for the first calendar alone: it takes 3 MiB, and most rules name none."""
Wanted = Callable[[str], bool]


class Read(NamedTuple):
    """What a calendar tells."""

    occasions: tuple[Occasions, ...]
    unread: tuple[str, ...]
    """What is wrong with each of the events that cannot be used."""


@dataclass(frozen=True, slots=True)
class _Event:
    event: Component
    starts: datetime
    """Wall time."""
    zone: tzinfo
    """Whose clocks show it: its own zone, whatever zones its other properties are written in."""
    length: timedelta | WholeDays
    all_day: bool

    def dates(self, name: str) -> list[Any]:
        """What a property lists, which may be written once or several times."""
        written = self.event.get(name)
        lists = written if isinstance(written, list) else [written] if written is not None else []
        return [_in_a_known_zone(one.dt, those) for those in lists for one in those.dts]

    def told(self, when: Any) -> date | datetime:
        """A date or time on the event's own clocks. A date of a timed event is the whole day."""
        in_our_time(when)
        if not isinstance(when, datetime):
            return _date(when)
        if self.all_day:
            return when.date()
        if when.tzinfo is None or when.tzinfo is self.zone:
            return when.replace(tzinfo=None)
        return when.astimezone(self.zone).replace(tzinfo=None)

    def start(self, when: Any) -> datetime:
        """The wall time at which it begins, when it begins on a date, or at a time."""
        told = self.told(when)
        return told if isinstance(told, datetime) else datetime.combine(told, self.starts.time())


def read_calendar(text: str, zone: ZoneInfo, wanted: Wanted) -> Read:
    """Read a calendar; `zone` is that of times which name none, and `wanted` says of a summary whether it counts.

    Cancelled events count not; one that was moved (RECURRENCE-ID) counts where it was moved to. Raises ValueError for
    what is no calendar.
    """
    try:
        calendars = import_module("icalendar").Calendar.from_ical(text, multiple=True)
        events = [event for one in calendars for event in one.walk("VEVENT")]
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise ValueError(f"write an iCalendar file (.ics): this one cannot be read ({error})") from None
    if not calendars:
        raise ValueError("write an iCalendar file (.ics): this one is empty")
    if len(events) > MOST_EVENTS:
        raise ValueError(f"write a calendar of at most {MOST_EVENTS:,} events: this one has {len(events):,}")
    moved: dict[str, list[Component]] = {}
    for event in events:
        if event.get("RECURRENCE-ID") is not None:
            moved.setdefault(str(event.get("UID", "")), []).append(event)
    found: list[Occasions] = []
    unread = []
    for event in events:
        if _counts(event, wanted):
            others = [] if event.get("RECURRENCE-ID") is not None else moved.get(str(event.get("UID", "")), [])
            try:
                found += list(_occasions(_read(event, zone), others, zone, wanted))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                unread.append(f'mend the event "{str(event.get("SUMMARY", ""))[:60]}" of the calendar: {error}')
    return Read(tuple(found), tuple(unread))


def _counts(event: Component, wanted: Wanted) -> bool:
    return wanted(str(event.get("SUMMARY", ""))) and str(event.get("STATUS", "")).upper() != "CANCELLED"


def _read(event: Component, zone: ZoneInfo) -> _Event:
    told = in_our_time(_decoded(event, "DTSTART"))
    all_day = not isinstance(told, datetime)
    its_zone = zone if all_day else told.tzinfo or zone
    starts = datetime.combine(_date(told), time()) if all_day else told.replace(tzinfo=None)
    length: timedelta | WholeDays
    if event.get("DTEND") is not None:
        ends = in_our_time(_decoded(event, "DTEND"))
        days = WholeDays((_date(ends) - _date(told)).days)
        length = days if all_day else _instant(ends, its_zone) - _instant(told, its_zone)
    elif event.get("DURATION") is not None:
        span: timedelta = event.decoded("DURATION")
        # P1D is a day on the calendar (RFC 5545, 3.3.6); icalendar tells it from the rarer PT24H no more
        length = WholeDays(span.days) if span and not span % _DAY else span
    else:
        length = WholeDays(1) if all_day else timedelta()
    if isinstance(length, timedelta) and length < timedelta():
        raise ValueError("it ends before it begins")
    in_our_time(starts + (length.days * _DAY if isinstance(length, WholeDays) else length))
    return _Event(event, starts, its_zone, length, all_day)


def _occasions(event: _Event, moved: Sequence[Component], zone: ZoneInfo, wanted: Wanted) -> Iterator[Occasions]:
    """Every time of an event. `moved` are those of its times that were moved: events of their own."""
    but_not = {event.told(when) for when in event.dates("EXDATE")}
    but_not |= {event.told(_decoded(one, "RECURRENCE-ID")) for one in moved if not _and_later(one)}
    later = [one for one in moved if _and_later(one)]
    more = event.dates("RDATE")
    walls = {event.start(when) for when in more if not isinstance(when, tuple)}
    periods = [_period(when, event.zone) for when in more if isinstance(when, tuple)]
    yield from (Once(period) for period in periods if period.starts < period.ends)
    rule = event.event.get("RRULE")
    if isinstance(rule, list):
        raise ValueError("it has more than one RRULE")
    if rule is not None:
        written = [part for part in rule.to_ical().decode().split(";") if not part.startswith("X-")]
        starts = Rule(";".join(written), event.starts, event.zone)
        refuse_too_close(starts, event.starts)
        yield from _series(event, starts, frozenset(but_not), later, zone, wanted)
    if rule is None or not starts.begins_with_first():
        walls.add(event.starts)  # it counts, also where its rule does not come to it
    for wall in sorted(walls):
        occasion = lasting(wall, event.zone, event.length)
        if not {wall, wall.date()} & but_not and occasion.starts < occasion.ends:
            yield Once(occasion)


def _and_later(moved: Component) -> bool:
    return bool(moved["RECURRENCE-ID"].params.get("RANGE") == "THISANDFUTURE")


def _series(
    event: _Event, starts: Starts, but_not: frozenset[date], later: list[Component], zone: ZoneInfo, wanted: Wanted
) -> Iterator[Occasions]:
    """What comes round, as it was written at first, and as it is from each time on from which it was changed."""
    changes = sorted(((event.start(_decoded(one, "RECURRENCE-ID")), one) for one in later), key=itemgetter(0))
    ends = [*(at for at, _ in changes), ENDLESS]
    yield Series(event.zone, _Moved(starts, but_not, timedelta(), event.starts, ends[0]), event.length)
    for (first, one), before in zip(changes, ends[1:], strict=True):
        if _counts(one, wanted):
            changed = _read(one, zone)
            moved = _Moved(starts, but_not, changed.starts - first, first, before)
            yield Series(changed.zone, moved, changed.length)


@dataclass(frozen=True, slots=True)
class _Moved:
    """Starts from one wall time to just before another, without those that are left out, moved by a span."""

    starts: Starts
    but_not: frozenset[date]
    """Days, and wall times, as they were before the move."""
    by: timedelta
    first: datetime
    before: datetime

    def between(self, after: datetime, before: datetime) -> Iterator[datetime]:
        """Give the starts from one wall time to just before another, in order."""
        first, last = max(self.first, after - self.by), min(self.before, before - self.by)
        for start in self.starts.between(first, last):
            if start not in self.but_not and start.date() not in self.but_not:
                yield start + self.by


def _period(told: tuple[Any, ...], zone: tzinfo) -> Occasion:
    starts, ends = told
    begin = _instant(in_our_time(starts), zone)
    return Occasion(begin, in_our_time(begin + ends if isinstance(ends, timedelta) else _instant(ends, zone)))


def _instant(told: Any, zone: tzinfo) -> datetime:
    """The instant of a date or time. One that clocks show twice is the first (RFC 5545, 3.3.5)."""
    wall = told if isinstance(told, datetime) else datetime.combine(_date(told), time())
    return (wall if wall.tzinfo else wall.replace(tzinfo=zone)).astimezone(UTC)


def _decoded(event: Component, name: str) -> Any:
    return _in_a_known_zone(event.decoded(name), event[name])


def _in_a_known_zone(told: Any, written: Component) -> Any:
    """Give a time, or a period, back. Raises ValueError for a zone that icalendar does not know, and leaves out."""
    first, zone = told[0] if isinstance(told, tuple) else told, written.params.get("TZID")
    if zone and isinstance(first, datetime) and first.tzinfo is None:
        raise ValueError(f'it is written in the zone "{str(zone)[:60]}", which nothing describes')
    return told


def _date(told: Any) -> date:
    if isinstance(told, datetime):
        return told.date()
    if isinstance(told, date):
        return told
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
