"""`postgres`: a log-in, a query in a transaction that cannot write, and how far replication is behind.

libpq is driven step by step (https://www.postgresql.org/docs/current/libpq-async.html): nothing blocks, a deadline
cuts everything, and each phase can be blamed.
"""

import asyncio
from functools import partial
from pathlib import Path

from psycopg import OperationalError
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, ExecStatus, PGconn, PollingStatus
from psycopg.pq.abc import PGconn as Client
from psycopg.pq.abc import PGresult

from synthetic.databases import (
    PORTS,
    Value,
    asks_for_replication,
    judge_replication,
    judge_value,
    measured,
    password_of,
)
from synthetic.dial import connect, resolve
from synthetic.kinds import DatabaseKeys
from synthetic.run import Failed, Run, timed
from synthetic.targets import read_host_port

_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where systems keep the authorities that they trust, in one file."""
_PHASES = {
    ConnStatus.SSL_STARTUP: "tls",
    ConnStatus.AWAITING_RESPONSE: "log-in",
    ConnStatus.AUTHENTICATING: "log-in",
    ConnStatus.AUTH_OK: "log-in",
}
_COPIES = (ExecStatus.COPY_OUT, ExecStatus.COPY_IN, ExecStatus.COPY_BOTH)
"""What libpq answers for ever to who does not copy."""
_BOOL, _NUMBERS = 16, (20, 21, 23, 26, 700, 701, 1700)
"""OIDs of types, as in pg_type."""

_REPLICA_LAG = """
select case
    when not exists (select from pg_stat_wal_receiver) then null
    when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
    else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())
end"""
_PRIMARY_LAG = """
select case when count(*) > 0 then coalesce(extract(epoch from max(replay_lag)), 0) end
from pg_stat_replication where state = 'streaming'"""


async def probe(keys: DatabaseKeys, target: str, run: Run) -> None:
    """Log in, ask, and judge the answer. Raises `Failed`."""
    host, port = read_host_port(target, PORTS["postgres"])
    password = password_of(keys, run)
    with measured(run) as phases:
        with timed("resolve", run, phases):
            place = await resolve(host, keys.ip_protocol, run)
        with timed("connect", run, phases):
            client = PGconn.connect_start(_how(keys, host, place.address, port, password))
        try:
            with timed("connect", run, phases):
                await _log_in(client, run)
            run.note(f"logged in as {keys.username}")
            with timed("query", run, phases):
                await _ask(client, keys, run)
        except Failed as failed:
            if failed.reason == "connect_failed":
                (await connect(place, port, run)).close()  # knows why
            raise
        finally:
            client.finish()


def _how(keys: DatabaseKeys, host: str, address: str, port: int, password: str) -> bytes:
    tls = keys.tls
    trusted = (tls and tls.ca_file) or next((file for file in _AUTHORITIES if Path(file).exists()), "system")
    return make_conninfo(
        host=(tls and tls.server_name) or host,
        hostaddr=address,
        port=port,
        user=keys.username,
        password=password,
        passfile="/dev/null/none",  # never there: of /dev/null libpq warns, and for "" it looks in the home
        dbname=keys.database or keys.username,
        application_name="relay-synthetic",
        gssencmode="disable",
        sslmode="disable" if tls is None else "verify-full" if tls.verify else "require",
        sslrootcert=trusted if tls and tls.verify else "",
        sslcert=(tls and tls.cert_file) or "",
        sslkey=(tls and tls.key_file) or "",
    ).encode()


async def _log_in(client: Client, run: Run) -> None:
    """Drive the connection until it is there. Raises `Failed`."""
    status = PollingStatus.WRITING
    while status != PollingStatus.OK:
        await _ready(client, writing=status == PollingStatus.WRITING)
        status = PollingStatus(client.connect_poll())
        if status == PollingStatus.FAILED:
            said = _said(client.get_error_message("utf-8"))
            raise Failed(_why(run.phase, said), said)
        run.phase = _PHASES.get(ConnStatus(client.status), run.phase)


def _why(phase: str, said: str) -> str:
    """The reason of a connection that failed in a phase."""
    if phase == "connect":
        return "connect_failed"
    if phase != "tls":
        return "login_failed"
    if "does not match host name" in said or "IP address mismatch" in said:
        return "tls_name"
    return "tls_untrusted" if "certificate verify failed" in said else "tls_handshake"


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _ready(client: Client, writing: bool) -> None:
    """Wait until the socket can be read, or written."""
    loop, descriptor = asyncio.get_running_loop(), client.socket
    ready = loop.create_future()
    watch, forget = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    watch(descriptor, partial(_settle, ready))
    try:
        await ready
    finally:
        forget(descriptor)


async def _ask(client: Client, keys: DatabaseKeys, run: Run) -> None:
    client.nonblocking = 1
    milliseconds = round(keys.timeout.total_seconds() * 1000)
    await _query(client, "begin read only")
    await _query(client, f"set local statement_timeout = {milliseconds}")  # the server gives up as we do
    judge_value(keys.value, await _query(client, keys.query or "select 1"), run)
    if asks_for_replication(keys):
        is_replica = bool(await _query(client, "select pg_is_in_recovery()"))
        lag = await _query(client, _REPLICA_LAG if is_replica else _PRIMARY_LAG)
        unknown = (
            "it receives nothing from a primary, or has replayed nothing yet"
            if is_replica
            else "no replica streams from it, or the user may not see them (grant pg_monitor)"
        )
        judge_replication(keys, is_replica, None if lag is None else float(lag), unknown, run)


async def _query(client: Client, query: str) -> Value:
    """Run one statement; gives the first column of the first row. Raises `Failed`."""
    try:
        client.send_query_params(query.encode(), None)  # refuses several statements in one
        client.set_single_row_mode()  # however many rows there are, one is held in memory
        while client.flush():
            await _ready(client, writing=True)
        results: list[PGresult] = []
        while (found := await _next_result(client)) is not None:
            results = results or [found]
            if found.status == ExecStatus.FATAL_ERROR:
                raise Failed("query_failed", _said(found.get_error_message("utf-8")))
            if found.status in _COPIES:
                raise Failed("query_failed", "the query copies: write one that gives rows")
    except OperationalError as error:
        raise Failed("broken_off", _said(str(error))) from None
    return _value(results[0]) if results else None


async def _next_result(client: Client) -> PGresult | None:
    while client.is_busy():
        await _ready(client, writing=False)
        client.consume_input()
    return client.get_result()


def _value(result: PGresult) -> Value:
    raw = result.get_value(0, 0) if result.ntuples and result.nfields else None
    if raw is None:
        return None
    written, kind = raw.decode("utf-8", "replace"), result.ftype(0)
    if kind == _BOOL:
        return written == "t"
    return float(written) if kind in _NUMBERS else written


def _said(text: str) -> str:
    """What the server or libpq said, in one line."""
    return " ".join(text.split())[:300]
