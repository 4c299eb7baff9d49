"""The last results with their logs, for people: of each check some that failed, so that no other can push them out."""

import itertools
from collections import deque
from dataclasses import dataclass

from synthetic.run import Result

KEPT = 100
"""Successes; and failures of `/probe`, which anybody can bring about."""
OF_EACH = 5
"""Failures of one check."""
MOST = 2000
"""Failures of all checks: when ten thousand fail, their logs must not take the memory."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A result, and of what."""

    id: int
    name: str
    """The check, or the module of `/probe`."""
    target: str
    result: Result


class History:
    """The last hundred successes, the last five failures of each check, and the last hundred of `/probe`."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._well: deque[Remembered] = deque(maxlen=KEPT)
        self._asked: deque[Remembered] = deque(maxlen=KEPT)
        self._failed: dict[int, Remembered] = {}
        """By id, the oldest first."""
        self._of: dict[str, deque[int]] = {}

    def add(self, name: str, target: str, result: Result) -> Remembered:
        """Remember a run of a check."""
        one = Remembered(next(self._numbers), name, target, result)
        if result.success:
            self._well.append(one)
            return one
        self._failed[one.id] = one
        own = self._of.setdefault(name, deque())
        own.append(one.id)
        if len(own) > OF_EACH:
            del self._failed[own.popleft()]
        elif len(self._failed) > MOST:
            self._forget(next(iter(self._failed)))
        return one

    def add_asked(self, module: str, target: str, result: Result) -> Remembered:
        """Remember a run of `/probe`."""
        one = Remembered(next(self._numbers), module, target, result)
        (self._well if result.success else self._asked).append(one)
        return one

    def _forget(self, id_: int) -> None:
        name = self._failed.pop(id_).name
        self._of[name].popleft()
        if not self._of[name]:
            del self._of[name]

    def all(self) -> list[Remembered]:
        """Everything that is remembered, the newest first."""
        return sorted((*self._well, *self._asked, *self._failed.values()), key=lambda one: -one.id)

    def find(self, id_: int) -> Remembered | None:
        """One of them."""
        return next((one for one in self.all() if one.id == id_), None)


def tell(remembered: Remembered) -> str:
    """A result in words: what was tried, what was found, and the log."""
    result = remembered.result
    verdict = "succeeded" if result.success else f"failed: {result.reason}: {result.text}"
    head = [
        f"{remembered.name} {remembered.target}",
        f"{result.began_at:%Y-%m-%d %H:%M:%S} UTC, {result.seconds * 1000:.1f} ms: {verdict}",
        "",
    ]
    phases = [f"{name}{{{labels}}} {value:g}" for (name, labels), value in sorted(result.samples.items())]
    return "\n".join([*head, *result.log, "", *phases]) + "\n"
