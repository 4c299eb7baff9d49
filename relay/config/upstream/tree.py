"""The tree of routes with what each inherits, and where an alert goes in it.

Contract: Alertmanager's dispatch: depth first, the first child that matches unless it says `continue`; a route is the
end of the way if no child matches. All is inherited but the time intervals.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from relay.config.document import Route as Way
from relay.config.matchers import Matcher
from relay.config.upstream.model import Route
from relay.config.upstream.selection import Selection, read_selection


@dataclass(frozen=True, slots=True)
class Node:
    """A route with what is in force in it. `above` are the matchers of the routes it stands in."""

    way: Way
    route: Route
    own: Selection
    above: tuple[Matcher, ...] = ()
    receiver: str = ""
    group_wait: timedelta = timedelta(seconds=30)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta = timedelta(hours=4)
    children: tuple["Node", ...] = ()

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """All that an alert has met when it is here."""
        return (*self.above, *self.own.matchers)

    def walk(self) -> Iterator["Node"]:
        """This one and all below."""
        yield self
        for child in self.children:
            yield from child.walk()

    def reached_by(self, labels: Mapping[str, str]) -> list["Node"]:
        """Where an alert with these labels is sent from."""
        ends: list[Node] = []
        for child in self.children:
            if child.own.selects(labels):
                ends += child.reached_by(labels)
                if not child.route.goes_on:
                    break
        return ends or [self]


def grow(route: Route, way: Way = ("route",), parent: Node | None = None) -> Node:
    """Make the tree of a route and those below."""
    defaults = parent or Node((), route, Selection())
    inherited = {
        name: getattr(defaults, name) if getattr(route, name) is None else getattr(route, name)
        for name in ("receiver", "group_wait", "group_interval", "repeat_interval")
    }
    own = read_selection(route.matchers, route.match, route.match_re)
    node = Node(way, route, own, parent.matchers if parent else (), **inherited)
    children = tuple(grow(child, (*way, "routes", i), node) for i, child in enumerate(route.routes))
    return Node(way, route, own, node.above, **inherited, children=children)
