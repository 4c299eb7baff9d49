"""Where webhooks wait to become durable: many that wait share one transaction, the engine's next turn."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from relay.engine.drain import Arrived
from relay.integrations.alertmanager import Webhook
from relay.store.failures import StoreUnavailable
from relay.store.inbox import Received

MOST_TOGETHER = 1_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A webhook, and whom to tell that it is durable."""

    arrived: Arrived
    done: asyncio.Future[None]


def _nobody_listens() -> None:
    pass


class Room:
    """Room for bodies in memory."""

    most: ClassVar[int]
    """Bytes."""
    full: ClassVar[str]
    """Why there is no more."""

    def __init__(self) -> None:
        self._bytes = 0

    @contextmanager
    def place(self) -> Iterator[Callable[[int], None]]:
        """Count a body in memory, from its first byte until it is durable: gives what each piece's size is told to.

        That raises `StoreUnavailable` when there is no room for the piece.
        """
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            self.need(size)
            self._bytes += size
            held += size

        try:
            yield hold
        finally:
            self._bytes -= held

    def need(self, size: int) -> None:
        """Raise `StoreUnavailable` unless there is room for so many bytes."""
        if self._bytes + size > self.most:
            raise StoreUnavailable(self.full)


class Intake(Room):
    """Takes webhooks in. Their bodies are read in part, or wait for a commit."""

    most = 512 * 1024 * 1024
    full = "too much waits to be stored: the database does not keep up"

    def __init__(self) -> None:
        super().__init__()
        self.came: Callable[[], None] = _nobody_listens
        """Called for each webhook that comes."""
        self._waiting: list[Waiting] = []

    async def accept(self, source: str, body: bytes, webhook: Webhook, now: datetime) -> None:
        """Return when the body is durable. Raises `StoreUnavailable` when it cannot be made so now."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(Arrived(Received(source, now, body), webhook), done))
        self.came()
        await done

    @property
    def empty(self) -> bool:
        """Whether nobody waits."""
        return not self._waiting

    def take(self) -> list[Waiting]:
        """Give what waits, once, in the order in which it came."""
        together, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        return together


def tell(waiting: Sequence[Waiting], refused: StoreUnavailable | None = None) -> None:
    """Tell those who wait that their webhooks are durable, or why they are not."""
    for one in waiting:
        if not one.done.done():
            one.done.set_exception(refused) if refused else one.done.set_result(None)
