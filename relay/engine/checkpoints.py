"""Checkpoints: what SQLite's log holds is copied into its file beside those who write.

Left to SQLite, every thousandth page makes one commit copy them all, and the webhooks in it wait for that.
"""

import asyncio
from contextlib import suppress

from relay.engine.writer import Writer
from relay.store.failures import StoreUnavailable

EVERY = 0.5
"""Seconds between two."""


async def keep_log_short(writer: Writer) -> None:
    """Copy again and again, until cancelled. What keeps it from that keeps the log as it is, and turns say what."""
    while True:
        await asyncio.sleep(EVERY)
        with suppress(StoreUnavailable):
            await writer.checkpoint()
