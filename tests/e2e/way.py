"""A way over TCP between a client and a server, which a test can make silent, cut, or lead elsewhere."""

import asyncio
from contextlib import asynccontextmanager, suppress


class Way:
    """Forwards bytes. `silent`: nothing passes any more, and nobody is told, as when a network is partitioned."""

    def __init__(self, port: int) -> None:
        self.to = port
        """Where new connections lead, on 127.0.0.1."""
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task] = set()

    def silent(self, yes: bool) -> None:
        if yes:
            self._open.clear()
        else:
            self._open.set()

    def cut(self) -> None:
        """Break every connection."""
        for task in self._tasks:
            task.cancel()

    async def serve(self, reader, writer) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        other = None
        try:
            await self._open.wait()
            back, other = await asyncio.open_connection("127.0.0.1", self.to)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, other))
                both.create_task(self._pass_on(back, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # a connection has nobody else who waits for it
        finally:
            self._tasks.discard(task)
            for one in (writer, other):
                if one is not None:
                    one.transport.abort()

    async def _pass_on(self, reader, writer) -> None:
        while some := await reader.read(65536):
            await self._open.wait()
            writer.write(some)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def way(port: int):
    """A way to a port of 127.0.0.1."""
    made = Way(port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.silent(False)
        made.cut()
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.gather(*made._tasks, return_exceptions=True)
