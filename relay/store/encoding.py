"""Values to JSON text and back."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from relay.incident.effects import Effect
from relay.incident.events import Event, NoteAdded
from relay.incident.incident import Incident

_INCIDENT = TypeAdapter(Incident)
_EVENTS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Event)}
_EFFECTS: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in get_args(Effect)}
KINDS = _EFFECTS.keys()
"""Effects that this Relay can carry out; a newer one may know others."""


def write_incident(incident: Incident) -> str:
    """The state, without the alerts: they have rows of their own."""
    return _INCIDENT.serializer.to_json(incident, exclude={"alerts"}).decode()


def read_incident(state: str) -> Incident:
    """The incident of a state, without alerts."""
    return _INCIDENT.validate_json(state)


def write_event(event: Event) -> str:
    """An event's fields."""
    return _EVENTS[type(event).__name__].serializer.to_json(event).decode()


def read_event(kind: str, body: str) -> Event:
    """The event of a kind, from its fields; a note where only a newer Relay, which runs beside this one, knows it."""
    if kind not in _EVENTS:
        return NoteAdded("a newer Relay", kind)
    event: Event = _EVENTS[kind].validate_json(body)
    return event


def write_effect(effect: Effect) -> str:
    """An effect's fields."""
    return _EFFECTS[type(effect).__name__].serializer.to_json(effect).decode()


def read_effect(kind: str, body: str) -> Effect:
    """The effect of a kind that is known, from its fields."""
    effect: Effect = _EFFECTS[kind].validate_json(body)
    return effect


def write_texts(texts: Mapping[str, str]) -> str:
    """Labels or annotations."""
    return to_json(texts).decode()


def read_texts(texts: str) -> dict[str, str]:
    """Labels or annotations."""
    return dict(from_json(texts))
