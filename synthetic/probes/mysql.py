"""`mysql`: a log-in, a query in a transaction that cannot write, and how far a replica is behind; also of MariaDB."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import pymysql
from pymysql.connections import Connection as Client
from pymysql.constants import CR
from pymysql.cursors import DictCursor, SSCursor

from synthetic.certificates import untrusted
from synthetic.databases import (
    PORTS,
    Value,
    asks_for_replication,
    judge_replication,
    judge_value,
    measured,
    password_of,
)
from synthetic.dial import connect, context_of, resolve
from synthetic.kinds import DatabaseKeys
from synthetic.run import Failed, Run, timed
from synthetic.targets import read_host_port

T = TypeVar("T")

THREADS = ThreadPoolExecutor(64, thread_name_prefix="mysql")
"""PyMySQL blocks: each run has a thread, which ends when its connection is cut."""
_LOST = range(2000, 3000)
"""Numbers of errors that the client finds; all others are the server's."""


async def probe(keys: DatabaseKeys, target: str, run: Run) -> None:
    """Log in, ask, and judge the answer. Raises `Failed`."""
    host, port = read_host_port(target, PORTS["mysql"])
    password = password_of(keys, run)
    with measured(run) as phases:
        with timed("resolve", run, phases):
            place = await resolve(host, keys.ip_protocol, run)
        with timed("connect", run, phases):
            connected = await connect(place, port, run)
            line = connected.dup()  # cuts the connection, whatever wraps it
        try:
            with timed("connect", run, phases):
                run.phase = "log-in"
                client = await _in_thread("login_failed", partial(_log_in, connected, keys, host, password))
            run.note(f"logged in as {keys.username}")
            with timed("query", run, phases):
                found, replication = await _in_thread("query_failed", partial(_ask, client, keys))
        finally:
            _cut(line)
    judge_value(keys.value, found, run)
    if asks_for_replication(keys):
        judge_replication(keys, replication is not None, *_lag(replication), run)


async def _in_thread(reason: str, work: Callable[[], T]) -> T:
    """Let a thread work. Raises `Failed`; with the reason, when the server refuses something."""
    try:
        return await asyncio.get_running_loop().run_in_executor(THREADS, work)
    except pymysql.err.MySQLError as error:
        cause = getattr(error, "original_exception", None)
        number, said = (*error.args, 0, "")[:2]
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise untrusted(cause, "the server") from None
        if isinstance(cause, ssl.SSLError) or number == CR.CR_SSL_CONNECTION_ERROR:
            raise Failed("tls_handshake", "the TLS handshake failed: does the server offer TLS?") from None
        if number in _LOST:
            raise Failed("broken_off", f"the connection broke: {str(said)[:200]}") from None
        raise Failed(reason, f"the server refuses ({number}): {str(said)[:200]}") from None
    except (LookupError, ValueError, struct.error):  # what PyMySQL makes of packets that are none
        raise Failed(reason, "the server does not answer as MySQL does") from None


def _cut(line: socket.socket) -> None:
    with closing(line), suppress(OSError):  # it may have ended by itself
        line.shutdown(socket.SHUT_RDWR)


def _log_in(connected: socket.socket, keys: DatabaseKeys, host: str, password: str) -> Client:
    connected.setblocking(True)
    client = Client(
        host=(keys.tls and keys.tls.server_name) or host,
        user=keys.username,
        password=password.encode(),
        database=keys.database or None,
        ssl=context_of(keys.tls) if keys.tls else None,
        ssl_disabled=keys.tls is None,
        program_name="relay-synthetic",
        autocommit=True,
        defer_connect=True,
    )
    client.connect(connected)
    return client


def _ask(client: Client, keys: DatabaseKeys) -> tuple[Value, dict[str, Any] | None]:
    """What the query gives, and the replica's status, which a primary has none of."""
    seconds = keys.timeout.total_seconds()
    maria = "MariaDB" in str(client.get_server_info())  # type: ignore[no-untyped-call]
    limit = f"max_statement_time = {seconds:f}" if maria else f"max_execution_time = {seconds * 1000:.0f}"
    with closing(client):
        with client.cursor(SSCursor) as cursor:
            cursor.execute(f"set session {limit}")  # the server gives up as we do
            cursor.execute("set session transaction read only")
            cursor.execute(keys.query or "select 1")
            row = cursor.fetchone()
        replication = None
        if asks_for_replication(keys):
            with client.cursor(DictCursor) as cursor:
                cursor.execute("show slave status" if maria else "show replica status")
                replication = cursor.fetchone()
    return _value(row[0] if row else None), replication


def _value(found: Any) -> Value:
    if isinstance(found, bytes):
        return found.decode("utf-8", "replace")
    if isinstance(found, Decimal):
        return float(found)
    return found if found is None or isinstance(found, (str, int, float)) else str(found)


def _lag(status: dict[str, Any] | None) -> tuple[float | None, str]:
    """Seconds that the replica says it is behind."""
    if status is None:
        return None, "a primary does not know: write the check for the replica"
    behind = status.get("Seconds_Behind_Source", status.get("Seconds_Behind_Master"))
    error = status.get("Last_SQL_Error") or status.get("Last_IO_Error") or "replication is stopped"
    return (None, str(error)[:200]) if behind is None else (float(behind), "")
