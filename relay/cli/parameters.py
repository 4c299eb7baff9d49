"""Values of options: what a command line may say, and how it is refused."""

from datetime import UTC, datetime, timedelta

import click

from relay.config.matchers import Matcher, parse_matcher
from relay.config.types import duration


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
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f'"{value}" is not a time: write 2026-03-29T02:30+02:00', param, ctx)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class MatcherOption(click.ParamType[Matcher]):
    """A matcher as Alertmanager writes it."""

    name = "matcher"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Matcher:
        """Read it, or refuse it in words."""
        try:
            return parse_matcher(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
