"""Trouble on request: what a stand-in does wrong with its next requests."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

Kind = Literal["status", "redirect", "html", "garbage", "hang", "reset", "ghost", "drip"]

PROCESSED: frozenset[Kind] = frozenset({"ghost", "drip"})
"""Faults with which the vendor does what it is asked, and only its answer is lost."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble.

    `status`: answers with `status`, `headers` and `body`. `redirect`: to `location`. `html`: a page with `status`.
    `garbage`: bytes that are no HTTP. `hang`: says nothing for `seconds`. `reset`: breaks the connection before the
    request is processed, `ghost` after. `drip`: processes it, and answers a byte every `seconds`.
    """

    kind: Kind
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    location: str = ""
    seconds: float = 0.05


class Faults:
    """The faults that are still to come, in order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Fault, int]] = deque()

    def add(self, fault: Fault, times: int = 1) -> None:
        """Let the next `times` requests that are not spoken for meet a fault."""
        if times > 0:
            self._waiting.append((fault, times))

    def clear(self) -> None:
        """Let all be well again."""
        self._waiting.clear()

    def take(self) -> Fault | None:
        """Give the fault of the request that has come, if it has one."""
        if not self._waiting:
            return None
        fault, times = self._waiting.popleft()
        if times > 1:
            self._waiting.appendleft((fault, times - 1))
        return fault


async def suffer(
    fault: Fault, request: web.BaseRequest, answer: Callable[[], web.Response], stopping: asyncio.Event
) -> web.StreamResponse:
    """Answer a request as the fault says; `answer` has the vendor process it, and `stopping` ends every wait."""
    match fault.kind:
        case "status":
            return web.Response(status=fault.status, headers=fault.headers, text=fault.body or None)
        case "redirect":
            return web.Response(status=fault.status, headers={"Location": fault.location})
        case "html":
            page = fault.body or "<!doctype html><title>Sign in</title><h1>Sign in to the network</h1>"
            return web.Response(status=fault.status, text=page, content_type="text/html")
        case "garbage":
            return _break(request, b"220 mail.example.com ESMTP\r\n\r\n")
        case "hang":
            await _pause(stopping, fault.seconds)
            return _break(request)
        case "reset":
            return _break(request)
        case "ghost":
            answer()
            return _break(request)
        case "drip":
            return await _drip(request, answer(), fault.seconds, stopping)


def _break(request: web.BaseRequest, last_words: bytes = b"") -> web.Response:
    """End the connection; aiohttp then finds that it cannot send what is returned, and leaves it at that."""
    if (transport := request.transport) is not None:
        if last_words:
            transport.write(last_words)
            transport.close()
        else:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
    return web.Response()


async def _drip(
    request: web.BaseRequest, whole: web.Response, seconds: float, stopping: asyncio.Event
) -> web.StreamResponse:
    slow = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    body = whole.body if isinstance(whole.body, bytes) else b""
    slow.content_length = len(body)
    try:
        await slow.prepare(request)
        for byte in body:
            await _pause(stopping, seconds)
            await slow.write(bytes([byte]))
    except ConnectionError:
        pass  # the other side has waited long enough
    return slow


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        pass
