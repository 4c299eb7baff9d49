"""Fallback: another target is paged when one does not take a page in, or refuses it. Keys `fallback` of `targets:`.

Both pages stay open, and both are closed when the incident is over: a vendor that is late may still ring.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay.config.types import spell
from relay.incident.effects import Effect
from relay.incident.events import (
    Acknowledged,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Delivered,
    Event,
    Paged,
    Undeliverable,
)
from relay.incident.incident import Incident
from relay.incident.plan import Ring


@dataclass(frozen=True, slots=True)
class Fallback:
    """Which target is paged instead, and how long after."""

    target: str
    after: timedelta = timedelta(minutes=1)


REACTS_TO = frozenset({Paged, Delivered, DeadlineMissed, Undeliverable, Acknowledged})


def react(
    incident: Incident, event: Event, fallbacks: Mapping[str, Fallback], now: datetime
) -> Iterator[Event | Effect]:
    """Expect each page to be taken in soon; page the fallback when it is not, and at once when it is refused."""
    match event:
        case Paged(ring) if ring.target in fallbacks:
            yield DeadlineSet(_deadline(ring.key), now + fallbacks[ring.target].after)
        case Delivered(key) if _deadline(key) in incident.deadlines:
            yield DeadlineMet(_deadline(key))
        case DeadlineMissed(name) if name.startswith("fallback/"):
            late = [ring for ring in incident.rings if _deadline(ring.key) == name and ring.target in fallbacks]
            for ring in late:
                fallback = fallbacks[ring.target]
                yield from _instead(incident, ring, fallback, f"has not taken the page for {spell(fallback.after)}")
        case Undeliverable("Page", key, target) if target in fallbacks and not answered(incident, key):
            yield from (DeadlineMet(name) for name in incident.deadlines if name == _deadline(key))
            refused = [ring for ring in incident.refused if ring.key == key]
            for ring in refused:
                yield from _instead(incident, ring, fallbacks[target], "has refused the page")
        case Acknowledged():
            yield from (DeadlineMet(name) for name in incident.deadlines if name.startswith("fallback/"))


def stands_in(incident: Incident, key: str, target: str, covered: Collection[str]) -> bool:
    """Whether somebody is paged instead of a refused page, or is about to be: its fallback, if that has not refused."""
    return target in covered and not any(ring.key.startswith(f"{key}>") for ring in incident.refused)


def is_instead(incident: Incident, key: str) -> bool:
    """Whether a page is a fallback's, that was asked for instead of another."""
    return any(key.startswith(f"{ring.key}>") for ring in (*incident.rings, *incident.refused))


def _instead(incident: Incident, ring: Ring, fallback: Fallback, why: str) -> Iterator[Event]:
    """The same page through the fallback, under a key of its own; once."""
    key = f"{ring.key}>{fallback.target}"
    if not any(other.key == key for other in (*incident.rings, *incident.refused)):
        because = f"{ring.target} {why}: {ring.because}"
        yield Paged(replace(ring, target=fallback.target, key=key, user="", because=because))


def answered(incident: Incident, key: str) -> bool:
    """Whether nobody need hear of a page any more: somebody has answered, and not called further people in since."""
    if incident.phase != "acknowledged" or incident.plan is None or incident.plan.until != "acknowledged":
        return False
    rings = (*incident.rings, *incident.refused)
    return not any(ring.key == key and (ring.round, ring.step) > incident.answered for ring in rings)


def _deadline(key: str) -> str:
    return f"fallback/{key}"
