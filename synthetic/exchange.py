"""One HTTP/1.1 request and its answer over a connection of its own, phase by phase. h11 parses it."""

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import h11

from synthetic.dial import Connection
from synthetic.run import Failed, Run

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has answered."""

    status: int
    version: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    received: int
    """Bytes of the body as they came."""

    def header(self, name: str) -> str | None:
        """The first header of a name."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)


async def exchange(
    connection: Connection,
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    most: int,
    run: Run,
    phases: dict[str, float],
) -> Answer:
    """Send a request and read its answer, at most `most` bytes of its body. Raises `Failed`.

    `phases` gets the seconds of `processing` (until the first byte) and `transfer`.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_CHUNK)
    run.phase, began = "processing", time.perf_counter()
    try:
        written = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        connection.writer.write(http.send(h11.Request(method=method, target=target, headers=written)) or b"")
        if body:
            connection.writer.write(http.send(h11.Data(data=body)) or b"")
        http.send(h11.EndOfMessage())
        await connection.writer.drain()
        return await _read(http, connection, most, run, phases, began)
    except (h11.LocalProtocolError, UnicodeEncodeError):  # whose texts may hold a secret
        raise Failed("http_protocol", "this request cannot be sent: HTTP/1.1 does not allow its headers") from None
    except h11.RemoteProtocolError as error:
        if http.trailing_data[1]:
            raise Failed("broken_off", "the connection was closed before the answer was whole") from None
        raise Failed("http_protocol", f"what is answered is not HTTP/1.1: {error}") from None
    except OSError as error:
        raise Failed("broken_off", f"the connection broke ({type(error).__name__})") from None


async def _read(
    http: h11.Connection, connection: Connection, most: int, run: Run, phases: dict[str, float], began: float
) -> Answer:
    head: h11.Response | h11.InformationalResponse | None = None
    parts: list[bytes] = []
    received = 0
    first = 0.0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await connection.reader.read(_CHUNK)
            if not first:
                run.phase, first = "transfer", time.perf_counter()
                phases["processing"] = phases.get("processing", 0.0) + first - began
            if not data and head is None:
                raise Failed("broken_off", "the connection was closed without an answer")
            http.receive_data(data)
        elif isinstance(event, h11.Response) or (isinstance(event, h11.InformationalResponse) and _switches(event)):
            head = event
            run.note(f"answers {event.status_code}")
        elif isinstance(event, h11.Data):
            received += len(event.data)
            parts.append(bytes(event.data))
            if received > most:
                raise Failed("body_too_large", f"the body is larger than {most} bytes")
        elif event is h11.PAUSED or isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    phases["transfer"] = phases.get("transfer", 0.0) + time.perf_counter() - first
    if head is None:
        raise Failed("http_protocol", "what is answered ends before it has begun")
    listed = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers.raw_items()]
    return _unpacked(Answer(head.status_code, head.http_version.decode(), listed, b"".join(parts), received), most)


def _switches(event: h11.InformationalResponse) -> bool:
    """Whether no other answer follows: from here on another protocol is spoken (a WebSocket, say)."""
    return event.status_code == 101


def _unpacked(answer: Answer, most: int) -> Answer:
    """The same answer with its body as it was before it was compressed."""
    coding = (answer.header("content-encoding") or "").strip().lower()
    if coding not in ("gzip", "x-gzip", "deflate") or not answer.body:
        return answer
    unpack = zlib.decompressobj(47)  # gzip or zlib, as it comes
    try:
        body = unpack.decompress(answer.body, most + 1)
    except zlib.error:
        raise Failed("http_protocol", f"the body is not of the coding {coding}") from None
    if len(body) > most:
        raise Failed("body_too_large", f"the body is larger than {most} bytes when it is unpacked")
    return Answer(answer.status, answer.version, answer.headers, body, answer.received)
