"""The ledger: what was accepted, what reached the pager, and what the service knows, each from a log of its own.

Lost and doubled are differences of sets, and nobody's word.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arrival:
    """A message that reached the pager."""

    at: float
    action: str
    key: str
    ids: frozenset[str]
    severity: str = ""
    """As PagerDuty is told."""


@dataclass(frozen=True)
class Verdict:
    lost: set[str]
    """Accepted, and not known afterwards."""
    unpaged: set[str]
    """Accepted, and in no page and in no incident that was paged."""
    doubled: set[str]
    """Incidents that rang twice: under two keys, or again after they were closed."""
    repeats: int
    """Triggers of a page that was open: the provider folds them."""

    @property
    def right(self) -> bool:
        return not (self.lost or self.unpaged or self.doubled)


def read_accepted(log: Path) -> dict[str, float]:
    """Ids that were answered 200, and when."""
    accepted = {}
    for line in log.read_text().splitlines():
        first, last, when = line.split()
        for number in range(int(first), int(last) + 1):
            accepted[f"bx-{number:09d}"] = float(when)
    return accepted


def read_arrivals(log: Path) -> list[Arrival]:
    arrivals = []
    for line in log.read_text().splitlines():
        when, action, key, severity, ids = line.split("\t")
        arrivals.append(Arrival(float(when), action, key, frozenset(ids.split(",")) - {""}, severity))
    return arrivals


def judge(accepted: set[str], arrivals: list[Arrival], incident_of: dict[str, str]) -> Verdict:
    """Hold the logs against each other. `incident_of`: each id that the service knows, and its incident.

    A page's key begins with its incident: an id counts as paged when its incident has rung.
    """
    opened: Counter[str] = Counter()
    open_keys: set[str] = set()
    repeats = 0
    for arrival in arrivals:
        if arrival.action == "trigger" and arrival.key in open_keys:
            repeats += 1
        elif arrival.action == "trigger":
            open_keys.add(arrival.key)
            opened[arrival.key.partition("/")[0]] += 1
        elif arrival.action == "resolve":
            open_keys.discard(arrival.key)
    known = incident_of.keys()
    unpaged = {id_ for id_ in accepted & known if not opened[incident_of[id_]]}
    return Verdict(accepted - known, unpaged, {incident for incident, times in opened.items() if times > 1}, repeats)


def delays(accepted: dict[str, float], arrivals: list[Arrival]) -> list[float]:
    """Seconds from the answer to a webhook until its page reached the pager, in order; may be negative."""
    first: dict[str, float] = {}
    for arrival in arrivals:
        for id_ in arrival.ids:
            first.setdefault(id_, arrival.at)
    return sorted(first[id_] - when for id_, when in accepted.items() if id_ in first)
