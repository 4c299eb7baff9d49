"""Servers that behave as a test says, on real sockets of this machine."""

import asyncio
import ssl
from contextlib import asynccontextmanager

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

AUTHORITY = trustme.CA()


def certificate(directory, *names, authority=AUTHORITY, **more):
    """A server's context with a certificate of these names, and the file of who vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **more).configure_cert(context)
    trusted = directory / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(trusted))
    return context, str(trusted)


def chain(directory, name, expires, beside=()):
    """A server's context with a certificate of a name, by an intermediate that expires then; `beside` comes with it."""
    context, between = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), AUTHORITY.create_child_ca()
    leaf = between.issue_cert(name)
    made = x509.load_pem_x509_certificate(between.cert_pem.bytes())
    builder = x509.CertificateBuilder(
        made.issuer, made.subject, made.public_key(), made.serial_number, made.not_valid_before_utc, expires
    )
    for one in made.extensions:
        builder = builder.add_extension(one.value, one.critical)
    signer = serialization.load_pem_private_key(AUTHORITY.private_key_pem.bytes(), None)
    signed = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    whole = [leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes(), signed, *beside]
    (directory / "chain.pem").write_bytes(b"".join(whole))
    context.load_cert_chain(directory / "chain.pem")
    AUTHORITY.cert_pem.write_to_path(str(directory / "ca.pem"))
    return context, str(directory / "ca.pem")


@asynccontextmanager
async def listening(serve, context=None):
    """Run `serve(reader, writer)` for each connection; gives the port."""

    async def one(reader, writer):
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answering(*answers, asked=None):
    """Answer requests with these bytes, in turn; the last one again and again."""
    count = iter(range(10**6))

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            asked.append(head + await reader.readexactly(length))
        writer.write(answers[min(next(count), len(answers) - 1)])
        await writer.drain()

    return serve


def ok(body=b"fine", *headers, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def silent(reader, writer):
    """Take the connection, and say nothing."""
    await asyncio.sleep(60)


def dripping(head, drip, every=0.02):
    """Say something, and then a little again and again."""

    async def serve(reader, writer):
        writer.write(head)
        while True:
            writer.write(drip)
            await writer.drain()
            await asyncio.sleep(every)

    return serve
