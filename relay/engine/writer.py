"""The way from asyncio to the database: a whole transaction at a time, in a thread."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Connection

from relay.store.database import Database

Result = TypeVar("Result")
Work = Callable[[Connection], Any]


class Writer:
    """Runs transactions in threads: one at a time for SQLite, a few for PostgreSQL; and look-ups beside them.

    Who posts waits for a transaction's way there and back: by these threads it takes half as long as by a pool of them.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._asked = SimpleQueue[tuple[Work, asyncio.Future[Any]] | None]()
        self._writers = [Thread(target=self._write, name="relay-writer", daemon=True) for _ in range(database.writers)]
        for writer in self._writers:
            writer.start()
        self._readers = ThreadPoolExecutor(2, "relay-reader")
        self._showers = ThreadPoolExecutor(2, "relay-shower")
        self._begun: dict[object, float] = {}

    async def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Do work in a transaction. Raises `StoreUnavailable`, and whatever `work` raises."""
        if not self._writers:
            raise RuntimeError("the writer is closed")
        self._begun[work] = time.monotonic()
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._asked.put((work, done))
        try:
            return await done
        finally:
            del self._begun[work], done  # what is raised holds this frame, and would hold itself

    def _write(self) -> None:
        while (asked := self._asked.get()) is not None:
            self._do(*asked)
            del asked  # a turn's work holds much, and nothing more may come for long

    def _do(self, work: Work, done: asyncio.Future[Any]) -> None:
        if done.cancelled():
            return
        result, error = None, None
        try:
            result = self.database.transact(work)
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            done.get_loop().call_soon_threadsafe(_tell, done, result, error)
        del work, done, error  # what was raised holds this frame: it must not hold itself, and all that it came from

    @property
    def waited(self) -> float:
        """Seconds for which the oldest of the transactions under way has been waited for."""
        return time.monotonic() - min(self._begun.values(), default=time.monotonic())

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Look things up. Raises `StoreUnavailable`."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.database.read, work)

    async def show(self, work: Callable[[Connection], Result]) -> Result:
        """Look things up for people, whose questions may take long: the engine's never wait for theirs."""
        return await asyncio.get_running_loop().run_in_executor(self._showers, self.database.read, work)

    async def checkpoint(self) -> None:
        """Copy the database's log, while others write. Raises `StoreUnavailable`."""
        await asyncio.get_running_loop().run_in_executor(self._readers, self.database.checkpoint)

    def close(self) -> None:
        """Wait for what runs, and let go."""
        for _ in self._writers:
            self._asked.put(None)
        while self._writers:
            self._writers.pop().join()
        self._readers.shutdown()
        self._showers.shutdown()
        self.database.close()


def _tell(done: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if done.done():  # cancelled: nobody waits any more
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
