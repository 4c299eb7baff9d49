"""The only place that reads the wall clock."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time; the service is given one and never asks the system."""

    def now(self) -> datetime:
        """Say what time it is, in UTC."""
        ...

    def monotonic(self) -> float:
        """Count seconds that pass, from anywhere, whatever the time is set to."""
        ...


class WallClock:
    """Real time."""

    def now(self) -> datetime:
        """Say what time it is, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Count seconds that pass."""
        return time.monotonic()


class ManualClock:
    """Time that moves only when a test or a simulation moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._passed = 0.0

    def now(self) -> datetime:
        """Say what time it was last set to."""
        return self._now

    def monotonic(self) -> float:
        """Count the seconds by which it was moved forward."""
        return self._passed

    def advance(self, by: timedelta) -> None:
        """Move time, forward or (as real clocks do) back."""
        self.set(self._now + by)

    def set(self, to: datetime) -> None:
        """Say what time it is from now on."""
        self._passed += max((to - self._now).total_seconds(), 0.0)
        self._now = to

    def step(self, by: timedelta) -> None:
        """Set the time forward or back, while none passes."""
        self._now += by
