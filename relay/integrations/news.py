"""What a pager tells of a page that it was given: somebody has answered there, or it was closed there."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import aiohttp

from relay.integrations.fitting import cut, one_line

LONGEST_NAME = 100

What = Literal["acknowledged", "closed", "timed_out"]
"""`closed` by somebody; `timed_out` by the pager itself, which proves nothing."""


@dataclass(frozen=True, slots=True)
class News:
    """News of one page."""

    key: str
    """As the pager knows it: long keys are folded (`relay/integrations/fitting.py`). It may be somebody else's."""
    what: What
    by: str
    """Who, with the pager's name: `Ada Lovelace (PagerDuty)`."""
    group: str = ""
    """The pager's own name of what it has gathered this and other pages into; the news is of all of them."""


def spell_who(name: object, pager: str) -> str:
    """Spell who it was, on one line of printable text, for a timeline that must be able to keep it."""
    text = one_line(name) if isinstance(name, str) else ""
    return f"{cut(text, LONGEST_NAME) or 'somebody'} ({pager})"


@runtime_checkable
class Tells(Protocol):
    """A courier whose pager can be asked what became of a page."""

    async def ask_about(self, key: str, session: aiohttp.ClientSession) -> News | None:
        """Ask about one page; None when there is no news of it. Raises `Again` or `Never`."""
        ...
