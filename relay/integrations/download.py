"""Fetching a text that a rule names by its address."""

import asyncio

import aiohttp

from relay.integrations.courier import Again, Never

TIMEOUT = 10.0
"""Seconds for the whole answer."""
MOST_BYTES = 4 * 1024 * 1024
MOST_REDIRECTS = 3


async def download(url: str, session: aiohttp.ClientSession) -> str:
    """Get a text over HTTP. Raises `Again` for what may pass, `Never` otherwise; neither names the address."""
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            session.get(url, max_redirects=MOST_REDIRECTS, headers={"Accept": "text/calendar, */*;q=0.1"}) as answer,
        ):
            if answer.status != 200:
                refusal = Again if answer.status >= 500 or answer.status in (408, 429) else Never
                raise refusal(f"the address answers {answer.status}")
            body = await answer.content.read(MOST_BYTES + 1)
            while len(body) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES + 1 - len(body))):
                body += more
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Again(f"the address cannot be read ({type(error).__name__})") from None
    if len(body) > MOST_BYTES:
        raise Never(f"the answer is larger than {MOST_BYTES // 1024 // 1024} MiB")
    return body.decode("utf-8", "replace")
