"""Asking the running Relay for the incidents of a span of time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from relay.cli.remote import Remote
from relay.config.matchers import Matcher, all_match
from relay.reports.backtest import Grid, Recorded

PAGE = 500


def incidents(remote: Remote, grid: Grid, matchers: Sequence[Matcher]) -> list[Recorded]:
    """Give the incidents that began while the grid lasts, that somebody was paged for, and that meet all matchers.

    The matchers are held against an incident's group labels and its service. The oldest comes first.
    """
    found = [
        _recorded(row)
        for row in _opened_since(remote, grid.start)
        if row["triggered_at"] and all_match(matchers, {"service": row["service"], **row["group"]})
    ]
    return [one for one in reversed(found) if grid.start <= one.started <= grid.at(grid.points)]


def _opened_since(remote: Remote, start: datetime) -> Iterator[dict[str, Any]]:
    before = None
    while True:
        answer = remote.get("/api/v1/incidents", phase="all", limit=PAGE, before=before)
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
