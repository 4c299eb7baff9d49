"""The body of a request: read within a size and a time, else refused in words."""

import asyncio
import zlib
from collections.abc import Callable

import structlog
from aiohttp import web

log = structlog.get_logger()

READ_WITHIN = 60.0
"""Seconds in which a body must have come. The largest takes 9 Mbit/s."""
_NOT_WHAT_IT_SAYS = "the body is not what Content-Encoding or Transfer-Encoding says: "


def _forget(size: int) -> None:
    pass


async def read_body(
    request: web.Request,
    most: int | None = None,
    within: float = READ_WITHIN,
    hold: Callable[[int], None] = _forget,
) -> bytes:
    """Give the whole body, of `most` bytes or what the application allows; `hold` is told of each piece that has come.

    Only now is a sender told to go on that has asked whether to, and is anything unpacked that is packed.
    """
    most = most or request.client_max_size
    body = await _as_sent(request, most, within, hold)
    packed = request.headers.get("Content-Encoding", "").strip().lower()
    if packed in ("", "identity"):
        return body
    unpacked = await asyncio.to_thread(_unpack, body, packed, most)
    hold(len(unpacked))
    return unpacked


async def _as_sent(request: web.Request, most: int, within: float, hold: Callable[[int], None]) -> bytes:
    if (request.content_length or 0) > most:
        raise _too_large(most)
    try:
        if request.content.is_eof() and "Expect" not in request.headers:  # it has come with them, as most do
            whole = request.content.read_nowait()
            hold(len(whole))
            if len(whole) > most:
                raise _too_large(most)
            return whole
        async with asyncio.timeout(within):
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # the answer is still to come
            body = bytearray()
            async for piece in request.content.iter_any():
                hold(len(piece))
                body += piece
                if len(body) > most:
                    raise _too_large(most)
            return bytes(body)
    except TimeoutError:
        raise web.HTTPServiceUnavailable(text=f"the body did not come within {within:g} s: send it again") from None
    except ConnectionResetError:
        log.warning("a sender hung up before its body was whole", path=request.match_info.route.resource)
        raise web.HTTPBadRequest(text="the connection ended before the body") from None
    except web.RequestPayloadError as error:
        because = str(error).partition("\n")[0][:200]
        log.warning("a body cannot be read", path=request.match_info.route.resource, because=because)
        raise web.HTTPBadRequest(text=f"{_NOT_WHAT_IT_SAYS}{because}") from None


def _unpack(body: bytes, packed: str, most: int) -> bytes:
    """Unpack a body, `most` bytes of it at most: a small one may hold a thousand times as much."""
    match packed:
        case "gzip" | "x-gzip":
            unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        case "deflate":  # with the head of zlib or, as some send it, without
            unpacker = zlib.decompressobj(zlib.MAX_WBITS if body[:1] and body[0] & 15 == 8 else -zlib.MAX_WBITS)
        case _:
            raise web.HTTPBadRequest(
                text="the body is packed as Relay cannot unpack it: send gzip, deflate, or it plain"
            )
    try:
        unpacked = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise web.HTTPBadRequest(text=f"{_NOT_WHAT_IT_SAYS}{error}") from None
    if len(unpacked) > most:
        raise _too_large(most)
    if not unpacker.eof or unpacker.unused_data:
        raise web.HTTPBadRequest(
            text=f"{_NOT_WHAT_IT_SAYS}it {'goes on after' if unpacker.eof else 'ends before'} its end"
        )
    return unpacked


def _too_large(most: int) -> web.HTTPRequestEntityTooLarge:
    size = f"{most // 1024 // 1024} MiB" if most >= 1024 * 1024 else f"{most // 1024} KiB"
    return web.HTTPRequestEntityTooLarge(most, text=f"the body is larger than {size}")


async def go_on_later(request: web.Request) -> None:
    """Leave `Expect: 100-continue` to `read_body`: who may not post, or posts too much, shall send nothing."""
