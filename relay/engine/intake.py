"""Taking webhooks in: many that wait share one durable commit."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from relay.engine.writer import Writer
from relay.store.database import StoreUnavailable
from relay.store.inbox import Inbox, Received

MOST_WAITING_BYTES = 512 * 1024 * 1024
"""Bodies in memory that wait for a commit. More means that the database does not keep up."""
MOST_TOGETHER = 1_000


class Intake:
    """Makes webhooks durable."""

    def __init__(self, writer: Writer, stored: Callable[[], None]) -> None:
        self._writer = writer
        self._stored = stored
        self._waiting: list[tuple[Received, asyncio.Future[None]]] = []
        self._bytes = 0
        self._came = asyncio.Event()

    async def accept(self, source: str, body: bytes, now: datetime) -> None:
        """Return when the body is durable. Raises `StoreUnavailable` when it cannot be made so now."""
        if self._bytes + len(body) > MOST_WAITING_BYTES:
            raise StoreUnavailable("too much waits to be stored: the database does not keep up")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((Received(source, now, body), done))
        self._bytes += len(body)
        self._came.set()
        try:
            await done
        finally:
            self._bytes -= len(body)

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            await self._came.wait()
            together, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            if not self._waiting:
                self._came.clear()
            await self._store(together)

    async def _store(self, together: list[tuple[Received, asyncio.Future[None]]]) -> None:
        bodies = [body for body, _ in together]

        def append(connection: Connection) -> None:
            Inbox(connection).append(bodies)

        refused: Exception | None = None
        try:
            await self._writer.transact(append)
        except StoreUnavailable as error:
            refused = error
        except asyncio.CancelledError:
            refused = StoreUnavailable("Relay is stopping")
            raise
        finally:
            for _, done in together:
                if not done.done():
                    done.set_exception(refused) if refused else done.set_result(None)
        if refused is None:
            self._stored()
