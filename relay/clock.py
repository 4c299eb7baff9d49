"""The only place that reads the wall clock."""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time; the service is given one and never asks the system."""

    def now(self) -> datetime:
        """Say what time it is, in UTC."""
        ...


class WallClock:
    """Real time."""

    def now(self) -> datetime:
        """Say what time it is, in UTC."""
        return datetime.now(UTC)


class ManualClock:
    """Time that moves only when a test or a simulation moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Say what time it was last set to."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move time, forward or (as real clocks do) back."""
        self._now += by

    def set(self, to: datetime) -> None:
        """Say what time it is from now on."""
        self._now = to
