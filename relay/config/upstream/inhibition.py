"""Inhibition rules: what they mute that nobody meant, the Watchdog above all."""

from collections.abc import Iterator, Mapping

from relay.config.document import Route as Way
from relay.config.upstream.finding import Finding
from relay.config.upstream.model import Alertmanager, Inhibition
from relay.config.upstream.selection import Selection, read_selection


def inhibitions(config: Alertmanager, watchdog: Mapping[str, str]) -> Iterator[Finding]:
    """Look at every rule; `watchdog` are the Watchdog's labels."""
    for i, rule in enumerate(config.inhibit_rules):
        way = ("inhibit_rules", i)
        yield from _deprecated(way, rule)
        source = read_selection(rule.source_matchers, rule.source_match, rule.source_match_re)
        target = read_selection(rule.target_matchers, rule.target_match, rule.target_match_re)
        yield from _reach(way, rule, source, target, watchdog)


def _deprecated(way: Way, rule: Inhibition) -> Iterator[Finding]:
    for side in ("source", "target"):
        for name in (f"{side}_match", f"{side}_match_re"):
            if getattr(rule, name):
                advice = f"write {side}_matchers"
                yield Finding((*way, name), f'"{name}" is deprecated', advice, warning=True, key=True)


def _reach(
    way: Way, rule: Inhibition, source: Selection, target: Selection, watchdog: Mapping[str, str]
) -> Iterator[Finding]:
    mutes_watchdog = target.selects(watchdog) and not source.selects(watchdog)
    if not source.matchers and not source.unread:
        yield Finding(way, "any alert at all is a source of this rule", "add source_matchers")
    elif source.selects(watchdog) and not target.selects(watchdog):
        problem = "the Watchdog always fires, so this rule always inhibits"
        yield Finding((*way, "source_matchers"), problem, "narrow source_matchers")
    if mutes_watchdog and not rule.equal:
        problem = "this mutes the Watchdog too, and Relay pages that the source is silent"
        yield Finding((*way, "target_matchers"), problem, 'add a target matcher, such as alertname!="Watchdog"')
    elif not rule.equal:
        problem = 'without "equal" one alert anywhere mutes all targets everywhere'
        yield Finding(way, problem, "add equal: [cluster, service]", warning=True)
