"""Answers of others: no more of them is read than there is room for, whatever they say of their length."""

import aiohttp


class TooLong(Exception):
    """An answer is longer than we read."""


async def read(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """Read an answer of at most so many bytes. Raises `TooLong`, and what aiohttp raises."""
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > most:
            raise TooLong(f"more than {most} bytes")
    return bytes(body)
