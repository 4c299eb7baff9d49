"""Metrics pushed to a Pushgateway, for places where Prometheus cannot come: https://github.com/prometheus/pushgateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
import structlog
from prometheus_client import REGISTRY, Counter, generate_latest

from synthetic.exposition import TEXT, Exposition

log = structlog.get_logger()

JOB = "relay-synthetic"
TIMEOUT = 10.0
PUSHES = Counter("relay_synthetic_pushes", "Metrics pushed to the Pushgateway, by result.", ["result"])


@dataclass(frozen=True, slots=True)
class Pushgateway:
    """Where to push to, and how often."""

    url: str
    every: float
    """Seconds."""
    token: str = ""

    def address(self, location: str) -> str:
        """Where the group of a location is."""
        return f"{self.url.rstrip('/')}/metrics/job/{JOB}/location/{quote(location, safe='')}"


class NotPushed(Exception):
    """The Pushgateway did not take it. The message says why."""


async def follow(exposition: Exposition, location: str, gateway: Pushgateway) -> None:
    """Push until cancelled; then take back what was pushed, as what is not scraped any more is gone, too."""
    headers = {"Authorization": f"Bearer {gateway.token}"} if gateway.token else {}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(TIMEOUT)) as session:
        try:
            while True:
                try:
                    await _ask(session, "PUT", gateway.address(location), written(exposition))
                    PUSHES.labels("success").inc()
                except NotPushed as trouble:
                    PUSHES.labels("failure").inc()
                    log.warning("metrics could not be pushed", because=str(trouble))
                await asyncio.sleep(gateway.every)
        finally:
            with suppress(NotPushed):
                await _ask(session, "DELETE", gateway.address(location), None)


async def written(exposition: Exposition) -> AsyncIterator[bytes]:
    """Everything for Prometheus, in pieces."""
    async for piece in exposition.write():
        yield piece
    yield generate_latest(REGISTRY)


async def _ask(session: aiohttp.ClientSession, method: str, url: str, body: AsyncIterator[bytes] | None) -> None:
    """Raises `NotPushed`."""
    try:
        async with session.request(
            method, url, data=body, headers={"Content-Type": TEXT}, allow_redirects=False
        ) as answer:
            if answer.status >= 300:
                said = " ".join((await answer.text(errors="replace")).split())[:200]
                raise NotPushed(f"the Pushgateway answers {answer.status}: {said}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotPushed(f"the Pushgateway cannot be asked ({type(error).__name__})") from None
