"""`grpc`: the health question of gRPC. Names and phases are blackbox_exporter's.

The call is one request of HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), and the messages of
grpc.health.v1 have one field each: on the wire they are those of protobuf's wrappers.
"""

import struct
import time
from urllib.parse import unquote

from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from synthetic.dial import Connection, dial
from synthetic.kinds import GrpcKeys
from synthetic.run import Failed, Run, label
from synthetic.targets import read_host_port

PATH = "/grpc.health.v1.Health/Check"
STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_OK, _NOT_FOUND, _UNIMPLEMENTED = 0, 5, 12
MOST_BYTES = 64 * 1024
_PHASES = ("resolve", "connect", "tls", "check")


async def probe(keys: GrpcKeys, target: str, run: Run) -> None:
    """Ask whether the server, or one service of it, is well. Raises `Failed`."""
    host, port = read_host_port(target)
    phases = dict.fromkeys(_PHASES, 0.0)
    run.measure("probe_grpc_ssl", float(keys.tls is not None))
    try:
        async with dial(host, port, keys.ip_protocol, keys.tls, run, phases, "h2" if keys.tls else "") as connection:
            run.phase, began = "check", time.perf_counter()
            try:
                call = await _check(connection, target, keys)
            finally:
                phases["check"] = time.perf_counter() - began
    finally:
        for phase, seconds in phases.items():
            run.measure("probe_grpc_duration_seconds", seconds, label("phase", phase))
    _judge(call, keys, run)


class _Call:
    """What comes back of one call."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False

    def take(self, event: Event) -> None:
        """Take an event in. Raises `Failed` for one that ends the call before its answer."""
        match event:
            case ResponseReceived() | TrailersReceived():
                self.headers |= {_text(name): _text(value) for name, value in event.headers or []}
            case DataReceived():
                self.body += event.data or b""
                if len(self.body) > MOST_BYTES:
                    raise Failed("body_too_large", f"the answer is longer than {MOST_BYTES} bytes")
            case StreamEnded():
                self.ended = True
            case StreamReset() | ConnectionTerminated():
                raise Failed("broken_off", f"the server ended the call (HTTP/2 error {event.error_code})")
            case RequestReceived():
                raise Failed("http_protocol", "the server asks instead of answering")


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


async def _check(connection: Connection, target: str, keys: GrpcKeys) -> _Call:
    """Make the call. Raises `Failed`."""
    if connection.tls and connection.tls.selected_alpn_protocol() != "h2":
        raise Failed("http_protocol", "the server does not offer HTTP/2 (ALPN h2), which gRPC needs")
    http, call = H2Connection(H2Configuration(client_side=True)), _Call()
    message = StringValue(value=keys.health_of).SerializeToString()
    headers = {
        ":method": "POST",
        ":scheme": "https" if connection.tls else "http",
        ":path": PATH,
        ":authority": (keys.tls and keys.tls.server_name) or target,
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "relay-synthetic",
        "grpc-timeout": f"{round(keys.timeout.total_seconds() * 1000)}m",
    }
    try:
        http.initiate_connection()
        http.send_headers(1, list(headers.items()))
        http.send_data(1, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
        while not call.ended:
            connection.writer.write(http.data_to_send())
            await connection.writer.drain()
            piece = await connection.reader.read(MOST_BYTES)
            if not piece:
                raise Failed("broken_off", "the server hung up before it answered")
            if piece.startswith(b"HTTP/1"):
                raise Failed("http_protocol", "the server speaks HTTP/1.1, and not HTTP/2")
            for event in http.receive_data(piece):
                call.take(event)
    except ProtocolError:
        raise Failed("http_protocol", "the server does not speak HTTP/2") from None
    except OSError as error:
        raise Failed("broken_off", f"the connection broke ({type(error).__name__})") from None
    return call


def _judge(call: _Call, keys: GrpcKeys, run: Run) -> None:
    """Hold the answer against being well. Raises `Failed`."""
    if (status := call.headers.get(":status")) != "200":
        raise Failed("http_status", f"answers {status} to a gRPC call: is a proxy in between?")
    written = call.headers.get("grpc-status", "")
    if not written.isdecimal():
        raise Failed("http_protocol", "the answer has no grpc-status")
    code = int(written)
    run.measure("probe_grpc_status_code", code)
    of = f'the service "{keys.health_of}"' if keys.health_of else "the server"
    if code == _NOT_FOUND:
        raise Failed("not_serving", f"the server does not know {of}")
    if code == _UNIMPLEMENTED:
        raise Failed("not_serving", "the server has no grpc.health.v1.Health")
    if code != _OK:
        said = unquote(call.headers.get("grpc-message", ""))[:200]
        raise Failed("not_serving", f"the call failed with the code {code}: {said}")
    state = _state(call.body)
    for one in STATES:
        run.measure("probe_grpc_healthcheck_response", float(one == state), label("serving_status", one))
    run.note(f"{of} is {state}")
    if state != "SERVING":
        raise Failed("not_serving", f"{of} is {state}")


def _state(body: bytes) -> str:
    """Read a HealthCheckResponse in its frame. Raises `Failed`."""
    try:
        compressed, length = struct.unpack(">BI", body[:5])
        if compressed or len(body) != 5 + length:
            raise ValueError
        return STATES[Int32Value.FromString(body[5:]).value]
    except (struct.error, ValueError, IndexError, DecodeError):
        raise Failed("http_protocol", "the answer is no HealthCheckResponse") from None
