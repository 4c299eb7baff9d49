"""`dns`: a question to a name server, and what its answer is to hold. The server is the target."""

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from synthetic.checks import DNS_PORT
from synthetic.dial import resolve
from synthetic.kinds import DnsKeys, Regex
from synthetic.run import Failed, Run, label
from synthetic.targets import read_host_port


async def probe(keys: DnsKeys, target: str, run: Run) -> None:
    """Ask, and judge the answer. Raises `Failed`."""
    host, port = read_host_port(target, DNS_PORT)
    run.measure("probe_dns_query_succeeded", 0)
    place = await resolve(host, keys.ip_protocol, run)
    run.measure("probe_dns_duration_seconds", place.seconds, label("phase", "resolve"))
    answer = await _ask(keys, place.address, port, run)
    run.measure("probe_dns_query_succeeded", 1)
    _judge(keys, answer, run)


async def _ask(keys: DnsKeys, address: str, port: int, run: Run) -> dns.message.Message:
    try:
        question = dns.message.make_query(keys.query, keys.type)
    except dns.exception.DNSException as error:
        raise Failed("unsupported", f"this question cannot be asked: {error}") from None
    if not keys.recursion:
        question.flags &= ~dns.flags.RD
    run.note(f"asks {address}:{port} for {keys.query} {keys.type} over {keys.transport}")
    try:
        answer = await _exchange(question, address, port, keys.transport, run)
    except ConnectionRefusedError:
        raise Failed("connect_refused", f"{address}:{port} refuses the question") from None
    except (ConnectionResetError, asyncio.IncompleteReadError, EOFError):
        raise Failed("broken_off", f"{address}:{port} hung up before it answered") from None
    except OSError as error:
        raise Failed("connect_failed", f"{address}:{port} cannot be asked: {error.strerror}") from None
    except dns.exception.DNSException as error:
        raise Failed("dns_failed", f"what it answers is not understood ({type(error).__name__})") from None
    return answer


async def _exchange(
    question: dns.message.Message, address: str, port: int, transport: str, run: Run
) -> dns.message.Message:
    """Connect, also over UDP, where a port that nobody listens on is told only to who has; ask, and hear the answer."""
    udp, family = transport == "udp", dns.inet.af_for_address(address)
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    run.phase, began = "connect", time.perf_counter()
    make: Any = dns.asyncbackend.get_default_backend().make_socket  # it has no types
    async with await make(family, kind, 0, None, (address, port)) as connected:
        run.phase, asked = "request", time.perf_counter()
        run.measure("probe_dns_duration_seconds", asked - began, label("phase", "connect"))
        send = dns.asyncquery.udp if udp else dns.asyncquery.tcp
        answer = await send(question, address, port=port, sock=connected)
    run.measure("probe_dns_duration_seconds", time.perf_counter() - asked, label("phase", "request"))
    return answer


def _judge(keys: DnsKeys, answer: dns.message.Message, run: Run) -> None:
    counts = {"answer": answer.answer, "authority": answer.authority, "additional": answer.additional}
    for name, section in counts.items():
        run.measure(f"probe_dns_{name}_rrs", sum(len(of) for of in section))
    for of in (*answer.answer, *answer.authority):
        if of.rdtype == dns.rdatatype.SOA:
            run.measure("probe_dns_serial", float(of[0].serial))
    code = dns.rcode.to_text(answer.rcode())
    found = list(_records(answer))
    told = ", ".join(record.value for record in found) or "nothing"
    run.note(f"answers {code}: {told}")
    if code not in keys.rcodes:
        reason = "dns_nxdomain" if code == "NXDOMAIN" else "dns_failed"
        raise Failed(reason, f"answers {code}, and not {' or '.join(keys.rcodes)}")
    if wrong := _wrong(keys, found):
        raise Failed("assertion", f"{wrong}; the answer has: {told}")


class _Record(NamedTuple):
    value: str
    whole: str
    """As blackbox_exporter matches it: name, time to live, class, type and value, with tabs between them."""

    def meets(self, regex: Regex) -> bool:
        return regex.found_in(self.value) or regex.found_in(self.whole)


def _records(answer: dns.message.Message) -> Iterator[_Record]:
    for of in answer.answer:
        kind = f"{dns.rdataclass.to_text(of.rdclass)}\t{dns.rdatatype.to_text(of.rdtype)}"
        for record in of:
            yield _Record(record.to_text(), f"{of.name}\t{of.ttl}\t{kind}\t{record.to_text()}")


def _wrong(keys: DnsKeys, found: Sequence[_Record]) -> str:
    """Say what of the answer is not as it is to be."""
    for wanted in keys.answers:
        if all(record.value != wanted for record in found):
            return f"{wanted} is not there"
    for regex in keys.answers_match:
        if not any(record.meets(regex) for record in found):
            return f"nothing matches {regex}"
    for regex in keys.answers_all_match:
        if not found or not all(record.meets(regex) for record in found):
            return f"not everything matches {regex}"
    for regex in keys.answers_lack:
        if any(record.meets(regex) for record in found):
            return f"something matches {regex}"
    return ""
