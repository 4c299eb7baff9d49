"""The last results with their logs, for people: those that failed are kept longer."""

import itertools
from collections import deque
from dataclasses import dataclass

from synthetic.run import Result

KEPT = 100


@dataclass(frozen=True, slots=True)
class Remembered:
    """A result, and of what."""

    id: int
    name: str
    """The check, or the module of `/probe`."""
    target: str
    result: Result


class History:
    """The last hundred results, and the last hundred that failed."""

    def __init__(self, kept: int = KEPT) -> None:
        self._numbers = itertools.count(1)
        self._last: deque[Remembered] = deque(maxlen=kept)
        self._failed: deque[Remembered] = deque(maxlen=kept)

    def add(self, name: str, target: str, result: Result) -> None:
        """Remember a result."""
        one = Remembered(next(self._numbers), name, target, result)
        (self._last if result.success else self._failed).append(one)

    def all(self) -> list[Remembered]:
        """Everything that is remembered, the newest first."""
        return sorted((*self._last, *self._failed), key=lambda one: -one.id)

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
