"""The way from asyncio to the database: a whole transaction at a time, in a thread."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection

from relay.store.database import Database

Result = TypeVar("Result")


class Writer:
    """Runs transactions in threads: one at a time for SQLite, a few for PostgreSQL; and look-ups beside them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._writers = ThreadPoolExecutor(database.writers, "relay-writer")
        self._readers = ThreadPoolExecutor(2, "relay-reader")
        self._begun: dict[object, float] = {}

    async def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Do work in a transaction. Raises `StoreUnavailable`, and whatever `work` raises."""
        self._begun[work] = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writers, self.database.transact, work)
        finally:
            del self._begun[work]

    @property
    def waited(self) -> float:
        """Seconds for which the oldest of the transactions under way has been waited for."""
        return time.monotonic() - min(self._begun.values(), default=time.monotonic())

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Look things up. Raises `StoreUnavailable`."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.database.read, work)

    async def checkpoint(self) -> None:
        """Copy the database's log, while others write. Raises `StoreUnavailable`."""
        await asyncio.get_running_loop().run_in_executor(self._readers, self.database.checkpoint)

    def close(self) -> None:
        """Wait for what runs, and let go."""
        self._writers.shutdown()
        self._readers.shutdown()
        self.database.close()
