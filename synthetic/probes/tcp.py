"""`tcp`: a connection, TLS perhaps, and a conversation in lines."""

import asyncio

from synthetic.dial import Connection, dial, encrypt
from synthetic.kinds import Line, Regex, TcpKeys, Tls
from synthetic.run import Failed, Run, label
from synthetic.targets import read_host_port


async def probe(keys: TcpKeys, target: str, run: Run) -> None:
    """Connect, and say and hear what was written. Raises `Failed`."""
    host, port = read_host_port(target)
    later = any(step.starttls for step in keys.conversation)
    async with dial(host, port, keys.ip_protocol, None if later else keys.tls, run) as connection:
        run.measure("probe_failed_due_to_regex", 0)
        heard, groups = 0, dict[str, str]()
        for step in keys.conversation:
            if step.starttls:
                await encrypt(connection, keys.tls or Tls(), host, run)
            elif step.send is not None:
                run.phase, line = "send", Line(step.send).substitute(groups)
                await _send(connection, line)
                run.note(f"sent {line!r}")
            elif step.expect is not None:
                run.phase = "expect"
                count, groups = await _expect(connection, step.expect, keys.max_bytes - heard, run)
                heard += count
                if step.labels:
                    told = [label(name, Line(value).substitute(groups)) for name, value in step.labels.items()]
                    run.measure("probe_expect_info", 1, ",".join(told))


async def _send(connection: Connection, line: str) -> None:
    try:
        connection.writer.write(f"{line}\n".encode())
        await connection.writer.drain()
    except OSError as error:
        raise Failed("broken_off", f"the connection broke ({type(error).__name__})") from None


async def _expect(connection: Connection, regex: Regex, most: int, run: Run) -> tuple[int, dict[str, str]]:
    """Read lines until one matches; gives how many bytes were read, and its groups by number and name."""
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
        if found := regex.compiled.search(line):
            numbered = {str(number): text for number, text in enumerate((found.group(0), *found.groups("")))}
            return heard, numbered | found.groupdict("")
