"""What both paging vendors keep: the open alerts, folded by key; and how much they take in a minute."""

from collections import Counter, deque

PER = 60.0
"""Seconds of the sliding window."""


class Alerts:
    """Open alerts by account and key. Each change answers what became of it, in a word."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], str] = {}
        """The open ones, and whether they are `triggered` or `acknowledged`."""
        self.opened: list[str] = []
        """The key of every alert that was new, in order: each of them rang a phone."""
        self.triggers: Counter[str] = Counter()
        """How often a trigger was accepted, by key."""

    def trigger(self, account: str, key: str) -> str:
        """Open an alert, or add to the open one: `opened` or `appended`."""
        self.triggers[key] += 1
        if (account, key) in self.open:
            return "appended"
        self.open[account, key] = "triggered"
        self.opened.append(key)
        return "opened"

    def acknowledge(self, account: str, key: str) -> str:
        """Stop it ringing: `acknowledged`, or `dropped` when it is not open."""
        if (account, key) not in self.open:
            return "dropped"
        self.open[account, key] = "acknowledged"
        return "acknowledged"

    def resolve(self, account: str, key: str) -> str:
        """Close it: `resolved`, or `dropped` when it is not open."""
        return "resolved" if self.open.pop((account, key), None) else "dropped"


class Window:
    """A sliding window: at most `limit` requests in any minute for each account; None takes all."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken: dict[str, deque[float]] = {}

    def takes(self, account: str, now: float) -> bool:
        """Count a request at `now` (seconds, any origin) if there is room for it."""
        if self._limit is None:
            return True
        taken = self._taken.setdefault(account, deque())
        while taken and taken[0] <= now - PER:
            taken.popleft()
        if len(taken) >= self._limit:
            return False
        taken.append(now)
        return True
