"""A database that says nothing, and a replica that does so in the middle of its turn."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress

import psycopg
import pytest
from databases import emptied, postgresql_url
from service import service
from sqlalchemy import make_url
from world import told

from relay.demo.standins import pagerduty
from relay.engine.loop import LONGEST_TRANSACTION
from relay.store.database import StoreUnusable, open_database

__all__ = ["postgresql_url"]

pytestmark = pytest.mark.servers


async def post(relay, service, name="HighErrorRate"):
    body = {"version": "4", "groupKey": "g", "status": "firing", "alerts": [told(name, service=service)]}
    async with asyncio.timeout(10):
        return (await relay.post(body))[0]


async def eventually(holds, seconds):
    async with asyncio.timeout(seconds):
        while not (found := await holds()):
            await asyncio.sleep(0.05)
    return found


def rung(pager, start):
    async def holds():
        return [key for key in pager.pages() if key.startswith(start)]

    return holds


async def test_what_a_silent_replica_holds_is_all_that_waits_for_it(tmp_path, postgresql_url):
    emptied(postgresql_url).close()
    async with pagerduty.stand_in() as pager, service(tmp_path, pager.url, database=postgresql_url) as relay:
        assert await post(relay, "held") == 200
        await eventually(rung(pager, "INC-1/"), 20)
        with psycopg.connect(postgresql_url) as silent:
            silent.execute("select 1 from incident where id = 'INC-1' for update")
            assert await post(relay, "held", name="Another") == 200
            assert await post(relay, "free") == 200
            await eventually(rung(pager, "INC-2/"), 20)
            assert (await relay.ask("GET", "/-/ready"))[0] == 200
            assert (await relay.ask("GET", "/api/v1/quarantine", role="responder"))[1]["quarantine"] == []

        async def joined():
            _, incident = await relay.ask("GET", "/api/v1/incidents/INC-1", role="viewer")
            return len(incident["alerts"]) == 2

        await eventually(joined, 20)


def test_a_session_that_says_nothing_in_a_transaction_is_ended(postgresql_url):
    database = emptied(postgresql_url)
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    shown = [database.transact(lambda c, name=name: c.exec_driver_sql(f"show {name}").scalar()) for name in names]
    assert shown == ["1s", "1min", "30s"]
    database.close()


def test_a_server_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(StoreUnusable, match="cannot be reached"):
            open_database(f"postgresql://relay@127.0.0.1:{mute.getsockname()[1]}/relay")
    assert time.monotonic() - began < 30


async def test_a_database_that_is_cut_off_is_noticed_and_taken_up_again(tmp_path, postgresql_url):
    emptied(postgresql_url).close()
    with cuttable(make_url(postgresql_url).port) as (port, passes):
        url = make_url(postgresql_url).set(port=port).render_as_string()
        async with pagerduty.stand_in() as pager, service(tmp_path, pager.url, database=url) as relay:
            assert await post(relay, "before") == 200

            async def ready():
                return (await relay.ask("GET", "/-/ready"))[0] == 200

            async def away():
                return not await ready()

            passes.clear()
            await eventually(away, LONGEST_TRANSACTION + 20)
            passes.set()
            await eventually(ready, 40)
            assert await post(relay, "after") == 200
            await eventually(rung(pager, "INC-2/"), 20)


@contextmanager
def cuttable(port):
    """A way to a port, which can be cut: then nothing passes, and nobody is told. In threads: a start blocks."""
    passes = threading.Event()
    passes.set()
    ends = []

    def pass_on(here, there):
        with suppress(OSError):
            while data := here.recv(65536):
                passes.wait()
                there.sendall(data)
            there.shutdown(socket.SHUT_RDWR)

    def listen():
        with suppress(OSError):
            while True:
                here = server.accept()[0]
                there = socket.create_connection(("127.0.0.1", port))
                ends.extend((here, there))
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=pass_on, args=pair, daemon=True).start()

    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield server.getsockname()[1], passes
    finally:
        server.shutdown(socket.SHUT_RDWR)
        for end in (server, *ends):
            end.close()
