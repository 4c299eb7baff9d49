"""What on-call costs each person: hours, nights, weekends, pages.

Nights are from 22:00 to 07:00, and weekends are Saturdays and Sundays, on the clocks of each person's own zone; a
night in which clocks change is as long as it is. Who is on call in two places at once is so once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from relay.config.types import to_utc
from relay.incident.oncall import Roster, shifts

NIGHT = time(22), time(7)
SATURDAY = 5
_DAY = timedelta(days=1)

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class PageAt:
    """That somebody was paged: `person` as timelines call them."""

    person: str
    at: datetime
    incident: str


@dataclass(frozen=True, slots=True)
class Load:
    """What somebody had to bear in a time."""

    person: str
    """As timelines call them."""
    hours: float
    nights: float
    """Hours of them at night."""
    weekends: float
    """Hours of them on weekends."""
    pages: int
    at_night: int
    """Pages of them at night."""
    incidents: int


def loads(roster: Roster, pages: Sequence[PageAt], since: datetime, until: datetime) -> list[Load]:
    """Sum up for each person, the most hours first."""
    spans: dict[str, list[Span]] = {}
    zones: dict[str, tzinfo] = {}
    for name in (*roster.rotations, *roster.schedules):
        for shift in shifts(name, roster, since, until):
            if shift.on_call.person:
                person = roster.spell(shift.on_call.person)
                spans.setdefault(person, []).append((shift.starts, shift.ends))
                zones.setdefault(person, roster.zone(name))
    zones |= {person.name or key: person.zone for key, person in roster.people.items() if person.zone}
    everybody = dict.fromkeys([*spans, *(page.person for page in pages)])
    found = [_load(person, spans.get(person, []), pages, zones.get(person, UTC)) for person in everybody]
    return sorted(found, key=lambda load: (-load.hours, -load.pages, load.person))


def _load(person: str, spans: list[Span], pages: Sequence[PageAt], zone: tzinfo) -> Load:
    whole = list(_union(spans))
    own = [page for page in pages if page.person == person]
    return Load(
        person,
        _hours(whole),
        _hours(_within(whole, zone, _night)),
        _hours(_within(whole, zone, _weekend)),
        len(own),
        sum(_at_night(page.at, zone) for page in own),
        len({page.incident for page in own}),
    )


def _union(spans: Iterable[Span]) -> Iterator[Span]:
    last: Span | None = None
    for starts, ends in sorted(spans):
        if last and starts <= last[1]:
            last = last[0], max(last[1], ends)
            continue
        if last:
            yield last
        last = starts, ends
    if last:
        yield last


def _within(spans: list[Span], zone: tzinfo, parts: Callable[[date, tzinfo], Span | None]) -> Iterator[Span]:
    """The parts of spans that lie in what a day of the zone may have."""
    for starts, ends in spans:
        day = starts.astimezone(zone).date() - _DAY
        while day <= ends.astimezone(zone).date():
            if part := parts(day, zone):
                begin, end = max(starts, part[0]), min(ends, part[1])
                if begin < end:
                    yield begin, end
            day += _DAY


def _night(day: date, zone: tzinfo) -> Span:
    """The night that begins on a day."""
    return to_utc(datetime.combine(day, NIGHT[0]), zone), to_utc(datetime.combine(day + _DAY, NIGHT[1]), zone, end=True)


def _weekend(day: date, zone: tzinfo) -> Span | None:
    """The whole day, if it is of a weekend."""
    if day.weekday() < SATURDAY:
        return None
    return to_utc(datetime.combine(day, time()), zone), to_utc(datetime.combine(day + _DAY, time()), zone)


def _at_night(moment: datetime, zone: tzinfo) -> bool:
    clock = moment.astimezone(zone).time()
    return clock >= NIGHT[0] or clock < NIGHT[1]


def _hours(spans: Iterable[Span]) -> float:
    return sum((ends - starts).total_seconds() for starts, ends in spans) / 3600
