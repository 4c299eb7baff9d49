"""Metrics sent by Prometheus' remote write, for places where nobody can come to scrape.

Contract: https://prometheus.io/docs/specs/prw/remote_write_spec/ (1.0). Samples are those of a scrape at the same time;
a series that is not told any more is marked as stale, as Prometheus marks it when it scrapes.
"""

import asyncio
import re
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

import aiohttp
import structlog
from cramjam import snappy
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from prometheus_client import Counter

from relay.clock import Clock
from synthetic.exposition import Exposition
from synthetic.push import JOB, TIMEOUT, NotPushed, Receiver, ask, written

log = structlog.get_logger()

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "relay-synthetic",
}
AT_ONCE = 1000
"""Series in a request."""
STEP = 50
"""Series that are written before others get their turn."""
KEPT = 10_000
"""Labels of series that are kept as they are sent: most series of a check have the same."""
FIRST, LONGEST = 1.0, 60.0
"""Seconds until it is tried again: twice as long each time."""
STALE: float = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
"""The NaN by which Prometheus knows that a series is not told any more."""
FORGOTTEN = 300_000
"""Milliseconds after which Prometheus does not believe any more in a series that is not told (its lookback)."""
WRITES = Counter("relay_synthetic_remote_writes", "Requests of remote write, by result.", ["result"])
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def _messages() -> Any:
    """Prometheus' WriteRequest, of those fields of its messages that are needed."""
    kinds = FieldDescriptorProto
    fields = {
        "Label": (("name", 1, kinds.TYPE_STRING), ("value", 2, kinds.TYPE_STRING)),
        "Sample": (("value", 1, kinds.TYPE_DOUBLE), ("timestamp", 2, kinds.TYPE_INT64)),
        "TimeSeries": (("labels", 1, "Label"), ("samples", 2, "Sample")),
        "WriteRequest": (("timeseries", 1, "TimeSeries"),),
    }
    file = FileDescriptorProto(name="remote.proto", package="prometheus", syntax="proto3")
    for message, its in fields.items():
        made = DescriptorProto(name=message)
        for name, number, kind in its:
            if isinstance(kind, str):
                many = FieldDescriptorProto.LABEL_REPEATED
                made.field.add(name=name, number=number, label=many, type=kinds.TYPE_MESSAGE, type_name=kind)
            else:
                made.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL, type=kind)
        file.message_type.append(made)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


WriteRequest = _messages()


async def follow(exposition: Exposition, location: str, receiver: Receiver, clock: Clock) -> None:
    """Write until cancelled; then mark all that was written as stale, as what is not scraped any more is."""
    async with receiver.session() as session:
        writer = Writer(exposition, location, receiver, clock, session)
        try:
            while True:
                await writer.write()
        finally:
            with suppress(NotPushed, TimeoutError):
                async with asyncio.timeout(TIMEOUT):
                    await writer.end()


class Writer:
    """Writes to one receiver, and knows what that was told."""

    def __init__(
        self,
        exposition: Exposition,
        location: str,
        receiver: Receiver,
        clock: Clock,
        session: aiohttp.ClientSession,
    ) -> None:
        self._exposition = exposition
        self._location = location
        self._receiver, self._clock, self._session = receiver, clock, session
        self._live: dict[str, int] = {}
        """Series that the receiver may believe in, to when they were last told: milliseconds since 1970."""
        self._at = 0
        self._first, self._pause = FIRST, 0.0
        self._refused = ""

    async def write(self) -> None:
        """Write everything once, and wait until it is time for more.

        What is not taken is tried again until then; newer samples take the place of those that were not taken.
        """
        due = _time() + self._receiver.every
        try:
            await self._round(due)
        except NotPushed as trouble:
            log.warning("metrics could not be written", because=str(trouble))
            await self._gone()
            due = max(due, _time() + self._pause)
        if self._refused:
            log.warning("metrics were refused, and are lost", because=self._refused)
            self._refused = ""
        await asyncio.sleep(due - _time())

    async def end(self) -> None:
        """Mark everything as stale. Raises `NotPushed`."""
        self._tick()
        await self._mark_stale(_time())

    def _tick(self) -> None:
        self._at = max(self._at + 1, int(self._clock.now().timestamp() * 1000))

    async def _round(self, until: float) -> None:
        self._tick()
        request = WriteRequest()
        async for line in self._lines():
            series, _, value = line.rpartition(" ")
            self._live[series] = self._at
            self._add(request, series, float(value))
            if len(request.timeseries) >= AT_ONCE:
                await self._send(request, until)
                request = WriteRequest()
        await self._send(request, until)
        await self._mark_stale(until)

    async def _lines(self) -> AsyncIterator[str]:
        """Every sample, as a line of the text format."""
        async for piece in written(self._exposition):
            for number, line in enumerate(piece.decode().split("\n")):
                if line and not line.startswith("#"):
                    yield line
                if number % STEP == STEP - 1:
                    await asyncio.sleep(0)

    async def _mark_stale(self, until: float) -> None:
        """Mark what this round has not told."""
        gone = await self._gone()
        for start in range(0, len(gone), AT_ONCE):
            request = WriteRequest()
            for series in gone[start : start + AT_ONCE]:
                self._add(request, series, STALE)
            await self._send(request, until)
        for series in gone:
            del self._live[series]

    async def _gone(self) -> list[str]:
        """Give what this round has not told; what Prometheus has forgotten by itself is forgotten here as well."""
        gone = []
        for number, series in enumerate(list(self._live)):
            if self._live[series] < self._at - FORGOTTEN:
                del self._live[series]
            elif self._live[series] < self._at:
                gone.append(series)
            if number % KEPT == 0:
                await asyncio.sleep(0)
        return gone

    def _add(self, request: Any, series: str, value: float) -> None:
        name, _, labels = series.partition("{")
        added = request.timeseries.add()
        added.labels.add(name="__name__", value=name)  # the first in order: no label of ours begins with a capital
        added.MergeFromString(_labels(labels, self._location))
        added.samples.add(value=value, timestamp=self._at)

    async def _send(self, request: Any, until: float) -> None:
        """Send a request, again and again until it is taken or refused. Raises `NotPushed` when it is too late."""
        if not request.timeseries:
            return
        body = bytes(snappy.compress_raw(request.SerializeToString()))
        while True:
            try:
                await ask(self._session, "POST", self._receiver.url, body, HEADERS)
            except NotPushed as trouble:
                if not trouble.again:
                    WRITES.labels("refused").inc()
                    self._refused = str(trouble)
                    return
                WRITES.labels("failure").inc()
                self._pause = min(trouble.after or max(self._first, 2 * self._pause), LONGEST)
                if _time() + self._pause >= until:
                    raise
                await asyncio.sleep(self._pause)
            else:
                WRITES.labels("success").inc()
                self._pause = 0.0
                return


@lru_cache(maxsize=KEPT)
def _labels(written: str, location: str) -> bytes:
    """Labels of the text format, and whose they are, as a part of a TimeSeries."""
    told = {"job": JOB, "location": location, **dict(_LABEL.findall(written))}
    [series] = WriteRequest(timeseries=[{}]).timeseries
    for name in sorted(told):
        if value := told[name]:  # an empty label is none
            series.labels.add(name=name, value=_ESCAPED.sub(_unescape, value) if "\\" in value else value)
    encoded: bytes = series.SerializeToString()
    return encoded


def _unescape(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


def _time() -> float:
    """The loop's own clock, which is never set."""
    return asyncio.get_running_loop().time()
