"""Time intervals: what never holds, always holds, holds at another time, or mutes the end of an alert."""

import re
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from relay.config.complaints import suggest
from relay.config.document import Route as Way
from relay.config.upstream.finding import Finding
from relay.config.upstream.model import Alertmanager, Interval, Times
from relay.config.upstream.tree import Node

_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_ORDER = {
    "weekdays": {name: i for i, name in enumerate(_DAYS)},
    "months": {name: i + 1 for i, name in enumerate(_MONTHS)} | {str(i): i for i in range(1, 13)},
    "days_of_month": {str(i): i for i in range(-31, 32) if i},
    "years": {str(i): i for i in range(10_000)},
}


def intervals(config: Alertmanager, nodes: Sequence[Node], to_relay: set[str]) -> Iterator[Finding]:
    """Look at every interval, and at the routes that use them."""
    used = {name for n in nodes for name in (*n.route.mute_time_intervals, *n.route.active_time_intervals)}
    seen: set[str] = set()
    for section in ("time_intervals", "mute_time_intervals"):
        for i, named in enumerate(getattr(config, section)):
            way = (section, i)
            if named.name in seen:
                yield Finding((*way, "name"), f'two time intervals are called "{named.name}"', "rename one")
            elif named.name not in used:
                yield Finding((*way, "name"), "no route uses this time interval", "name it in a route", warning=True)
            seen.add(named.name)
            yield from _alternatives(way, named.time_intervals)
            for j, interval in enumerate(named.time_intervals):
                yield from _interval((*way, "time_intervals", j), interval)
    if config.mute_time_intervals:
        advice = "write time_intervals"
        yield Finding(("mute_time_intervals",), "this section is deprecated", advice, warning=True, key=True)
    for node in nodes:
        yield from _use(node, node.receiver in to_relay)


def _alternatives(way: Way, listed: Sequence[Interval]) -> Iterator[Finding]:
    if not listed:
        yield Finding((*way, "name"), "it has no intervals, so it never holds", "list time_intervals in it")
    names = [interval.names for interval in listed]
    for i, fields in enumerate(names):
        others = [other for other in names[:i] if other and not other & fields]
        if fields and others:
            problem = "items of this list are alternatives: one that holds is enough"
            advice = f"for both {_words(others[0])} and {_words(fields)} put them into one item, without a second dash"
            yield Finding((*way, "time_intervals", i), problem, advice, warning=True)


def _words(fields: set[str]) -> str:
    return ", ".join(sorted(fields))


def _interval(way: Way, interval: Interval) -> Iterator[Finding]:
    if not interval.names:
        yield Finding(way, "it names no times, days, months or years, so it always holds", "say when")
    for i, times in enumerate(interval.times):
        yield from _times((*way, "times", i), times)
    for field, order in _ORDER.items():
        for i, text in enumerate(getattr(interval, field)):
            yield from _range((*way, field, i), text, order)
    if interval.location is None:
        if interval.names & {"times", "weekdays", "days_of_month"}:
            problem = "without a location these are times of UTC"
            yield Finding(way, problem, "add location: Europe/Berlin, or 'UTC' to say so", warning=True)
    elif interval.location != "Local" and not _is_zone(interval.location):
        advice = "write a zone of the IANA database, such as Europe/Berlin"
        yield Finding((*way, "location"), f'there is no time zone "{interval.location}"', advice)


def _times(way: Way, times: Times) -> Iterator[Finding]:
    for name in ("start_time", "end_time"):
        text = getattr(times, name)
        if not _TIME.fullmatch(text):
            problem = f'"{text}" is no time of day' if text else f'"{name}" is missing'
            yield Finding((*way, name), problem, "write hours and minutes with two digits, such as 09:00")
            return
    if times.end_time <= times.start_time:
        midnight = times.end_time == "00:00"
        advice = (
            "for the end of the day write 24:00"
            if midnight
            else f"nothing crosses midnight: write {times.start_time} to 24:00 and, as a second one, 00:00 to "
            f"{times.end_time}"
        )
        yield Finding((*way, "end_time"), "the end is not later than the start", advice)


def _range(way: Way, text: str, order: dict[str, int]) -> Iterator[Finding]:
    first, colon, last = text.lower().partition(":")
    ends = [first.strip(), last.strip()] if colon else [first.strip()]
    words = [name for name in order if name.isalpha()]
    if wrong := next((end for end in ends if end not in order), None):
        advice = suggest(wrong, words) if words else "write a number, or a range such as 1:5"
        yield Finding(way, f'"{wrong}" cannot be used here', advice)
        return
    start, end = order[ends[0]], order[ends[-1]]
    if start > end >= 0 or end < start < 0 or start < 0 < end:
        two = f"write {ends[0]}:{words[-1]} and {words[0]}:{ends[1]}" if words else "the first may not be the later one"
        yield Finding(way, "a range does not go round", two)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except Exception:  # zoneinfo answers an unknown or malformed name with five kinds of errors
        return False
    return True


def _use(node: Node, to_relay: bool) -> Iterator[Finding]:
    mute, active = node.route.mute_time_intervals, node.route.active_time_intervals
    for i, name in enumerate(mute):
        if name in active:
            problem = f'"{name}" mutes just when the route is active: nothing is ever sent'
            yield Finding((*node.way, "mute_time_intervals", i), problem, "name it once")
    if to_relay and (mute or active):
        problem = "an alert that ends while it is muted is never told as resolved"
        way = (*node.way, "mute_time_intervals" if mute else "active_time_intervals")
        yield Finding(way, problem, "let Relay hold it instead: windows in its rules", warning=True, key=True)
