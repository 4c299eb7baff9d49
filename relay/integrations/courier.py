"""What every integration is asked to do, and how it answers.

A courier translates one effect into a vendor's wire contract and tells the outcome. It does not wait, loop, log
or count: the engine owns retry, back-off, rate and fallback.
"""

from datetime import timedelta
from typing import Protocol

import aiohttp

from relay.incident.effects import Effect
from relay.incident.events import Delivered, Measured


class Again(Exception):
    """No answer, or "not now": worth trying again, `after` the vendor's own hint where it gave one.

    The message must hold no secret: it goes to logs, metrics and the incident's page.
    """

    def __init__(self, because: str, after: timedelta | None = None) -> None:
        super().__init__(because)
        self.after = after


class Never(Exception):
    """The other side understood, and will not: trying again cannot help. No secret in the message."""


class Courier(Protocol):
    """Carries out effects for one target."""

    async def carry_out(self, effect: Effect, session: aiohttp.ClientSession) -> Delivered | Measured | None:
        """Do it; give the event that tells of it, if it is worth telling. Raises `Again` or `Never`.

        May be called again for the same effect after a crash: effects carry the key by which the vendor folds repeats.
        """
        ...
