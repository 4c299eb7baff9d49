"""What comes round: recurrence rules of RFC 5545, cron expressions and days of the week, on the clocks of a zone.

Everything here is wall time, without a zone: which instant a wall time is, is said in one place (`to_utc`). A rule is
never walked from its beginning, which may be years ago: it is moved forward by whole intervals first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import islice, pairwise, takewhile
from typing import Protocol

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrulestr

MOST_COUNT = 1_000
CLOSEST = timedelta(hours=1)
"""How soon a window may come round again."""
_LOOKED_AT = 12
"""Starts that are looked at for the closest two: the times of a day are the same on every day."""
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_TRIED = 200
"""Years that are tried for a rule's first start: one every seventh February, on a Friday, takes long."""
ENDLESS = datetime(2999, 1, 1)
_ENDS = 9999
"""The last year of Python's calendar."""
_DAY, _WEEK = timedelta(days=1), timedelta(weeks=1)
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FORBIDDEN = {
    "DAILY": {"BYWEEKNO", "BYYEARDAY"},
    "WEEKLY": {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY"},
    "MONTHLY": {"BYWEEKNO", "BYYEARDAY"},
    "YEARLY": set(),
}
"""By RFC 5545, 3.3.10."""
_KEYS = (
    "FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYSETPOS", "BYMONTH", "BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY",
    "BYHOUR", "BYMINUTE", "BYSECOND",
)  # fmt: skip


class Starts(Protocol):
    """When something begins, in wall time."""

    def between(self, after: datetime, before: datetime) -> Iterator[datetime]:
        """Give the starts from one wall time to just before another, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Weekly:
    """The same time of some days (monday = 0) of every week."""

    days: frozenset[int]
    at: time

    def between(self, after: datetime, before: datetime) -> Iterator[datetime]:
        """Give the starts from one wall time to just before another, in order."""
        day = after.date()
        while (start := datetime.combine(day, self.at)) < before:
            if day.weekday() in self.days and start >= after:
                yield start
            day += _DAY


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields, as Debian's cron reads it."""

    expression: str

    def __post_init__(self) -> None:
        """Refuse what is no expression. Raises ValueError."""
        if len(self.expression.split()) != 5:
            raise ValueError('write a cron expression of five fields, such as "30 2 * * 1-5"')
        try:
            CronSim(self.expression, datetime(2026, 1, 1))
        except CronSimError as error:
            raise ValueError(f"write a cron expression: {str(error) or 'this one cannot be read'}") from None

    def between(self, after: datetime, before: datetime) -> Iterator[datetime]:
        """Give the starts from one wall time to just before another, in order."""
        begin = after.replace(second=0, microsecond=0) - timedelta(minutes=1)
        starts = CronSim(self.expression, begin)
        return (start for start in takewhile(lambda start: start < before, starts) if start >= after)


@dataclass(frozen=True, slots=True)
class Rule:
    """A recurrence rule of RFC 5545 (daily or rarer), with the wall time of its first start."""

    text: str
    first: datetime
    zone: tzinfo
    """What an UNTIL in UTC is turned into."""
    _parts: dict[str, str] = field(init=False, repr=False, compare=False)
    _until: datetime = field(init=False, repr=False, compare=False)
    _counted: tuple[datetime, ...] = field(init=False, repr=False, compare=False, default=())
    """Every start of a rule that has a COUNT: it has to be walked from the beginning, once."""

    def __post_init__(self) -> None:
        """Refuse what is no rule, happens never, or takes long to follow. Raises ValueError."""
        parts = _read(self.text)
        object.__setattr__(self, "_until", _until(parts.pop("UNTIL", ""), self.zone))
        count = int(parts.pop("COUNT", 0))
        object.__setattr__(self, "_parts", _explicit(parts, self.first))
        try:
            happens = self._happens()
        except (ValueError, TypeError, LookupError) as error:  # dateutil has no error of its own
            raise ValueError(f"write a rule of RFC 5545: this one cannot be read ({error})") from None
        if not happens:
            raise ValueError("write a rule that happens: this one never does")
        if count > MOST_COUNT:
            raise ValueError(f"write a COUNT of at most {MOST_COUNT}, or UNTIL")
        if count:
            object.__setattr__(self, "_counted", tuple(islice(self._walk(self.first, ENDLESS), count)))

    def between(self, after: datetime, before: datetime) -> Iterator[datetime]:
        """Give the starts from one wall time to just before another, in order."""
        if self._counted:
            return (start for start in self._counted if after <= start < before)
        return self._walk(max(after, self.first), before)

    def begins_with_first(self) -> bool:
        """Whether the time that it is counted from is one of its own."""
        return any(True for _ in self.between(self.first, self.first + timedelta(seconds=1)))

    def _happens(self) -> bool:
        """Whether the rule ever happens, tried in the calendar's last years: dateutil gives up only at their end."""
        far = _anchor(self._parts, self.first, datetime(_ENDS - _TRIED, 1, 1))
        return next(iter(rrulestr(_join(self._parts), dtstart=far)), None) is not None

    def _walk(self, after: datetime, before: datetime) -> Iterator[datetime]:
        """Follow the rule from the last interval before `after`."""
        parts, begin = self._parts, _anchor(self._parts, self.first, after)
        last = min(self._until, before)
        if last < begin:
            return iter(())
        rule = rrulestr(f"{_join(parts)};UNTIL={last:%Y%m%dT%H%M%S}", dtstart=begin)
        return (start for start in rule if after <= start < before)


def _join(parts: dict[str, str]) -> str:
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _read(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.removeprefix("RRULE:").split(";"):
        name, _, value = part.partition("=")
        if name not in _KEYS or not value:
            raise ValueError(f'write a rule of RFC 5545, such as FREQ=MONTHLY;BYDAY=2TU: "{part}" is no part of one')
        if name in parts:
            raise ValueError(f"write {name} only once")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise ValueError("write FREQ=DAILY, WEEKLY, MONTHLY or YEARLY")
    _refuse_what_dateutil_makes_something_else_of(parts)
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not re.fullmatch(r"[1-9]\d{0,3}", parts[name]):
            raise ValueError(f"write {name} as a number from 1 to 9999")
    return parts


def _refuse_what_dateutil_makes_something_else_of(parts: dict[str, str]) -> None:
    if wrong := _FORBIDDEN[parts["FREQ"]] & parts.keys():
        raise ValueError(f"write no {min(wrong)} with FREQ={parts['FREQ']}: RFC 5545 forbids it")
    if re.search(r"\d", parts.get("BYDAY", "")) and (parts["FREQ"] in ("DAILY", "WEEKLY") or "BYWEEKNO" in parts):
        raise ValueError("write numbers in BYDAY with FREQ=MONTHLY or YEARLY only, and not beside BYWEEKNO")
    for name in ("BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"):
        if re.search(r"(?<!\d)0+(?!\d)", parts.get(name, "")):  # dateutil takes it for every day
            raise ValueError(f"write numbers from 1 on, or from -1 down, in {name}")
    most = 5 if parts["FREQ"] == "MONTHLY" or "BYMONTH" in parts else 53
    for number in re.findall(r"\d+", parts.get("BYDAY", "")):
        if not 1 <= int(number) <= most:  # dateutil fails on these, in some months only
            raise ValueError(f"write numbers from 1 to {most} in BYDAY")


def _until(text: str, zone: tzinfo) -> datetime:
    """The last wall time at which a start may be. A date alone means the whole of that day."""
    if not text:
        return ENDLESS
    if found := re.fullmatch(r"(\d{8})(?:T(\d{6})(Z?))?", text):
        day, clock, utc = found.groups()
        until = datetime.strptime(day + (clock or "235959"), "%Y%m%d%H%M%S")
        return until.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) if utc else until
    raise ValueError("write UNTIL as 20261231, 20261231T220000 (in the zone) or 20261231T220000Z")


def _explicit(parts: dict[str, str], first: datetime) -> dict[str, str]:
    """Write out what the first start says implicitly (RFC 5545, 3.3.10), so that another start may stand for it."""
    days = {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"} & parts.keys()
    more: dict[str, str] = {}
    match parts["FREQ"]:
        case "YEARLY" if days == {"BYWEEKNO"}:
            more = {"BYDAY": _WEEKDAYS[first.weekday()]}
        case "YEARLY" if not days:
            more = {"BYMONTH": str(first.month), "BYMONTHDAY": str(first.day)}
        case "MONTHLY" if not days:
            more = {"BYMONTHDAY": str(first.day)}
        case "WEEKLY" if not days:
            more = {"BYDAY": _WEEKDAYS[first.weekday()]}
    clock = {"BYHOUR": str(first.hour), "BYMINUTE": str(first.minute), "BYSECOND": str(first.second)}
    return {**clock, **more, **parts}


def _anchor(parts: dict[str, str], first: datetime, after: datetime) -> datetime:
    """The beginning of the interval of the rule that `after` lies in, or of the first one."""
    every = int(parts.get("INTERVAL", 1))
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    since = max(after - midnight, timedelta())
    match parts["FREQ"]:
        case "DAILY":
            return midnight + since // (every * _DAY) * every * _DAY
        case "WEEKLY":
            starts_on = _WEEKDAYS.index(parts.get("WKST", "MO"))
            monday = midnight - (midnight.weekday() - starts_on) % 7 * _DAY
            week = monday + max(after - monday, timedelta()) // (every * _WEEK) * every * _WEEK
            return max(week, midnight)  # the first week begins with the first start: BYSETPOS counts from there
        case "MONTHLY":
            months = max(0, (after.year - first.year) * 12 + after.month - first.month) // every * every
            year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
            return datetime(year, month + 1, 1)
    return datetime(first.year + max(0, after.year - first.year) // every * every, 1, 1)


def _plus_years(moment: datetime, years: int) -> datetime:
    return moment.replace(year=min(moment.year + years, ENDLESS.year), month=12, day=31)


def refuse_too_close(starts: Starts, first: datetime | None) -> None:
    """Refuse what never happens, or comes round more often than every hour. Raises ValueError."""
    first = first or datetime(2026, 1, 1)
    found = list(islice(starts.between(first, _plus_years(first, 10)), _LOOKED_AT))
    if not found:
        raise ValueError("write a time that comes: this one does not, within ten years")
    if any(later - earlier < CLOSEST for earlier, later in pairwise(found)):
        raise ValueError("write a time that comes at most every hour: for more, let the window be open throughout")
