"""`redis`: a log-in, a command, and how far replication is behind; also of what speaks Redis' protocol (Valkey)."""

import shlex
from dataclasses import dataclass
from typing import Any

import hiredis

from synthetic.databases import (
    PORTS,
    asks_for_replication,
    judge_replication,
    judge_value,
    measured,
    password_of,
)
from synthetic.dial import Connection, dial
from synthetic.kinds import DatabaseKeys
from synthetic.run import Failed, Run, timed
from synthetic.targets import read_host_port

MOST_BYTES = 1024 * 1024
"""Bytes of answers that are read; more is no answer to a probe."""


async def probe(keys: DatabaseKeys, target: str, run: Run) -> None:
    """Log in, ask, and judge the answer. Raises `Failed`."""
    host, port = read_host_port(target, PORTS["redis"])
    password = password_of(keys, run)
    with measured(run) as phases:
        took = dict.fromkeys(("resolve", "connect", "tls"), 0.0)
        try:
            async with dial(host, port, keys.ip_protocol, keys.tls, run, took) as connection:
                client = _Client(connection, hiredis.Reader(encoding="utf-8", errors="replace"))
                with timed("connect", run, phases):
                    await _log_in(client, keys, password)
                with timed("query", run, phases):
                    await _ask(client, keys, run)
        finally:
            phases["resolve"] += took["resolve"]
            phases["connect"] += took["connect"] + took["tls"]


async def _log_in(client: "_Client", keys: DatabaseKeys, password: str) -> None:
    if password:
        await client.ask("login_failed", "AUTH", *([keys.username] if keys.username else []), password)
    if keys.database:
        await client.ask("login_failed", "SELECT", keys.database)


async def _ask(client: "_Client", keys: DatabaseKeys, run: Run) -> None:
    answer = await client.ask("query_failed", *shlex.split(keys.query or "PING"))
    first = answer[0] if isinstance(answer, list) and answer else answer
    judge_value(keys.value, first if isinstance(first, str | int | float) else None, run)
    if asks_for_replication(keys):
        facts = dict(
            line.split(":", 1)
            for line in str(await client.ask("query_failed", "INFO", "replication")).splitlines()
            if ":" in line
        )
        judge_replication(keys, facts.get("role") == "slave", *_lag(facts), run)


def _lag(facts: dict[str, str]) -> tuple[float | None, str]:
    """Seconds since the primary was heard of, or since the replica that is furthest behind was."""
    if facts.get("role") == "slave":
        if facts.get("master_link_status") != "up":
            return None, "its link to the primary is down"
        return _seconds(facts.get("master_last_io_seconds_ago")), "it does not tell"
    replicas = [
        dict(pair.split("=", 1) for pair in value.split(",") if "=" in pair)
        for key, value in facts.items()
        if key.startswith("slave") and key[5:].isdigit()
    ]
    if not replicas:
        return None, "it has no replica"
    if waiting := [one.get("ip", "?") for one in replicas if one.get("state") != "online"]:
        return None, f"the replica {waiting[0]} is not online"
    lags = [_seconds(one.get("lag")) for one in replicas]
    told = [lag for lag in lags if lag is not None]
    return (max(told), "") if len(told) == len(lags) else (None, "it does not tell that of each replica")


def _seconds(written: str | None) -> float | None:
    """A number of seconds; Redis writes -1 for one that it does not know."""
    return float(written) if written and written.isdecimal() else None


@dataclass(slots=True)
class _Client:
    connection: Connection
    reader: Any
    heard: int = 0

    async def ask(self, reason: str, *command: str) -> Any:
        """Send a command and wait for its answer. Raises `Failed`; with the reason, when the server refuses it."""
        try:
            self.connection.writer.write(hiredis.pack_command(command))  # type: ignore[arg-type]
            await self.connection.writer.drain()
            while (answer := self.reader.gets()) is False:
                piece = await self.connection.reader.read(MOST_BYTES)
                if not piece:
                    raise Failed("broken_off", f"it hung up before it answered {command[0]}")
                self.heard += len(piece)
                if self.heard > MOST_BYTES:
                    raise Failed("body_too_large", f"its answers are longer than {MOST_BYTES} bytes")
                self.reader.feed(piece)
        except hiredis.ProtocolError:
            raise Failed("query_failed", "it does not answer as Redis does") from None
        except OSError as error:
            raise Failed("broken_off", f"the connection broke ({type(error).__name__})") from None
        if isinstance(answer, hiredis.ReplyError):
            raise Failed(reason, f"it refuses {command[0]}: {str(answer)[:200]}")
        return answer
