"""Everything that follows from one event."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relay.config.matchers import Matcher
from relay.incident import escalation, fallback, holding, paging, resolution, severity
from relay.incident.catalog import Catalog
from relay.incident.effects import Effect
from relay.incident.events import Event
from relay.incident.fallback import Fallback
from relay.incident.incident import Incident, apply
from relay.incident.lifecycle import AWAKE
from relay.incident.maintenance import Windows
from relay.incident.oncall import Roster
from relay.incident.policy import Policy
from relay.incident.resolution import Resolution
from relay.incident.routing import Root, Route
from relay.incident.severity import Scale

ENOUGH = 1_000
"""Events that one event may lead to. More is a loop between two concerns, and a bug."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rule files together, as the decisions use them."""

    root: Root
    policies: Mapping[str, Policy]
    routes: tuple[Route, ...] = ()
    scale: Scale = field(default_factory=Scale)
    windows: Windows = field(default_factory=Windows)
    roster: Roster = field(default_factory=Roster)
    fallbacks: Mapping[str, Fallback] = field(default_factory=dict)
    """What stands in for a target that does not take a page in."""
    services: Catalog = field(default_factory=Catalog)
    resolution: Resolution = field(default_factory=Resolution)
    watchdog: tuple[Matcher, ...] = ()
    """Alerts that always fire, to prove that alerting works: they are noted, and never an incident."""
    revision: str = ""
    link_base: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The incident as it now is, what happened to get there, and what to ask of the world."""

    incident: Incident
    happened: tuple[Event, ...]
    effects: tuple[Effect, ...]


def decide(incident: Incident, event: Event, rules: Rules, now: datetime) -> Decision:
    """Follow the event through every concern, and what comes of it, until nothing more comes.

    Pure: the same arguments give the same decision. Raises `NotNow` for an event that cannot happen in its phase.
    """
    pending: deque[Event] = deque([event])
    happened: list[Event] = []
    effects: list[Effect] = []
    while pending:
        event = pending.popleft()
        incident = apply(incident, event, now)
        happened.append(event)
        assert len(happened) <= ENOUGH, f"{type(happened[0]).__name__} never settles: {happened[-3:]}"
        for consequence in _consequences(incident, event, rules, now):
            if isinstance(consequence, Effect):
                effects.append(consequence)
            else:
                pending.append(consequence)
    return Decision(incident, tuple(happened), tuple(effects))


def _consequences(incident: Incident, event: Event, rules: Rules, now: datetime) -> Iterator[Event | Effect]:
    awake, kind = AWAKE[incident.phase], type(event)
    if "severity" in awake and kind in severity.REACTS_TO:
        yield from severity.react(incident, event, rules.scale, now)
    if "holding" in awake and kind in holding.REACTS_TO:
        yield from holding.react(incident, event, rules.windows, rules.scale, rules.fallbacks, now)
    if "escalation" in awake and kind in escalation.REACTS_TO:
        yield from escalation.react(incident, event, rules.roster, rules.fallbacks, rules.windows, now)
    if "fallback" in awake and kind in fallback.REACTS_TO:
        yield from fallback.react(incident, event, rules.fallbacks, now)
    if "paging" in awake and kind in paging.REACTS_TO:
        yield from paging.react(incident, event, rules.link_base, rules.services, rules.windows, now)
    if "resolution" in awake and kind in resolution.REACTS_TO:
        yield from resolution.react(incident, event, rules.resolution, now)
