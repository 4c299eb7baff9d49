"""Values of options: what a command line may say, and how it is refused."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import click

from relay.config.matchers import Matcher, parse_matcher
from relay.config.types import YEARS, duration, read_zone, to_utc


def moment(text: str, zone: tzinfo = UTC, *, end: bool = False) -> datetime:
    """Read a time, on the clocks of a zone where it says no offset. Raises ValueError.

    Of an hour that comes twice the first pass is meant; where something ends, the last.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a time: write 2026-03-29T02:30+02:00') from None
    if read.year not in YEARS:
        raise ValueError(f'"{text}" is too far away: write a year from {YEARS[0]} to {YEARS[-1]}')
    return to_utc(read, zone, end=end)


def incident_id(text: str) -> str | None:
    """Read `12`, `inc-12` or `INC-12` as INC-12; None for what is no incident."""
    number = text.upper().removeprefix("INC-")
    return f"INC-{int(number)}" if number.isascii() and number.isdigit() and len(number) <= 18 else None


class Duration(click.ParamType[timedelta]):
    """A duration as Prometheus writes it."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it, or refuse it in words."""
        try:
            return value if isinstance(value, timedelta) else duration("0s" if value == "0" else str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A date and time, UTC where it says no offset."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it, or refuse it in words."""
        try:
            return moment(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Zone(click.ParamType[ZoneInfo]):
    """A time zone by its name."""

    name = "zone"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> ZoneInfo:
        """Read it, or refuse it in words."""
        try:
            return read_zone(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class MatcherOption(click.ParamType[Matcher]):
    """A matcher as Alertmanager writes it."""

    name = "matcher"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Matcher:
        """Read it, or refuse it in words."""
        try:
            return parse_matcher(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
