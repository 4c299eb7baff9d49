"""The only place that reads the wall clock."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time; the service is given one and never asks the system."""

    def now(self) -> datetime:
        """Say what time it is, in UTC."""
        ...

    def elapsed(self) -> float:
        """Say how many seconds have passed since some moment: setting the clock does not change that."""
        ...


class WallClock:
    """Real time."""

    def now(self) -> datetime:
        """Say what time it is, in UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """Say how many seconds have passed, as the machine counts them."""
        return time.monotonic()


class ManualClock:
    """Time that moves only when a test or a simulation moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._elapsed = 0.0

    def elapsed(self) -> float:
        """Say how many seconds it was moved forward; what it was moved back was only set."""
        return self._elapsed

    def now(self) -> datetime:
        """Say what time it was last set to."""
        return self._now

    def advance(self, by: timedelta) -> None:
        """Move time, forward or (as real clocks do) back."""
        self.set(self._now + by)

    def set(self, to: datetime) -> None:
        """Say what time it is from now on."""
        self._elapsed += max(0.0, (to - self._now).total_seconds())
        self._now = to
