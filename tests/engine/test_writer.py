"""The way to the database: whoever waits gets what came of it, and whoever waits no more harms nobody."""

import asyncio
import gc
import threading
import time
import weakref

import pytest
from sqlalchemy import text

from relay.engine.writer import Writer
from relay.store.database import open_database


@pytest.fixture
def writer(tmp_path):
    writer = Writer(open_database(f"sqlite:///{tmp_path}/relay.db"))
    yield writer
    writer.close()


def a_table(connection):
    connection.execute(text("create table noted (what text)"))


def note(what):
    return lambda connection: connection.execute(text("insert into noted values (:what)"), {"what": what}).rowcount


def noted(connection):
    return list(connection.execute(text("select what from noted")).scalars())


async def test_what_is_raised_is_undone_and_told_and_the_next_one_goes_on(writer):
    await writer.transact(a_table)

    def fails(connection):
        note("undone")(connection)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await writer.transact(fails)
    assert await writer.transact(note("kept")) == 1
    assert await writer.transact(noted) == ["kept"]
    assert writer.waited < 1


async def test_what_nobody_waits_for_any_more_is_not_begun(writer):
    await writer.transact(a_table)
    go_on = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(writer.transact(lambda connection: go_on.wait(10)))
        second = tasks.create_task(writer.transact(note("cancelled")))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0)
        go_on.set()
    assert first.result() is True
    assert await writer.transact(noted) == []


async def test_one_that_is_cancelled_while_it_runs_is_finished_and_told_to_nobody(writer):
    await writer.transact(a_table)
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection):
        begun.set()
        go_on.wait(10)
        return note("slow")(connection)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(writer.transact(slow))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
    assert task.cancelled()
    go_on.set()
    assert await writer.transact(noted) == ["slow"]


def test_closing_waits_for_what_runs_though_the_loop_that_asked_is_gone(tmp_path):
    url = f"sqlite:///{tmp_path}/relay.db"
    writer = Writer(open_database(url))
    begun = threading.Event()

    def slow(connection):
        a_table(connection)
        note("slow")(connection)
        begun.set()
        time.sleep(0.2)

    async def asks():
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(writer.transact(slow))
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()

    asyncio.run(asks())
    writer.close()
    with_it = open_database(url)
    assert with_it.read(noted) == ["slow"]
    with_it.close()


class Large:
    """What a piece of work holds."""


async def test_what_a_failed_piece_of_work_held_is_let_go_at_once(writer):
    async def fails():
        held = Large()

        def work(connection):
            raise ValueError(id(held))

        with pytest.raises(ValueError, match=r"\d+"):
            await writer.transact(work)
        return weakref.ref(held)

    gc.disable()
    try:
        left = [await fails() for _ in range(5)]
        await writer.transact(lambda connection: None)  # the thread has gone on
        assert [one() for one in left] == [None] * 5
    finally:
        gc.enable()


async def test_a_closed_one_refuses(tmp_path):
    writer = Writer(open_database(f"sqlite:///{tmp_path}/relay.db"))
    writer.close()
    with pytest.raises(RuntimeError, match="closed"):
        await writer.transact(noted)


async def test_the_engine_does_not_wait_for_what_people_look_up(writer):
    go_on = threading.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(writer.show(lambda connection: go_on.wait(10)))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5):
            assert await writer.read(lambda connection: "seen") == "seen"
        go_on.set()
