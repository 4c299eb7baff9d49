"""One request and its answer: the little HTTP that every courier needs, and what can go wrong with it in words.

Redirects are not followed, answers are read up to a limit, everything has a time limit, and no message holds a URL,
a header or a secret.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import aiohttp
from pydantic_core import to_json
from yarl import URL

from relay.clock import Clock, WallClock
from relay.integrations.courier import Again, Never
from relay.integrations.fitting import cut, one_line
from relay.integrations.wait_hint import wait_hint

TIMEOUT = 10.0
"""Seconds for a request and its whole answer."""
CONNECT_TIMEOUT = 5.0
"""Seconds of them to look the name up and connect."""
MOST_BYTES = 64 * 1024
"""Bytes of an answer that are read."""
SHORTEST_SECRET = 6
"""Characters of a part of an address that may be a secret; a shorter one, such as "hooks", is a word."""
LONGEST_WORDS = 300
"""Characters of a vendor's own words that a message quotes."""

_NOT_NOW = (408, 429)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers, and at most `MOST_BYTES` of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True
    """Whether the body is all that was sent."""

    def told(self) -> dict[str, Any]:
        """The JSON object in the body; empty if there is none."""
        try:
            told = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}


def encode(body: Mapping[str, Any]) -> bytes:
    """Write a body as the JSON that is sent; a lone surrogate, which no vendor takes, becomes "?"."""
    try:
        return to_json(body, inf_nan_mode="constants")
    except ValueError:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def secrets_in(address: str) -> tuple[str, ...]:
    """Give what a vendor may quote of an address that is a secret: it, its path and query, and their longer parts."""
    try:
        url = URL(address)
    except ValueError:
        return (address,)
    parts = [*url.raw_parts, *url.query.values(), url.user or "", url.password or ""]
    long_parts = [part for part in (*parts, *map(unquote, parts)) if len(part) >= SHORTEST_SECRET]
    return (address, url.raw_path_qs, url.path_qs, *long_parts)


class Exchange:
    """Talks to one vendor. `name` is what messages call it; a secret, or several, are kept out of them."""

    def __init__(
        self, name: str, secret: str | Sequence[str] = (), timeout: float = TIMEOUT, clock: Clock | None = None
    ) -> None:
        self.name = name
        secrets = (secret,) if isinstance(secret, str) else secret
        self._secrets = sorted({one for one in secrets if len(one) > 1}, key=len, reverse=True)
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_TIMEOUT, timeout / 2))
        self._clock = clock or WallClock()

    async def send(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        *,
        body: Mapping[str, Any] | bytes | None = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MOST_BYTES,
    ) -> Answer:
        """Send a JSON `body`, perhaps encoded already, or a `form`.

        Gives whatever is answered except a redirect, at most `most` bytes of it. `url` is percent-encoded already.
        Raises `Again` without an answer, `Never` for a redirect.
        """
        data = form if body is None else body if isinstance(body, bytes) else encode(body)
        headers = dict(headers or {}) | ({} if body is None else {"Content-Type": "application/json"})
        try:
            async with session.request(
                method,
                URL(url, encoded=True),
                data=data,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                answer = await _read(response, most)
        except aiohttp.ConnectionTimeoutError:
            raise Again(f"{self.name} cannot be connected to within {self._timeout.sock_connect:g} s") from None
        except TimeoutError:
            raise Again(f"{self.name} did not answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Again(f"{self.name}: {_trouble(error)}") from None
        if 300 <= answer.status < 400:
            raise Never(
                f"{self.name} sends Relay elsewhere (HTTP {answer.status}), which is not followed, since it would show "
                "the secret to another host: check the address"
            )
        return answer

    def refusal(self, answer: Answer) -> Again | Never:
        """Give what to raise for an answer that is not what was hoped for.

        `Never` for 4xx but 408 and 429; `Again`, with the vendor's wait hint, for all else: what is not understood
        is no success.
        """
        if 400 <= answer.status < 500 and answer.status not in _NOT_NOW:
            return Never(f"{self.name} refused it (HTTP {answer.status}){self._words(answer)}")
        if answer.status < 400:
            return Again(
                f"{self.name} answered HTTP {answer.status}, but not as its API does: is there a proxy or a login page "
                "in between?"
            )
        hint = wait_hint(answer.status, answer.headers, self._clock.now())
        what = "asks to wait" if answer.status == 429 else "failed at it"
        return Again(f"{self.name} {what} (HTTP {answer.status}){self._words(answer)}", hint)

    def _words(self, answer: Answer) -> str:
        """The vendor's own words, from the fields in which JSON APIs give them: short, on one line, no secret."""
        told = answer.told()
        said = [told.get("message"), told.get("error"), *_listed(told.get("errors"))]
        words = "; ".join(text for text in said if isinstance(text, str) and text)
        for secret in self._secrets:
            words = words.replace(secret, "[secret]")
        words = cut(one_line(words), LONGEST_WORDS)
        return f": {words}" if words else ""


async def _read(response: aiohttp.ClientResponse, most: int) -> Answer:
    body = bytearray()
    while len(body) <= most:
        chunk = await response.content.read(most + 1 - len(body))
        if not chunk:
            return Answer(response.status, response.headers, bytes(body))
        body += chunk
    response.close()  # what is left unread must not be taken for the next answer
    return Answer(response.status, response.headers, bytes(body[:most]), whole=False)


def _listed(errors: Any) -> list[Any]:
    return list(errors.values()) if isinstance(errors, dict) else errors if isinstance(errors, list) else []


def _trouble(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "the name of its host cannot be resolved"
        case aiohttp.ClientSSLError():
            return "no trusted TLS connection can be made to it"
        case aiohttp.ClientConnectorError():
            return f"cannot connect to it ({error.os_error.strerror or type(error.os_error).__name__})"
        case aiohttp.ClientResponseError():
            return "what it answered is not HTTP"
        case aiohttp.ClientPayloadError():
            return "the connection broke amid its answer"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            return "the connection broke before it answered"
        case _:
            return f"the request failed ({type(error).__name__})"
