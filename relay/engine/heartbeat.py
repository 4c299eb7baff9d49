"""Relay's own sign of life, for somebody outside who pages when it stops: only while what has come can be kept."""

import asyncio
from collections.abc import Callable

import aiohttp
import structlog

from relay.config import settings
from relay.engine.metrics import Metrics
from relay.integrations.courier import Again, Never
from relay.integrations.exchange import Exchange, secrets_in

log = structlog.get_logger()

TIMEOUT = 10.0


class Heartbeat:
    """Asks an address every so many seconds; 2xx is well. Its owner runs it in a task."""

    def __init__(self, beat: settings.Heartbeat, healthy: Callable[[], bool], metrics: Metrics) -> None:
        """Raises `SecretMissing`."""
        self._url, self._method, self._body = beat.url(), beat.method, beat.body()
        authorization = beat.authorization()
        self._headers = {"Authorization": authorization} if authorization else {}
        self._every = beat.every.total_seconds()
        self._healthy = healthy
        self._metrics = metrics
        self._exchange = Exchange("the heartbeat's address", secrets_in(self._url), TIMEOUT)

    async def run(self) -> None:
        """Beat until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                if self._healthy():
                    await self._beat(session)
                await asyncio.sleep(self._every)

    async def _beat(self, session: aiohttp.ClientSession) -> None:
        try:
            answer = await self._exchange.send(session, self._method, self._url, body=self._body, headers=self._headers)
            if not 200 <= answer.status < 300:
                raise self._exchange.refusal(answer)
        except (Again, Never) as trouble:
            self._metrics.heartbeat_failures.inc()
            log.warning("no heartbeat", because=str(trouble))
