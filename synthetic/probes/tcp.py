"""`tcp`: a connection, TLS perhaps, and a conversation in lines."""

import asyncio

from synthetic.dial import Connection, dial, encrypt
from synthetic.kinds import Regex, TcpKeys, Tls
from synthetic.run import Failed, Run
from synthetic.targets import read_host_port


async def probe(keys: TcpKeys, target: str, run: Run) -> None:
    """Connect, and say and hear what was written. Raises `Failed`."""
    host, port = read_host_port(target)
    later = any(step.starttls for step in keys.conversation)
    async with dial(host, port, keys.ip_protocol, None if later else keys.tls, run) as connection:
        run.measure("probe_failed_due_to_regex", 0)
        heard = 0
        for step in keys.conversation:
            if step.starttls:
                await encrypt(connection, keys.tls or Tls(), host, run)
            elif step.send is not None:
                run.phase = "send"
                await _send(connection, step.send)
                run.note(f"sent {step.send!r}")
            elif step.expect is not None:
                run.phase = "expect"
                heard += await _expect(connection, step.expect, keys.max_bytes - heard, run)


async def _send(connection: Connection, line: str) -> None:
    try:
        connection.writer.write(f"{line}\n".encode())
        await connection.writer.drain()
    except OSError as error:
        raise Failed("broken_off", f"the connection broke ({type(error).__name__})") from None


async def _expect(connection: Connection, regex: Regex, most: int, run: Run) -> int:
    """Read lines until one matches; gives how many bytes were read."""
    heard = 0
    while True:
        try:
            raw = await connection.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            raw = end.partial
            if not raw:
                run.measure("probe_failed_due_to_regex", 1)
                raise Failed("assertion", f"it hung up before it said what matches {regex}") from None
        except (asyncio.LimitOverrunError, ValueError):
            raise Failed("body_too_large", "it says a line that is too long") from None
        except OSError as error:
            raise Failed("broken_off", f"the connection broke ({type(error).__name__})") from None
        heard += len(raw)
        if heard > most:
            raise Failed("body_too_large", f"it said too much before it said what matches {regex}")
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        run.note(f"heard {line[:200]!r}")
        if regex.found_in(line):
            return heard
