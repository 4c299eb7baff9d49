"""`icmp`: an echo request, over the unprivileged sockets that Linux offers, else over raw ones."""

import asyncio
import itertools
import os
import socket
import struct
import time

from synthetic.dial import Place, resolve
from synthetic.kinds import IcmpKeys
from synthetic.run import Failed, Run, label
from synthetic.targets import read_host

_NUMBERS = itertools.count(1)
_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_IP_RECVTTL = getattr(socket, "IP_RECVTTL", 12)  # Python does not name it everywhere; 12 is Linux'
_TELL_HOPS = {
    socket.AF_INET: (socket.IPPROTO_IP, _IP_RECVTTL),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT),
}
_HOPS = ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT))
_HOW = (
    "this user may send no pings: allow it with sysctl net.ipv4.ping_group_range='0 2147483647', or with the "
    "capability NET_RAW"
)


async def probe(keys: IcmpKeys, target: str, run: Run) -> None:
    """Send one, and wait for its reply. Raises `Failed`."""
    place = await resolve(read_host(target), keys.ip_protocol, run)
    run.measure("probe_icmp_duration_seconds", place.seconds, label("phase", "resolve"))
    began = time.perf_counter()
    with _open(place.family) as pinging:
        raw = pinging.type == socket.SOCK_RAW
        run.measure("probe_icmp_duration_seconds", time.perf_counter() - began, label("phase", "setup"))
        number = next(_NUMBERS) & 0xFFFF
        mark = os.getpid() & 0xFFFF
        payload = struct.pack("!Q", time.perf_counter_ns()) + bytes(keys.payload_bytes - 8)
        packet = _packet(place.family, mark, number, payload)
        run.phase, sent = "rtt", time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendto(pinging, packet, (place.address, 0))
            while True:
                answer, sender, hops = await _receive(pinging)
                if sender == place.address and _answers(answer, place, raw, mark, number, payload):
                    break
        except OSError as error:
            raise Failed("connect_unreachable", f"{place.address} cannot be pinged: {error.strerror}") from None
    seconds = time.perf_counter() - sent
    run.measure("probe_icmp_duration_seconds", seconds, label("phase", "rtt"))
    if hops is not None:
        run.measure("probe_icmp_reply_hop_limit", hops)
    run.note(f"{place.address} answers after {seconds * 1000:.2f} ms")


def _open(family: int) -> socket.socket:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            opened = socket.socket(family, kind, _PROTOCOL[socket.AddressFamily(family)])
        except PermissionError:
            continue
        except OSError as error:
            raise Failed("unsupported", f"this machine has no such pings: {error.strerror}") from None
        opened.setblocking(False)
        opened.setsockopt(*_TELL_HOPS[socket.AddressFamily(family)], 1)
        return opened
    raise Failed("unsupported", _HOW)


async def _receive(pinging: socket.socket) -> tuple[bytes, str, int | None]:
    """Give a packet, its sender, and its hop limit (TTL)."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pinging.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pinging.fileno())
    packet, beside, _, sender = pinging.recvmsg(65536, socket.CMSG_SPACE(struct.calcsize("i")))
    hops = (struct.unpack("i", data)[0] for level, kind, data in beside if (level, kind) in _HOPS)
    return packet, str(sender[0]), next(hops, None)


def _packet(family: int, mark: int, number: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHH", _REQUEST[socket.AddressFamily(family)], 0, 0, mark, number)
    checksum = _checksum(head + payload)  # the kernel writes its own for IPv6 and for unprivileged sockets
    return struct.pack("!BBHHH", head[0], 0, checksum, mark, number) + payload


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _answers(packet: bytes, place: Place, raw: bool, mark: int, number: int, payload: bytes) -> bool:
    """Whether it is the reply to our request; the kernel gives unprivileged sockets a mark of its own."""
    if raw and place.family == socket.AF_INET:
        packet = packet[(packet[0] & 0xF) * 4 :]
    if len(packet) < 8:
        return False
    kind, _, _, its_mark, its_number = struct.unpack("!BBHHH", packet[:8])
    right = kind == _REPLY[socket.AddressFamily(place.family)] and its_number == number and packet[8:] == payload
    return right and (not raw or its_mark == mark)
