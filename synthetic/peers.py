"""Workers of other locations: asked to run a check, and to tell what came of it."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import structlog

from synthetic.answers import TooLong, read

log = structlog.get_logger()

TIMEOUT = 60.0
"""Seconds for a run elsewhere, with the time that its probe may take."""
MOST_BYTES = 8 * 1024 * 1024
"""Of an answer: results with their logs, and screenshots."""


class PeerFailed(Exception):
    """A worker elsewhere cannot be asked. The message says why."""


async def ask_peer(url: str, token: str, names: Sequence[str], because: str = "asked") -> list[dict[str, Any]]:
    """Let a worker run checks now; gives its results. Raises `PeerFailed`."""
    headers = {"Authorization": f"Bearer {token}"}
    asked = {"checks": list(names), "because": because}
    limit = aiohttp.ClientTimeout(total=TIMEOUT, sock_connect=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, headers=headers) as session,
            session.post(f"{url.rstrip('/')}/api/v1/run", json=asked, allow_redirects=False) as answer,
        ):
            told = json.loads(await read(answer, MOST_BYTES))
            if answer.status != 200:
                raise PeerFailed(f"it answers {answer.status}: {str(dict(told).get('error', ''))[:200]}")
            return list(told["results"])
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise PeerFailed(f"it cannot be asked ({type(error).__name__})") from None
    except TooLong as error:
        raise PeerFailed(f"it answers with {error}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise PeerFailed("what it answers is not understood: is a worker there?") from None


async def second_opinion(peers: Mapping[str, str], token: str, name: str) -> None:
    """Let the first worker elsewhere that can look at a check; it exports what it sees itself."""
    for location, url in peers.items():
        try:
            await asyncio.wait_for(ask_peer(url, token, [name], because="suspected"), TIMEOUT)
        except (PeerFailed, TimeoutError) as trouble:
            log.warning("a worker elsewhere cannot look", check=name, location=location, because=str(trouble))
        else:
            return
