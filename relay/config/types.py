"""The small values that SREs write: durations, matchers, zones, days, moments."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from relay.config.document import Place, PlacedMapping
from relay.config.matchers import Matcher, parse_matcher

AnyDate = TypeVar("AnyDate", bound=date)

_UNITS = {"y": 31536000, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_DURATION = re.compile("".join(rf"(?:(\d{{1,18}}){unit})?" for unit in _UNITS), re.ASCII)
_MOST_SECONDS = 10 * 31536000
_NO_ZONES = ("localtime", "posixrules", "Factory", "posix", "right")
"""Files beside the zones: what each machine makes of itself, and clocks that count leap seconds."""
YEARS = range(1970, 3000)
"""Years that can be written: beyond them a change of zone or a rotation leaves the calendar."""


def duration(text: str) -> timedelta:
    """Read a duration as Prometheus writes it: `30s`, `1h30m`, `2d`. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if not found or not text:
        raise ValueError("write a duration such as 30s, 5m, 1h30m or 2d")
    seconds = sum(int(n) * unit for n, unit in zip(found.groups("0"), _UNITS.values(), strict=True))
    if seconds > _MOST_SECONDS:
        raise ValueError("write a duration of at most ten years (10y)")
    return timedelta(seconds=seconds)


def spell(span: timedelta) -> str:
    """Write a duration as Prometheus does: `1h30m`; parts below a second are dropped."""
    seconds = int(span.total_seconds())
    if seconds <= 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, int(_UNITS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:3])


def spell_exactly(span: timedelta) -> str:
    """Write a duration to the millisecond, as somebody may have written it: `1h30m`, `1s500ms`."""
    left, parts = round(span / timedelta(milliseconds=1)), []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(_UNITS[unit] * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def at_least(least: timedelta) -> AfterValidator:
    """Refuse a duration that is shorter, in words."""

    def check(span: timedelta) -> timedelta:
        if span < least:
            raise ValueError(f"write at least {spell_exactly(least)}")
        return span

    return AfterValidator(check)


def at_most(most: timedelta) -> AfterValidator:
    """Refuse a duration that is longer, in words."""

    def check(span: timedelta) -> timedelta:
        if span > most:
            raise ValueError(f"write at most {spell_exactly(most)}")
        return span

    return AfterValidator(check)


def _read_duration(value: Any) -> timedelta:
    return value if isinstance(value, timedelta) else duration(str(value))


def read_zone(value: Any) -> ZoneInfo:
    """Read the name of a time zone. Raises ValueError."""
    if isinstance(value, ZoneInfo):
        return value
    try:
        if str(value).partition("/")[0] in _NO_ZONES:
            raise ValueError
        return ZoneInfo(str(value))
    except Exception:  # zoneinfo answers an unknown or malformed name with five kinds of errors
        raise ValueError("write a time zone as the IANA database names it, such as Europe/Berlin or UTC") from None


def _read_time(value: Any) -> time:
    if isinstance(value, time):
        return value
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", str(value)):
        raise ValueError('write a time of day such as "09:00"')
    return time.fromisoformat(str(value))


def _read_moment(value: Any) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(
            "write a date and time such as 2026-10-24T23:00 (local to the zone) or with Z or +02:00"
        ) from None
    return in_our_time(moment)


def _read_date(value: Any) -> date:
    try:
        day = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("write a date such as 2026-01-05") from None
    return in_our_time(day)


def in_our_time(day: AnyDate) -> AnyDate:
    """Give a date or time back if its year is one of `YEARS`. Raises ValueError for others."""
    if day.year not in YEARS:
        raise ValueError(f"write a year from {YEARS[0]} to {YEARS[-1]}")
    return day


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _read_day(value: Any) -> int:
    for number, name in enumerate(_DAYS):
        if str(value).lower() in (name, name[:3]):
            return number
    raise ValueError("write a day such as monday or mon")


def _read_matcher(value: Any) -> Matcher:
    return value if isinstance(value, Matcher) else parse_matcher(str(value))


def _schema(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": [example]})


Duration = Annotated[timedelta, BeforeValidator(_read_duration), PlainSerializer(spell), _schema("5m")]
Zone = Annotated[ZoneInfo, BeforeValidator(read_zone), PlainSerializer(str), _schema("Europe/Berlin")]
TimeOfDay = Annotated[time, BeforeValidator(_read_time), PlainSerializer(str), _schema("09:00")]
Moment = Annotated[datetime, BeforeValidator(_read_moment), _schema("2026-10-24T23:00")]
Date = Annotated[date, BeforeValidator(_read_date), _schema("2026-01-05")]
Day = Annotated[int, BeforeValidator(_read_day), _schema("monday")]
"""A day of the week, monday = 0."""
OneMatcher = Annotated[Matcher, BeforeValidator(_read_matcher), PlainSerializer(str), _schema('service=~"pay-.*"')]


class Section(BaseModel):
    """A part of a rule file: nothing unknown in it, and nothing changes after it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Placed(Section):
    """A section that knows the file and line it was written at, so that a reason can name it."""

    place: Place = Field(default=Place("(default)", 1), alias="__place__", exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _remember(cls, data: Any) -> Any:
        return {**data, "__place__": data.place} if isinstance(data, PlacedMapping) else data


def to_utc(wall: datetime, zone: tzinfo, *, end: bool = False) -> datetime:
    """Give the instant at which clocks in the zone show `wall`, in UTC; an aware `wall` is kept as it is.

    A time that the spring change skips is moved forward by the gap. A time that the autumn change repeats
    is its first pass for a start and its last for an end, so that a span never has a hole (GoAlert's rule).
    """
    if wall.tzinfo is not None:
        return wall.astimezone(UTC)
    return wall.replace(tzinfo=zone, fold=1 if end and _repeats(wall, zone) else 0).astimezone(UTC)


def _repeats(wall: datetime, zone: tzinfo) -> bool:
    first, last = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and last is not None and first > last
