"""Telling the story: a line for each thing that happens, with the seconds since the beginning."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from relay.demo.standins.standin import StandIn

Say = Callable[[str], None]


class Told(Protocol):
    """What the narrator looks at."""

    pagerduty: StandIn
    jsm: StandIn

    def incidents(self) -> Awaitable[list[dict[str, Any]]]:
        """Relay's incidents with their timelines."""
        ...


class Narrator:
    """Tells what is new each time it looks."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._began = time.monotonic()
        self._told: set[tuple[str, int]] = set()
        self._heard: dict[str, int] = {}

    def tell(self, who: str, what: str) -> None:
        """Tell a thing."""
        self._say(f"+{time.monotonic() - self._began:3.0f}s  {who:<9} {what}")

    async def look(self, stage: Told) -> None:
        """Tell what Relay has decided, and what the pagers have heard, since the last look."""
        for incident in await stage.incidents():
            for entry in incident["timeline"]:
                if (incident["id"], entry["seq"]) not in self._told:
                    self._told.add((incident["id"], entry["seq"]))
                    self.tell("relay", f"{incident['id']} {entry['text']}")
        self._listen("pagerduty", stage.pagerduty)
        self._listen("jsm", stage.jsm)

    def _listen(self, name: str, pager: StandIn) -> None:
        entries = list(pager.journal)[self._heard.get(name, 0) :]
        self._heard[name] = len(pager.journal)
        for entry in entries:
            what = _WHAT.get(entry.acceptance, entry.acceptance)
            said = f": {_words(entry.body)}" if entry.acceptance in ("opened", "appended") else ""
            self.tell(name, f"{what} {entry.key}{said}")


_WHAT = {
    "opened": "RINGS",
    "appended": "is told of",
    "acknowledged": "stops ringing",
    "resolved": "closes",
    "queued": "takes in",
}
"""What a stand-in does, by how it took a message."""


def _words(body: Any) -> str:
    payload = body.get("payload") or {}
    return str(payload.get("summary") or body.get("message") or "")
