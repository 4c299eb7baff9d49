"""A minimal durable service, to compare with: stores webhook, alerts and page in a group commit; pages a group once.

No rules, no windows, no ends, no escalation, no timeline. `yardstick.py PORT DATABASE PAGER_PORT`.
"""

import asyncio
import json
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import aiohttp
from aiohttp import web

PORT, DATABASE, PAGER = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
database = sqlite3.connect(DATABASE, isolation_level=None, check_same_thread=False)
database.executescript("""
pragma journal_mode = wal; pragma synchronous = full;
create table inbox (id integer primary key, body blob);
create table alert (fingerprint text primary key, body text);
create table outbox (key text primary key, body text, sent integer default 0);
""")
writer = ThreadPoolExecutor(1)
waiting: list[tuple[bytes, dict, asyncio.Future]] = []
came = asyncio.Event()


def write(batch: list[tuple[bytes, dict]], sent: list[str]) -> list[tuple[str, str]]:
    database.execute("begin immediate")
    database.executemany("insert into inbox (body) values (?)", [(raw,) for raw, _ in batch])
    alerts = [(a["fingerprint"], json.dumps(a)) for _, body in batch for a in body["alerts"]]
    database.executemany("insert or replace into alert values (?, ?)", alerts)
    pages = []
    for _, body in batch:
        page = body["groupKey"], body["alerts"][0]["annotations"]["summary"]
        if database.execute("insert or ignore into outbox (key, body) values (?, ?)", page).rowcount:
            pages.append(page)
    database.executemany("update outbox set sent = 1 where key = ?", [(key,) for key in sent])
    database.execute("commit")
    return pages


async def receive(request: web.Request) -> web.Response:
    raw = await request.read()
    done = asyncio.get_running_loop().create_future()
    waiting.append((raw, json.loads(raw), done))
    came.set()
    await done
    return web.Response(text='{"status":"stored"}', content_type="application/json")


async def ready(request: web.Request) -> web.Response:
    return web.Response()


async def send(session: aiohttp.ClientSession, key: str, text: str, sent: list[str]) -> None:
    event = {"routing_key": "0" * 32, "event_action": "trigger", "dedup_key": key}
    payload = {"summary": text, "source": "yardstick", "severity": "critical"}
    async with session.post(f"http://127.0.0.1:{PAGER}/v2/enqueue", json={**event, "payload": payload}) as answer:
        await answer.read()
    sent.append(key)


async def work(app: web.Application):
    async def loop() -> None:
        sent: list[str] = []
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            while True:
                await came.wait()
                came.clear()
                batch = waiting[:]
                waiting.clear()
                noted, sent[:] = sent[:], []
                rows = [(raw, body) for raw, body, _ in batch]
                pages = await asyncio.get_running_loop().run_in_executor(writer, write, rows, noted)
                for _, _, done in batch:
                    done.set_result(None)
                for key, text in pages:
                    tasks.create_task(send(session, key, text, sent))

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(loop())
        yield
        running.cancel()


app = web.Application(client_max_size=64 * 1024 * 1024)
app.router.add_post("/", receive)
app.router.add_get("/", ready)
app.cleanup_ctx.append(work)
web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None)
