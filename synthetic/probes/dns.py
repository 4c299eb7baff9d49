"""`dns`: a question to a name server, and what its answer is to hold. The server is the target."""

import asyncio
import time

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from synthetic.checks import DNS_PORT
from synthetic.dial import resolve
from synthetic.kinds import DnsKeys
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
    run.phase, began = "request", time.perf_counter()
    run.note(f"asks {address}:{port} for {keys.query} {keys.type} over {keys.transport}")
    send = dns.asyncquery.udp if keys.transport == "udp" else dns.asyncquery.tcp
    try:
        answer = await send(question, address, port=port)
    except ConnectionRefusedError:
        raise Failed("connect_refused", f"{address}:{port} refuses the question") from None
    except (ConnectionResetError, asyncio.IncompleteReadError, EOFError):
        raise Failed("broken_off", f"{address}:{port} hung up before it answered") from None
    except OSError as error:
        raise Failed("connect_failed", f"{address}:{port} cannot be asked: {error.strerror}") from None
    except dns.exception.DNSException as error:
        raise Failed("dns_failed", f"what it answers is not understood ({type(error).__name__})") from None
    run.measure("probe_dns_duration_seconds", time.perf_counter() - began, label("phase", "request"))
    return answer


def _judge(keys: DnsKeys, answer: dns.message.Message, run: Run) -> None:
    counts = {"answer": answer.answer, "authority": answer.authority, "additional": answer.additional}
    for name, section in counts.items():
        run.measure(f"probe_dns_{name}_rrs", sum(len(records) for records in section))
    for records in (*answer.answer, *answer.authority):
        if records.rdtype == dns.rdatatype.SOA:
            run.measure("probe_dns_serial", float(records[0].serial))
    code = dns.rcode.to_text(answer.rcode())
    found = [record.to_text() for records in answer.answer for record in records]
    run.note(f"answers {code}: {', '.join(found) or 'nothing'}")
    if code not in keys.rcodes:
        reason = "dns_nxdomain" if code == "NXDOMAIN" else "dns_failed"
        raise Failed(reason, f"answers {code}, and not {' or '.join(keys.rcodes)}")
    for wanted in keys.answers:
        if wanted not in found:
            raise Failed("assertion", f"{wanted} is not in the answer, which has: {', '.join(found) or 'nothing'}")
    for regex in keys.answers_match:
        if not any(regex.found_in(text) for text in found):
            raise Failed("assertion", f"nothing in the answer matches {regex}; it has: {', '.join(found) or 'nothing'}")
