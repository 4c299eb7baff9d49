"""The probes tcp, tls, dns and icmp, against real sockets."""

import asyncio
import re
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from places import certificate, dripping, listening, silent
from pydantic import TypeAdapter, ValidationError

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


async def irc(reader, writer):
    writer.write(b":irc.example NOTICE\r\nPING token-7\r\n")
    if await reader.readline() == b"PONG token-7 $1\n":
        writer.write(b":irc.example 001 well come\r\n")


async def test_what_was_heard_can_be_said_again_and_told():
    async with listening(irc) as port:
        talk = [
            {"expect": "^PING (.+)"},
            {"send": "PONG ${1} $$1"},
            {"expect": "^:(?P<server>[^ ]+) 001", "labels": {"server": "${server}", "code": "is $0"}},
        ]
        result = await run("tcp", f"127.0.0.1:{port}", conversation=talk)
    assert (result.success, result.text) == (True, "")
    assert ("probe_expect_info", 'server="irc.example",code="is :irc.example 001"') in result.samples


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        ([{"send": "PONG ${1}"}], "has no group ${1}"),
        ([{"expect": "PING (.)"}, {"send": "PONG ${2}"}], "has no group ${2}"),
        ([{"expect": "PING (?P<a>.)", "labels": {"x": "${b}"}}], "has no group ${b}"),
        ([{"send": "5$"}], "write $$ for a dollar sign"),
        ([{"send": "5", "labels": {"x": "1"}}], "write labels beside an expect"),
        ([{"expect": "5", "labels": {"check": "1"}}], "write another label than check"),
        ([{"labels": {"x": "1"}}], "write one of send, expect and starttls"),
    ],
)
def test_a_conversation_that_cannot_be_held_is_refused(talk, said):
    with pytest.raises(ValidationError, match=re.escape(said)):
        MODULE.validate_python({"kind": "tcp", "conversation": talk})


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
        assert found.samples["probe_dns_duration_seconds", 'phase="connect"'] > 0
        assert server.asked[0].flags & dns.flags.RD
        other = await run("dns", target, query="shop.example", answers=["192.0.2.9"], recursion=False)
        assert (other.reason, "192.0.2.9 is not there" in other.text) == ("assertion", True)
        assert not server.asked[1].flags & dns.flags.RD


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"answers_match": [r"^shop.example.\t60\tIN\tA\t192.0.2.7$", r"^192.0.2.8$"]}, ""),
        ({"answers_match": ["192.0.2.9"]}, "nothing matches 192.0.2.9"),
        ({"answers_all_match": [r"IN\tA\t192"]}, ""),
        ({"answers_all_match": ["192", "192.0.2.7"]}, "not everything matches 192.0.2.7"),
        ({"answers_lack": ["127.0.0.1"]}, ""),
        ({"answers_lack": [r"^127", r"\t192.0.2.8$"]}, r"something matches \t192.0.2.8$"),
    ],
)
async def test_records_are_matched_by_their_values_and_as_a_whole(more, wrong):
    async with name_server(records=[A]) as (_, target):
        result = await run("dns", target, query="shop.example", **more)
    assert result.text.partition(";")[0] == wrong


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_nobody_listens_on_the_port_of_a_name_server(transport):
    result = await run("dns", f"127.0.0.1:{free_port()}", query="a.example", transport=transport)
    assert result.reason == "connect_refused"
    assert result.samples["probe_dns_query_succeeded", ""] == 0


@pytest.mark.parametrize(
    ("behaviour", "more", "reason"),
    [
        ({"rcode": dns.rcode.NXDOMAIN}, {}, "dns_nxdomain"),
        ({"rcode": dns.rcode.NXDOMAIN}, {"rcodes": ["NXDOMAIN"]}, ""),
        ({"rcode": dns.rcode.SERVFAIL}, {}, "dns_failed"),
        ({"silent": True}, {"timeout": "200ms"}, "dns_timeout"),
        ({"garbage": True}, {"timeout": "500ms"}, "dns_failed"),
        ({}, {"answers_match": ["."]}, "assertion"),
        ({}, {"answers_all_match": ["."]}, "assertion"),
    ],
)
async def test_what_goes_wrong_with_a_question(behaviour, more, reason):
    async with name_server(**behaviour) as (_, target):
        result = await run("dns", target, **{"query": "shop.example", **more})
    assert (result.reason, result.success) == (reason, not reason)


async def test_a_name_server_that_hangs_up():
    async def hang_up_at_once(reader, writer):
        writer.close()

    async with listening(hang_up_at_once) as port:
        assert (await run("dns", f"127.0.0.1:{port}", query="a.example", transport="tcp")).reason == "broken_off"


# ---- icmp -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_this_machine_answers_or_the_probe_says_what_to_allow(address):
    result = await run("icmp", address)
    if result.reason == "unsupported":
        assert "ping_group_range" in result.text or "has no such pings" in result.text
    else:
        assert (result.success, result.text) == (True, "")
        assert 0 < result.samples["probe_icmp_duration_seconds", 'phase="rtt"'] < 0.5
        assert result.samples["probe_icmp_reply_hop_limit", ""] == 64


async def test_nobody_answers_from_a_place_that_is_kept_free():
    result = await run("icmp", "240.0.0.1", timeout="200ms")
    assert result.reason in ("timeout", "connect_unreachable", "unsupported")
