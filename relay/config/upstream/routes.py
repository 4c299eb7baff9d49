"""Routes: what never arrives, arrives late, or would be sent by another one."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from relay.config.complaints import suggest
from relay.config.types import spell
from relay.config.upstream.finding import Finding
from relay.config.upstream.selection import contradiction, covers
from relay.config.upstream.tree import Node

LONGEST_WAIT = timedelta(minutes=5)
LONGEST_INTERVAL = timedelta(minutes=30)
LONGEST_REPEAT = timedelta(days=1)


def routes(root: Node, receivers: Iterable[str], intervals: Iterable[str], to_relay: set[str]) -> Iterator[Finding]:
    """Look at every route. `to_relay` are the receivers that post to Relay."""
    yield from _root(root)
    for node in root.walk():
        yield from _names(node, set(receivers), set(intervals))
        yield from _matchers(node)
        yield from _unreached(node)
        yield from _grouping(node, node.receiver in to_relay)
        yield from _timing(node, node.receiver in to_relay)


def _root(root: Node) -> Iterator[Finding]:
    if not root.receiver:
        yield Finding(root.way, "the root route has no receiver", 'add "receiver: ..."', key=True)
    for name in ("matchers", "match", "match_re", "mute_time_intervals", "active_time_intervals"):
        if getattr(root.route, name):
            problem = f'the root route takes every alert at all times and may not have "{name}"'
            yield Finding((*root.way, name), problem, "move it to a route below", key=True)


def _names(node: Node, receivers: set[str], intervals: set[str]) -> Iterator[Finding]:
    name = node.route.receiver
    if name and name not in receivers:
        yield Finding((*node.way, "receiver"), f'there is no receiver "{name}"', suggest(name, receivers))
    for key in ("mute_time_intervals", "active_time_intervals"):
        for i, interval in enumerate(getattr(node.route, key)):
            if interval not in intervals:
                problem = f'there is no time interval "{interval}"'
                yield Finding((*node.way, key, i), problem, suggest(interval, intervals))


def _matchers(node: Node) -> Iterator[Finding]:
    for name in ("match", "match_re"):
        if getattr(node.route, name):
            operator = "=" if name == "match" else "=~"
            advice = f"write matchers: ['name{operator}\"value\"']"
            yield Finding((*node.way, name), f'"{name}" is deprecated', advice, warning=True, key=True)
    for index, problem in node.own.unread:
        way = (*node.way, "matchers", index) if index >= 0 else (*node.way, "match_re")
        yield Finding(way, "only Alertmanager's older parser may understand this", problem, warning=True)


def _unreached(node: Node) -> Iterator[Finding]:
    if contradiction(node.matchers):  # told of already, with its own place
        return
    for i, child in enumerate(node.children):
        if pair := contradiction(child.matchers):
            advice = f"no alert has both {pair[0]} and {pair[1]}"
            yield Finding(child.way, "this route is never reached", advice)
            continue
        earlier = next((e for e in node.children[:i] if _takes_all(e, child)), None)
        if earlier:
            first = ", ".join(map(str, earlier.own.matchers)) or "no matchers, so everything"
            advice = f"an earlier one ({first}) takes all of it: put this one first, or add continue: true there"
            yield Finding(child.way, "this route is never reached", advice)


def _takes_all(earlier: Node, later: Node) -> bool:
    return not (earlier.route.goes_on or earlier.own.unread) and covers(earlier.own.matchers, later.matchers)


def _grouping(node: Node, to_relay: bool) -> Iterator[Finding]:
    by, way = node.route.group_by, (*node.way, "group_by")
    if by is None:
        return
    if "..." in by and len(by) > 1:
        yield Finding(way, "... stands for all labels and cannot be beside others", "keep one of both")
    elif "..." in by and to_relay:
        problem = "every alert is a group and a request of its own: a storm is thousands of connections at once"
        yield Finding(way, problem, "group by [alertname, cluster, service]: Relay groups anew", warning=True)
    if len(set(by)) < len(by):
        yield Finding(way, "a label is listed twice", "Alertmanager refuses it: list it once")
    if not by and len(node.way) > 1:
        problem = "[] in a child meant what the parent says up to Alertmanager 0.30, and one single group from 0.31"
        yield Finding(way, problem, "leave it out, or list labels", warning=True)


def _timing(node: Node, to_relay: bool) -> Iterator[Finding]:
    for name in ("group_interval", "repeat_interval"):
        if getattr(node.route, name) == timedelta():
            yield Finding((*node.way, name), "Alertmanager refuses 0", "write 5m" if name[0] == "g" else "write 4h")
            return
    if node.route.repeat_interval is not None or node.route.group_interval is not None:
        yield from _repeating(node)
    if not to_relay:
        return
    for name, longest, harm in (
        ("group_wait", LONGEST_WAIT, "the first page waits as long"),
        ("group_interval", LONGEST_INTERVAL, "what is added to a group, and its end, wait as long"),
        ("repeat_interval", LONGEST_REPEAT, "what got lost is told again only then"),
    ):
        span = getattr(node.route, name)
        if span is not None and span > longest:
            advice = f"write at most {spell(longest)}"
            yield Finding((*node.way, name), f"{spell(span)} is long: {harm}", advice, warning=True)


def _repeating(node: Node) -> Iterator[Finding]:
    repeat, interval = node.repeat_interval, node.group_interval
    way = (*node.way, "repeat_interval" if node.route.repeat_interval is not None else "group_interval")
    if repeat < interval:
        problem = f"repeat_interval {spell(repeat)} is shorter than group_interval {spell(interval)}"
        yield Finding(way, problem, "it repeats at group_interval's ticks, no oftener", warning=True)
    elif repeat % interval:
        problem = f"repeat_interval {spell(repeat)} is not a multiple of group_interval {spell(interval)}"
        real = interval * (repeat // interval + 1)
        yield Finding(way, problem, f"it repeats at the tick behind it, every {spell(real)}", warning=True)
