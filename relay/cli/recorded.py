"""Asking the running Relay for the incidents of a span of time."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.cli.remote import Remote
from relay.config.matchers import Matcher, all_match
from relay.reports.backtest import Grid, Recorded

PAGE = 500
LONGEST = timedelta(days=7)
"""How much earlier than the grid an incident is looked for that has ended since."""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def incidents(remote: Remote, grid: Grid, matchers: Sequence[Matcher]) -> tuple[list[Recorded], list[Recorded]]:
    """Give the incidents that somebody was paged for, and that meet all matchers, in their order.

    First those that began while the grid lasts, then those that went on then and had begun before. The matchers are
    held against an incident's group labels and its service.
    """
    ends = grid.at(grid.points)
    rows = [*_opened_since(remote, grid.start - LONGEST), *_opened_since(remote, _EVER, "open")]
    found = {
        row["id"]: _recorded(row)
        for row in rows
        if row["triggered_at"] and all_match(matchers, {"service": row["service"], **row["group"]})
    }
    every = sorted((one for one in found.values() if one.started <= ends), key=lambda one: one.started)
    earlier = [one for one in every if one.started < grid.start and (one.ended is None or one.ended >= grid.start)]
    return [one for one in every if one.started >= grid.start], earlier


def _opened_since(remote: Remote, start: datetime, phase: str = "all") -> Iterator[dict[str, Any]]:
    before = None
    while True:
        answer = remote.get("/api/v1/incidents", phase=phase, limit=PAGE, before=before)
        for row in answer["incidents"]:
            if row["opened_at"] and datetime.fromisoformat(row["opened_at"]) < start:
                return
            yield row
        before = answer["next"]
        if before is None:
            return


def _recorded(row: dict[str, Any]) -> Recorded:
    over = row["phase"] in ("resolved", "closed") and row["resolved_at"]
    started = datetime.fromisoformat(row["started_at"] or row["opened_at"])
    return Recorded(row["id"], row["title"], started, datetime.fromisoformat(over) if over else None)
