"""Metrics pushed to a Pushgateway, for places where Prometheus cannot come: https://github.com/prometheus/pushgateway."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp
import structlog
from prometheus_client import REGISTRY, Counter, generate_latest

from synthetic.exposition import TEXT, Exposition

log = structlog.get_logger()

JOB = "relay-synthetic"
TIMEOUT = 10.0
PUSHES = Counter("relay_synthetic_pushes", "Metrics pushed to the Pushgateway, by result.", ["result"])
AGAIN = 429


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where to push to, and how often."""

    url: str
    every: float
    """Seconds."""
    token: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def session(self) -> aiohttp.ClientSession:
        """A session that shows the token."""
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return aiohttp.ClientSession(headers={**self.headers, **token}, timeout=aiohttp.ClientTimeout(TIMEOUT))


class NotPushed(Exception):
    """The receiver did not take it. The message says why."""

    def __init__(self, text: str, again: bool = True, after: float = 0.0) -> None:
        super().__init__(text)
        self.again = again
        """Whether the same may be taken later, and after how many seconds; 0 when it does not say."""
        self.after = after


async def follow(exposition: Exposition, location: str, gateway: Receiver) -> None:
    """Push until cancelled; then take back what was pushed, as what is not scraped any more is gone, too."""
    group = f"{gateway.url.rstrip('/')}/metrics/job/{JOB}/location/{quote(location, safe='')}"
    async with gateway.session() as session:
        try:
            while True:
                try:
                    await ask(session, "PUT", group, written(exposition), {"Content-Type": TEXT})
                    PUSHES.labels("success").inc()
                except NotPushed as trouble:
                    PUSHES.labels("failure").inc()
                    log.warning("metrics could not be pushed", because=str(trouble))
                await asyncio.sleep(gateway.every)
        finally:
            with suppress(NotPushed):
                await ask(session, "DELETE", group)


async def written(exposition: Exposition) -> AsyncIterator[bytes]:
    """Everything for Prometheus, in pieces."""
    async for piece in exposition.write():
        yield piece
    yield generate_latest(REGISTRY)


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    body: AsyncIterator[bytes] | bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Ask a receiver to take something. Raises `NotPushed`."""
    try:
        async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status < 300:
                return
            said = " ".join((await answer.content.read(1000)).decode(errors="replace").split())[:200]
            after = answer.headers.get("Retry-After", "")
            raise NotPushed(
                f"the receiver answers {answer.status}: {said}",
                answer.status >= 500 or answer.status == AGAIN,
                float(after) if after.isascii() and after.isdigit() else 0.0,
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise NotPushed(f"the receiver cannot be asked ({type(error).__name__})") from None
