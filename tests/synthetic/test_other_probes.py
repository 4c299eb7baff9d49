"""The probes tcp, tls, dns and icmp, against real sockets."""

import asyncio
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from places import certificate, dripping, listening, silent
from pydantic import TypeAdapter

from relay.clock import WallClock
from relay.demo.processes import free_port
from synthetic.checks import Module
from synthetic.execute import execute
from synthetic.run import REASONS

MODULE = TypeAdapter(Module)


async def run(kind, target, **more):
    result = await execute(MODULE.validate_python({"kind": kind, "timeout": "1s", **more}), target, WallClock())
    assert result.reason in ("", *REASONS)
    return result


async def smtp(reader, writer):
    writer.write(b"220-welcome\r\n220 mail.example ESMTP\r\n")
    while line := await reader.readline():
        writer.write(b"250 hello\r\n" if line.startswith(b"EHLO") else b"500 what?\r\n")


# ---- tcp --------------------------------------------------------------------------------------------------------


async def test_a_conversation_is_held():
    async with listening(smtp) as port:
        talk = [{"expect": "^220 "}, {"send": "EHLO prober"}, {"expect": "^250"}]
        assert (await run("tcp", f"127.0.0.1:{port}", conversation=talk)).success
        refused = await run("tcp", f"127.0.0.1:{port}", conversation=[{"expect": "^554"}], timeout="200ms")
        assert (refused.reason, refused.text.endswith("waiting for: expect")) == ("timeout", True)


async def hang_up(reader, writer):
    writer.write(b"half a line")


@pytest.mark.parametrize(
    ("serve", "more", "reason"),
    [
        (hang_up, {"conversation": [{"expect": "a line$"}]}, ""),
        (hang_up, {"conversation": [{"expect": "nothing"}]}, "assertion"),
        (dripping(b"", b"x\n", every=0), {"conversation": [{"expect": "y"}], "max_bytes": 100}, "body_too_large"),
        (dripping(b"", b"x" * 9999, every=0), {"conversation": [{"expect": "y"}]}, "body_too_large"),
        (silent, {"tls": {}, "timeout": "200ms"}, "tls_timeout"),
    ],
)
async def test_what_goes_wrong_in_a_conversation(serve, more, reason):
    async with listening(serve) as port:
        assert (await run("tcp", f"127.0.0.1:{port}", **more)).reason == reason


async def test_tls_can_begin_in_the_midst(tmp_path):
    context, trusted = certificate(tmp_path, "localhost")

    async def serve(reader, writer):
        writer.write(b"220 ready\r\n")
        await reader.readline()
        writer.write(b"220 go on\r\n")
        await writer.start_tls(context)
        writer.write(b"250 in secret\r\n")
        await asyncio.sleep(1)

    talk = [{"expect": "^220"}, {"send": "STARTTLS"}, {"expect": "^220"}, {"starttls": True}, {"expect": "in secret"}]
    async with listening(serve) as port:
        result = await run("tcp", f"localhost:{port}", conversation=talk, tls={"ca_file": trusted}, ip_protocol="ip4")
    assert (result.success, result.text) == (True, "")
    assert ("probe_ssl_earliest_cert_expiry", "") in result.samples


async def test_a_port_that_is_closed():
    assert (await run("tcp", f"127.0.0.1:{free_port()}")).reason == "connect_refused"


# ---- tls --------------------------------------------------------------------------------------------------------


async def test_a_handshake_is_a_success_and_a_stranger_is_not(tmp_path):
    context, trusted = certificate(tmp_path, "localhost")
    async with listening(silent, context) as port:
        asked = {"target": f"localhost:{port}", "ip_protocol": "ip4"}
        assert (await run("tls", tls={"ca_file": trusted}, **asked)).success
        assert (await run("tls", **asked)).reason == "tls_untrusted"


# ---- dns --------------------------------------------------------------------------------------------------------


class NameServer(asyncio.DatagramProtocol):
    """Answers one name, by what a test says."""

    def __init__(self, rcode=dns.rcode.NOERROR, records=(), silent=False, garbage=False):
        self.rcode, self.records, self.silent, self.garbage = rcode, records, silent, garbage
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        question = dns.message.from_wire(data)
        self.asked.append(question)
        answer = dns.message.make_response(question)
        answer.set_rcode(self.rcode)
        answer.answer = [dns.rrset.from_text(*record) for record in self.records]
        if self.garbage:
            self.transport.sendto(b"garbage", sender)
        elif not self.silent:
            self.transport.sendto(answer.to_wire(), sender)


@asynccontextmanager
async def name_server(**behaviour):
    server = NameServer(**behaviour)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, ("127.0.0.1", 0))
    try:
        yield server, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


A = ("shop.example.", 60, "IN", "A", "192.0.2.7", "192.0.2.8")
SOA = ("shop.example.", 60, "IN", "SOA", "ns. mail. 2026010701 1 1 1 1")


async def test_an_answer_is_judged_and_counted():
    async with name_server(records=[A, SOA]) as (server, target):
        found = await run("dns", target, query="shop.example", answers=["192.0.2.8"], answers_match=["^192"])
        assert (found.success, found.text) == (True, "")
        assert found.samples["probe_dns_answer_rrs", ""] == 3
        assert found.samples["probe_dns_serial", ""] == 2026010701
        assert found.samples["probe_dns_duration_seconds", 'phase="request"'] > 0
        assert server.asked[0].flags & dns.flags.RD
        other = await run("dns", target, query="shop.example", answers=["192.0.2.9"], recursion=False)
        assert (other.reason, "192.0.2.9 is not in the answer" in other.text) == ("assertion", True)
        assert not server.asked[1].flags & dns.flags.RD


@pytest.mark.parametrize(
    ("behaviour", "more", "reason"),
    [
        ({"rcode": dns.rcode.NXDOMAIN}, {}, "dns_nxdomain"),
        ({"rcode": dns.rcode.NXDOMAIN}, {"rcodes": ["NXDOMAIN"]}, ""),
        ({"rcode": dns.rcode.SERVFAIL}, {}, "dns_failed"),
        ({"silent": True}, {"timeout": "200ms"}, "dns_timeout"),
        ({"garbage": True}, {"timeout": "500ms"}, "dns_failed"),
        ({}, {"answers_match": ["."]}, "assertion"),
    ],
)
async def test_what_goes_wrong_with_a_question(behaviour, more, reason):
    async with name_server(**behaviour) as (_, target):
        result = await run("dns", target, **{"query": "shop.example", **more})
    assert (result.reason, result.success) == (reason, not reason)


async def test_a_name_server_that_is_not_there():
    result = await run("dns", f"127.0.0.1:{free_port()}", query="a.example")
    assert result.reason in ("connect_refused", "dns_timeout")
    result = await run("dns", f"127.0.0.1:{free_port()}", query="a.example", transport="tcp")
    assert (result.reason, result.samples["probe_dns_query_succeeded", ""]) == ("connect_refused", 0)

    async def hang_up_at_once(reader, writer):
        writer.close()

    async with listening(hang_up_at_once) as port:
        assert (await run("dns", f"127.0.0.1:{port}", query="a.example", transport="tcp")).reason == "broken_off"


# ---- icmp -------------------------------------------------------------------------------------------------------


async def test_this_machine_answers_or_the_probe_says_what_to_allow():
    result = await run("icmp", "127.0.0.1")
    if result.reason == "unsupported":
        assert "ping_group_range" in result.text or "has no such pings" in result.text
    else:
        assert (result.success, result.text) == (True, "")
        assert 0 < result.samples["probe_icmp_duration_seconds", 'phase="rtt"'] < 0.5


async def test_nobody_answers_from_a_place_that_is_kept_free():
    result = await run("icmp", "240.0.0.1", timeout="200ms")
    assert result.reason in ("timeout", "connect_unreachable", "unsupported")
