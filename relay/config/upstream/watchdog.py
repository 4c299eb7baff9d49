"""The Watchdog, Relay's dead man's switch: it must come, often, and nothing may mute it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from relay.config.matchers import Matcher
from relay.config.types import spell
from relay.config.upstream.finding import Finding
from relay.config.upstream.tree import Node

LONGEST_SILENCE = timedelta(minutes=5)
"""A dead man's switch that is heard more seldom finds an outage late."""


def labels_of(watchdog: Sequence[Matcher]) -> dict[str, str]:
    """The labels of a Watchdog that the matchers select; `severity="none"` as in the rules everybody copies."""
    return {"severity": "none", **{matcher.name: matcher.value for matcher in watchdog if matcher.op == "="}}


def watchdogs(root: Node, labels: Mapping[str, str], to_relay: set[str]) -> Iterator[Finding]:
    """Look at the way the Watchdog takes."""
    ends = root.reached_by(labels)
    reaching = [end for end in ends if end.receiver in to_relay]
    if not reaching:
        way = (*ends[0].way, "receiver")
        advice = "add a route for it with Relay's receiver, group_interval: 30s and repeat_interval: 1m"
        yield Finding(way, f'the Watchdog goes to "{ends[0].receiver}", not to Relay', advice, warning=True)
    for end in reaching:
        every = end.repeat_interval + end.group_interval
        if every > LONGEST_SILENCE:
            problem = f"the Watchdog comes only every {spell(end.repeat_interval)} to {spell(every)}"
            advice = "give it a route of its own, with group_interval: 30s and repeat_interval: 1m"
            yield Finding((*end.way, "repeat_interval"), problem, advice, warning=True)
        for name in ("mute_time_intervals", "active_time_intervals"):
            if getattr(end.route, name):
                problem = "the Watchdog is muted at times, and Relay pages that the source is silent"
                yield Finding((*end.way, name), problem, "give it a route without time intervals", key=True)
