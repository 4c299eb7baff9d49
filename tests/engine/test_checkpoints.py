"""Checkpoints beside the commits."""

import asyncio

from sqlalchemy import text

from relay.engine import checkpoints
from relay.engine.writer import Writer
from relay.store.database import open_database
from relay.store.failures import StoreUnavailable


async def test_one_that_fails_is_followed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0.001)
    writer = Writer(open_database(f"sqlite:///{tmp_path / 'relay.db'}"))
    failures, copy = [StoreUnavailable("the disk answers with an error")], writer.database.checkpoint

    def fail_once():
        if failures:
            raise failures.pop()
        copy()

    def size():
        return (tmp_path / "relay.db").stat().st_size

    monkeypatch.setattr(writer.database, "checkpoint", fail_once)
    await writer.transact(lambda c: c.execute(text("create table more as select randomblob(100000)")))
    before = size()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(checkpoints.keep_log_short(writer))
        while size() == before:
            await asyncio.sleep(0.01)
        running.cancel()
    assert not failures
    writer.close()
