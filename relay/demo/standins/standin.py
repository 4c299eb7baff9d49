"""A vendor on 127.0.0.1: it speaks the wire contract strictly, remembers what it was asked, and fails on request.

What it is asked is decided by a `Vendor`, a plain object without a clock; all HTTP and all trouble are here.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from relay.demo.standins.alerts import Alerts
from relay.demo.standins.faults import PROCESSED, Fault, Faults, suffer

MOST_ENTRIES = 200_000
"""Requests that a journal keeps; what was opened and triggered is counted apart, and complete."""

_FAULT = TypeAdapter(Fault)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `path` is percent-encoded, as it was sent, without its query; `body` is None if not a JSON object."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    body: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Reply:
    """A vendor's answer, and what it made of the request."""

    status: int
    body: Mapping[str, Any]
    acceptance: str
    """In a word: `opened`, `appended`, `acknowledged`, `resolved`, `noted`, `queued`, `dropped`, `refused` …"""
    headers: Mapping[str, str] = field(default_factory=dict)


class Vendor(Protocol):
    """Decides what becomes of a request. `now` is in seconds, of any origin."""

    alerts: Alerts

    def answer(self, asked: Asked, now: float) -> Reply:
        """Process a request."""
        ...

    def about(self, asked: Asked) -> tuple[str, str]:
        """Say which key and which action a request speaks of, as far as can be told; nothing changes."""
        ...

    def settle(self, now: float) -> None:
        """Process what is queued and due."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A request as the journal keeps it; `at` is monotonic. One that met a fault before it was processed is `lost`."""

    at: float
    key: str
    action: str
    acceptance: str
    status: int
    """0 if none was sent as the vendor meant it."""
    body: Mapping[str, Any]
    fault: str = ""


class StandIn:
    """A server that stands in for a vendor. `faults` is what will go wrong, `journal` what was asked."""

    def __init__(self, vendor: Vendor, path: str = "") -> None:
        self.vendor = vendor
        self.faults = Faults()
        self.journal: deque[Entry] = deque(maxlen=MOST_ENTRIES)
        self.url = ""
        self._path = path
        self._stopping = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; afterwards `url` is the address to give to a courier."""
        self._stopping.clear()
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, backlog=2048).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self._path}"

    async def stop(self) -> None:
        """End what hangs, and listen no more. What is remembered stays."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def open_keys(self) -> frozenset[str]:
        """The keys of the alerts that are open."""
        self.vendor.settle(time.monotonic())
        return frozenset(key for _, key in self.vendor.alerts.open)

    def pages(self) -> tuple[str, ...]:
        """The key of every alert that was new, in order: each of them rang somebody."""
        self.vendor.settle(time.monotonic())
        return tuple(self.vendor.alerts.opened)

    def triggers(self, key: str) -> int:
        """How often a trigger was accepted for a key, the first and every repeat."""
        self.vendor.settle(time.monotonic())
        return self.vendor.alerts.triggers[key]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/_"):
            return await self._inspect(request)
        raw = await request.read()
        path = request.raw_path.partition("?")[0]
        path = path.removeprefix(self._path) if path.startswith(self._path) else ""
        asked = Asked(request.method, path, request.query, request.headers, raw, _object(raw))
        fault = self.faults.take()
        if fault is None:
            return self._answer(asked)
        if fault.kind not in PROCESSED:
            self._note(asked, Reply(0, {}, "lost"), fault.kind)
        return await suffer(fault, request, lambda: self._answer(asked, fault.kind), self._stopping)

    def _answer(self, asked: Asked, fault: str = "") -> web.Response:
        reply = self.vendor.answer(asked, time.monotonic())
        self._note(asked, reply, fault)
        return web.json_response(reply.body, status=reply.status, headers=reply.headers)

    def _note(self, asked: Asked, reply: Reply, fault: str) -> None:
        key, action = self.vendor.about(asked)
        entry = Entry(time.monotonic(), key, action, reply.acceptance, reply.status, asked.body or {}, fault)
        self.journal.append(entry)

    async def _inspect(self, request: web.BaseRequest) -> web.Response:
        """`GET /_journal` shows what was asked; `POST /_fault` takes a fault, and `times`."""
        if (request.method, request.path) == ("GET", "/_journal"):
            told = {"entries": [asdict(entry) for entry in self.journal], "pages": self.pages()}
            return web.json_response({**told, "open": sorted(self.open_keys())})
        if (request.method, request.path) != ("POST", "/_fault"):
            return web.json_response({"error": "there is GET /_journal and POST /_fault"}, status=404)
        told = _object(await request.read()) or {}
        try:
            times = int(str(told.pop("times", 1)))
            self.faults.add(_FAULT.validate_python(told), times)
        except (ValidationError, ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"times": times})


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        told: Any = json.loads(raw.decode("utf-8"))
        if b"\\ud" in raw.lower():
            json.dumps(told, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
