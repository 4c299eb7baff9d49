"""How fast each target is asked: a token bucket, a pause where it asks for one, and a circuit breaker.

A target that fails again and again is left alone for a while, and then tried with a single errand. What waits for it
meanwhile stays in the outbox, untried; pages that wait too long go to its fallback (`relay/incident/fallback.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

FAILURES = 5
"""Failures in a row, without any answer that asks for patience, after which a target is left alone."""
ALONE = 15.0
"""Seconds for which it is."""
LONGEST_PAUSE = 300.0
"""Seconds; a vendor that asks for more is asked again all the same."""
UNLIMITED = 1_000_000


@dataclass(slots=True)
class _Lane:
    tokens: float
    filled_at: float
    failures: int = 0
    closed_until: float = 0.0
    """By the circuit breaker; an answer opens it."""
    paused_until: float = 0.0
    """As the target asked; nothing but time ends that, whatever it answers to what was under way."""


class Pace:
    """Says how many more errands a target may be given now.

    `limits` gives errands a minute by target, 0 for no limit; `monotonic` gives seconds that never go back.
    """

    def __init__(self, limits: Callable[[], Mapping[str, int]], monotonic: Callable[[], float]) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._lanes: dict[str, _Lane] = {}
        """Lists are made of it at once: turns ask for room in a thread of their own."""

    def room(self, target: str) -> int:
        """How many errands the target may be given now."""
        lane, now = self._filled(target), self._monotonic()
        if max(lane.closed_until, lane.paused_until) > now:
            return 0
        if lane.failures >= FAILURES:
            return 1  # one errand finds out whether it is back
        return int(lane.tokens) if self._limit(target) else UNLIMITED

    def take(self, target: str) -> None:
        """Count an errand that is being carried out."""
        lane = self._filled(target)
        lane.tokens = max(0.0, lane.tokens - 1)
        if lane.failures >= FAILURES:
            lane.closed_until = self._monotonic() + ALONE

    def answered(self, target: str) -> None:
        """Count an answer: the target works, even if it refuses."""
        lane = self._filled(target)
        lane.failures, lane.closed_until = 0, 0.0

    def failed(self, target: str, pause: timedelta | None) -> None:
        """Count a failure; `pause` is what the target itself asks for."""
        lane, now = self._filled(target), self._monotonic()
        if pause is not None:
            lane.failures, lane.closed_until = 0, 0.0
            lane.paused_until = max(lane.paused_until, now + min(pause.total_seconds(), LONGEST_PAUSE))
            return
        lane.failures += 1
        if lane.failures >= FAILURES:
            lane.closed_until = now + ALONE

    def closed(self) -> frozenset[str]:
        """Targets that may be given nothing now."""
        return frozenset(target for target in list(self._lanes) if self.room(target) < 1)

    def broken(self) -> frozenset[str]:
        """Targets that have failed so often that they are left alone."""
        return frozenset(target for target, lane in list(self._lanes.items()) if lane.failures >= FAILURES)

    def _limit(self, target: str) -> int:
        return self._limits().get(target, 0)

    def _filled(self, target: str) -> _Lane:
        """Fill half of the limit at most, and as much again in a minute: so never more than the limit in one."""
        now, most = self._monotonic(), max(1.0, self._limit(target) / 2)
        lane = self._lanes.get(target)
        if lane is None:
            lane = self._lanes[target] = _Lane(most, now)
        lane.tokens = min(most, lane.tokens + (now - lane.filled_at) * most / 60)
        lane.filled_at = now
        return lane
