"""What is believed of a check at this location: OK, SUSPECT after a first failure, FAILING when it is confirmed."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from synthetic.checks import Confirm


class State(IntEnum):
    """As `probe_state` tells it."""

    OK = 0
    SUSPECT = 1
    FAILING = 2


@dataclass(slots=True)
class Watch:
    """The last results of one check, and what they make of it."""

    confirm: Confirm
    state: State = State.OK
    since: datetime | None = None
    """When the state began: for FAILING, when the first run that failed had ended."""
    _last: deque[bool] = field(default_factory=deque)
    _suspect_since: datetime | None = None
    _good: int = 0

    def take(self, success: bool, at: datetime) -> tuple[timedelta, ...]:
        """Take in a result; gives how soon to look again, besides the next planned run."""
        self.since = self.since or at
        self._last.append(success)
        while len(self._last) > self.confirm.of:
            self._last.popleft()
        self._good = self._good + 1 if success else 0
        return self._well(at) if success else self._ill(at)

    def _ill(self, at: datetime) -> tuple[timedelta, ...]:
        first = self.state == State.OK
        if first:
            self._suspect_since = at
            self._move(State.SUSPECT, at)
        if self.state == State.SUSPECT and self._last.count(False) >= self.confirm.failures:
            self._move(State.FAILING, self._suspect_since or at)
            return ()
        return self.confirm.after if first else ()

    def _well(self, at: datetime) -> tuple[timedelta, ...]:
        if self.state == State.OK:
            return ()
        if self._good >= self.confirm.successes:
            self._last.clear()
            self._move(State.OK, at)
            return ()
        return self.confirm.after[:1] if self.state == State.FAILING else ()

    def _move(self, state: State, since: datetime) -> None:
        self.state, self.since = state, since
