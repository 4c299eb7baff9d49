"""Routing: which escalation policy an alert belongs to, and which alerts are one incident.

Sections `route:` (the root, which catches everything) and `routes:` (more children of the root, so that each team
can keep its own in its own file).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from relay.config.matchers import all_match
from relay.config.types import Duration, OneMatcher, Placed, at_most

MOST_HOLD = timedelta(hours=1)
"""How long a route may let an incident wait. For more there are maintenance windows."""
MOST_KEY = 400
"""Characters of a group key kept readable; a longer one is shortened to its hash."""


class Route(Placed):
    """A branch: alerts that meet all `matchers` go down it. What it does not say, it takes from above."""

    name: str = ""
    mode: Literal["enforce", "shadow"] = "enforce"
    """A shadow is never taken: incidents say where it would have led."""
    matchers: tuple[OneMatcher, ...] = Field(min_length=1)
    policy: str | None = None
    group_by: tuple[str, ...] | None = Field(default=None, min_length=1)
    hold_for: Annotated[Duration, at_most(MOST_HOLD)] | None = None
    routes: tuple["Route", ...] = ()


class Root(Placed):
    """The `route:` section: where an alert goes that no branch wants."""

    policy: str
    group_by: tuple[str, ...] = Field(min_length=1)
    """Labels that alerts of one incident share; `...` stands for all labels (an incident for each alert)."""
    hold_for: Annotated[Duration, at_most(MOST_HOLD)] = timedelta()
    """How long an incident waits before anybody is paged: what ends by then pages nobody."""
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an alert goes, and the branches that led there, outermost first."""

    policy: str
    group_by: tuple[str, ...]
    path: tuple[Root | Route, ...]
    hold_for: timedelta = timedelta()
    would: str = ""
    """The branch in shadow that would have been taken instead."""

    @property
    def because(self) -> str:
        """The last branch in words: name, and file and line."""
        last = self.path[-1]
        if isinstance(last, Root):
            return f"the root route ({last.place}), as no branch wants it"
        return f"route {last.name or ', '.join(map(str, last.matchers))} ({last.place})"


def choose(root: Root, more: tuple[Route, ...], labels: Mapping[str, str]) -> Destination:
    """Follow the tree: depth first, the first branch that matches; the root takes what no branch wants."""
    path: tuple[Root | Route, ...] = (root,)
    policy, group_by, hold_for = root.policy, root.group_by, root.hold_for
    branches = (*root.routes, *more)
    would = ""
    while taken := next((b for b in branches if b.mode == "enforce" and all_match(b.matchers, labels)), None):
        would = would or _would(branches, taken, labels)
        path = (*path, taken)
        policy, group_by = taken.policy or policy, taken.group_by or group_by
        hold_for = hold_for if taken.hold_for is None else taken.hold_for
        branches = taken.routes
    return Destination(policy, group_by, path, hold_for, would or _would(branches, None, labels))


def _would(branches: tuple[Route, ...], taken: Route | None, labels: Mapping[str, str]) -> str:
    """The branch in shadow that would have been taken before the one that is."""
    for branch in branches:
        if branch is taken:
            return ""
        if branch.mode == "shadow" and all_match(branch.matchers, labels):
            return f"route {branch.name or ', '.join(map(str, branch.matchers))} ({branch.place})"
    return ""


def group(destination: Destination, labels: Mapping[str, str]) -> dict[str, str]:
    """Give the labels that the alert shares with all others of its incident. Labels it lacks are left out."""
    if "..." in destination.group_by:
        return dict(sorted(labels.items()))
    return {name: labels[name] for name in destination.group_by if name in labels}


def group_key(policy: str, labels: Mapping[str, str]) -> str:
    """Name the group: equal for alerts that belong to one incident. It survives edits of the routes."""
    key = policy + "{" + ",".join(f"{name}={value!r}" for name, value in sorted(labels.items())) + "}"
    if len(key) <= MOST_KEY:
        return key
    return policy[:100] + "#" + hashlib.sha256(key.encode()).hexdigest()


def branches(root: Root, more: tuple[Route, ...]) -> Iterator[Root | Route]:
    """Every branch of the tree, parents first."""
    waiting: list[Root | Route] = [root, *more]
    while waiting:
        branch = waiting.pop(0)
        yield branch
        waiting = [*branch.routes, *waiting]
