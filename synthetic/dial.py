"""Finding a host, connecting to it, and TLS: each phase on its own, so that each can be measured and blamed.

No cache of names, no second address that is tried in silence: what a user would meet is what is measured.
"""

import asyncio
import errno
import hashlib
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice

from synthetic.certificates import measure_certificate, untrusted
from synthetic.kinds import Tls
from synthetic.run import Failed, Run, label, timed

LOOK_UPS = ThreadPoolExecutor(64, thread_name_prefix="look-up")
"""Threads that look names up: a name server that hangs must not delay other checks."""
READ_AHEAD = 64 * 1024
_FAMILIES = {"any": socket.AF_UNSPEC, "ip4": socket.AF_INET, "ip6": socket.AF_INET6}
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_NO_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


@dataclass(slots=True)
class Connection:
    """A connection, encrypted or not."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    address: str
    tls: ssl.SSLObject | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name leads to."""

    family: int
    address: str
    seconds: float


async def resolve(host: str, protocol: str, run: Run) -> Place:
    """Look a name up. Raises `Failed`."""
    run.phase = "resolve"
    began = time.perf_counter()
    family = _FAMILIES[protocol]
    try:
        found = ipaddress.ip_address(host)
        place = Place(socket.AF_INET6 if found.version == 6 else socket.AF_INET, host, 0.0)
    except ValueError:
        place = await _look_up(host, family, began, run)
    if family not in (socket.AF_UNSPEC, place.family):
        raise Failed("dns_failed", f"{host} is no address of the protocol {protocol}")
    run.measure("probe_ip_protocol", 6 if place.family == socket.AF_INET6 else 4)
    run.measure("probe_ip_addr_hash", float(int.from_bytes(hashlib.sha256(place.address.encode()).digest()[:4])))
    run.add("probe_dns_lookup_time_seconds", place.seconds)
    return place


async def _look_up(host: str, family: int, began: float, run: Run) -> Place:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(LOOK_UPS, socket.getaddrinfo, host, None, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        reason = "dns_nxdomain" if error.errno in _NO_NAME else "dns_failed"
        raise Failed(reason, f"{host} cannot be resolved: {error.strerror}") from None
    except UnicodeError:
        raise Failed("dns_nxdomain", f"{host} is no name") from None
    address = str(found[0][4][0])
    run.note(f"{host} is {address}")
    return Place(found[0][0], address, time.perf_counter() - began)


@asynccontextmanager
async def dial(
    host: str,
    port: int,
    protocol: str,
    tls: Tls | None,
    run: Run,
    phases: dict[str, float] | None = None,
    alpn: str = "",
) -> AsyncIterator[Connection]:
    """Connect, with TLS where it is asked for; closes the connection at once afterwards. Raises `Failed`.

    `phases` gets the seconds of `resolve`, `connect` and `tls`. `alpn` is the protocol that is offered within TLS.
    """
    took = phases if phases is not None else {}
    if tls is not None:
        context_of(tls, alpn)  # the first time takes longer than a handshake, and is none
    place = await resolve(host, protocol, run)
    took["resolve"] = took.get("resolve", 0.0) + place.seconds
    with timed("connect", run, took):
        connected = await connect(place, port, run)
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection(sock=connected, limit=READ_AHEAD)
        connection = Connection(reader, writer, place.address)
        if tls is not None:
            with timed("tls", run, took):
                await encrypt(connection, tls, host, run, alpn)
        yield connection
    finally:
        if writer is not None:
            writer.transport.abort()  # nobody waits for a polite end
        else:
            connected.close()


async def connect(place: Place, port: int, run: Run) -> socket.socket:
    """Connect to a place; gives a socket that does not block. Raises `Failed`."""
    connecting = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connecting, (place.address, port))
    except ConnectionRefusedError:
        connecting.close()
        raise Failed("connect_refused", f"{place.address}:{port} refuses the connection") from None
    except OSError as error:
        connecting.close()
        reason = "connect_unreachable" if error.errno in _UNREACHABLE else "connect_failed"
        raise Failed(reason, f"{place.address}:{port} cannot be connected to: {error.strerror}") from None
    except BaseException:
        connecting.close()
        raise
    run.note(f"connected to {place.address}:{port}")
    return connecting


async def encrypt(connection: Connection, tls: Tls, host: str, run: Run, alpn: str = "") -> None:
    """Begin TLS on a connection, and look at the certificate. Raises `Failed`."""
    run.phase = "tls"
    name = tls.server_name or host
    try:
        await connection.writer.start_tls(context_of(tls, alpn), server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        raise untrusted(error, name) from None
    except ssl.SSLError as error:
        raise Failed(
            "tls_handshake", f"the TLS handshake failed: {error.reason or 'the connection was closed'}"
        ) from None
    except OSError as error:
        raise Failed("tls_handshake", f"the connection broke in the TLS handshake ({type(error).__name__})") from None
    found = connection.writer.get_extra_info("ssl_object")
    connection.tls = found
    run.measure("probe_tls_version_info", 1, label("version", found.version().replace("TLSv", "TLS ")))
    run.measure("probe_tls_cipher_info", 1, label("cipher", found.cipher()[0]))
    run.note(f"{found.version()} with {found.cipher()[0]}")
    measure_certificate(found, tls, run)


_contexts: dict[tuple[Tls, str], ssl.SSLContext] = {}
CONTEXTS = 256
"""How many are kept."""


def context_of(tls: Tls, alpn: str = "") -> ssl.SSLContext:
    """A context for each way of trusting: making one reads all certificates of the system. Raises `Failed`."""
    found = _contexts.get((tls, alpn))
    if found is None:
        found = _make_context(tls, alpn)
        if len(_contexts) >= CONTEXTS:
            _contexts.clear()
        _contexts[tls, alpn] = found
    return found


def renew_contexts(wanted: Iterable[tuple[Tls, str]]) -> None:
    """Read files of certificates anew. It takes long, and may be done in a thread."""
    fresh = {}
    for tls, alpn in islice(wanted, CONTEXTS):
        with suppress(Failed):  # each probe that needs it will say so
            fresh[tls, alpn] = _make_context(tls, alpn)
    _contexts.clear()
    _contexts.update(fresh)


def _make_context(tls: Tls, alpn: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ssl.SSLError) as error:
        raise Failed(
            "credentials", f"the files of tls cannot be used: {error.strerror or type(error).__name__}"
        ) from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols([alpn])
    return context
