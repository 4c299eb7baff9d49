"""The probe grpc, against grpcio's own server and its health service, and against what is no gRPC server."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from places import certificate, listening, silent
from pydantic import TypeAdapter

from relay.clock import WallClock
from relay.demo.processes import free_port
from synthetic.checks import Module
from synthetic.execute import execute
from synthetic.run import REASONS

MODULE = TypeAdapter(Module)
AUTHORITY = trustme.CA()
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def run(port, **more):
    keys = MODULE.validate_python({"kind": "grpc", "timeout": "2s", "ip_protocol": "ip4", **more})
    result = await execute(keys, f"localhost:{port}", WallClock())
    assert result.reason in ("", *REASONS)
    return result


@contextmanager
def serving(states, credentials=None):
    """A real server whose health service knows these services; None has no health service at all."""
    server = grpc.server(ThreadPoolExecutor(2))
    if states is not None:
        servicer = health.HealthServicer()
        for service, state in states.items():
            servicer.set(service, state)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    where = "127.0.0.1:0"
    port = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


async def test_services_say_how_they_are():
    with serving({"": SERVING, "shop.Checkout": SERVING, "shop.Cart": NOT_SERVING}) as port:
        well = await run(port)
        assert (well.reason, well.text) == ("", "")
        assert well.samples["probe_grpc_status_code", ""] == 0
        states = {labels: v for (name, labels), v in well.samples.items() if name == "probe_grpc_healthcheck_response"}
        assert {labels for labels, value in states.items() if value} == {'serving_status="SERVING"'}
        assert len(states) == 4
        assert 0 < well.samples["probe_grpc_duration_seconds", 'phase="check"'] < 1
        assert (await run(port, health_of="shop.Checkout")).success
        ill = await run(port, health_of="shop.Cart")
        assert (ill.reason, ill.text) == ("not_serving", 'the service "shop.Cart" is NOT_SERVING')
        unknown = await run(port, health_of="shop.Störung")
        assert (unknown.reason, "does not know" in unknown.text) == ("not_serving", True)
        assert unknown.samples["probe_grpc_status_code", ""] == 5


async def test_a_server_without_a_health_service():
    with serving(None) as port:
        result = await run(port)
    assert (result.reason, result.text) == ("not_serving", "the server has no grpc.health.v1.Health")


async def test_tls(tmp_path):
    issued = AUTHORITY.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), b"".join(pem.bytes() for pem in issued.cert_chain_pems))]
    )
    trusted = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(trusted))
    with serving({"": SERVING}, credentials) as port:
        well = await run(port, tls={"ca_file": str(trusted)})
        assert (well.reason, well.samples["probe_grpc_ssl", ""]) == ("", 1)
        assert ("probe_ssl_earliest_cert_expiry", "") in well.samples
        assert (await run(port, tls={})).reason == "tls_untrusted"
        assert (await run(port)).reason in ("broken_off", "http_protocol")


async def test_a_server_that_speaks_no_http2_in_tls(tmp_path):
    context, trusted = certificate(tmp_path, "localhost")
    async with listening(silent, context) as port:
        result = await run(port, tls={"ca_file": trusted})
    assert (result.reason, "ALPN h2" in result.text) == ("http_protocol", True)


SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
GOAWAY = bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + bytes(8)


def saying(answer):
    async def serve(reader, writer):
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(0.05)

    return serve


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "http_protocol"),
        (saying(b""), "broken_off"),
        (
            saying(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + b"\x00" * 8),
            "broken_off",
        ),
        (silent, "timeout"),
    ],
)
async def test_what_is_no_grpc_server(serve, reason):
    async with listening(serve) as port:
        assert (await run(port, timeout="300ms")).reason == reason


async def test_nobody_there():
    assert (await run(free_port())).reason == "connect_refused"
