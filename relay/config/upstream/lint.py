"""All findings of one `alertmanager.yml`, as complaints."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from relay.config.complaints import Complaint, Rejected, load
from relay.config.document import Document
from relay.config.matchers import Matcher, parse_matcher
from relay.config.upstream.finding import Finding
from relay.config.upstream.inhibition import inhibitions
from relay.config.upstream.intervals import intervals
from relay.config.upstream.model import PATH, Alertmanager, split
from relay.config.upstream.receivers import receivers
from relay.config.upstream.routes import routes
from relay.config.upstream.tree import grow
from relay.config.upstream.watchdog import labels_of, watchdogs

WATCHDOG = (parse_matcher('alertname="Watchdog"'),)
_SECRET_KEY = re.compile(
    r"(?i)credentials|authorization|basic_auth|oauth2|password|.*secret|.*token|.*(service|routing|api)_key|.*api_url"
)
"""Keys whose text may be a secret, in its place or where a mapping belongs."""


def lint(document: Document, watchdog: Sequence[Matcher] = WATCHDOG) -> tuple[Complaint, ...]:
    """Find what would lose, delay or hide alerts on their way to Relay, in the order of the file.

    `watchdog` is what Relay's rules take for the Watchdog. Secrets in the file are blotted out of the lines shown.
    """
    try:
        config = load(document, Alertmanager)
    except Rejected as rejected:
        complaints: Sequence[Complaint] = rejected.complaints
    else:
        complaints = [finding.at(document) for finding in _findings(config, watchdog)]
    secrets = sorted(set(_secrets(document.data)), key=len, reverse=True)
    ordered = sorted(complaints, key=lambda one: (one.place.line, one.place.column))
    return tuple(replace(c, line=_blot(c.line, secrets), problem=_blot(c.problem, secrets)) for c in ordered)


def _findings(config: Alertmanager, watchdog: Sequence[Matcher]) -> Iterator[Finding]:
    root = grow(config.route)
    nodes = list(root.walk())
    to_relay, labels = config.to_relay(), labels_of(watchdog)
    names = [interval.name for interval in (*config.time_intervals, *config.mute_time_intervals)]
    yield from receivers(config, {node.receiver for node in nodes})
    yield from routes(root, [receiver.name for receiver in config.receivers], names, to_relay)
    yield from intervals(config, nodes, to_relay)
    yield from inhibitions(config, labels)
    if to_relay:
        yield from watchdogs(root, labels, to_relay)


def _secrets(value: Any, key: str = "") -> Iterator[str]:
    """Every text that is a secret, or may be: by its key, or as a part of an address."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _secrets(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, key)
    elif isinstance(value, str) and _SECRET_KEY.fullmatch(key):
        yield value
    elif isinstance(value, str) and "://" in value:
        yield from _in_address(value)


def _in_address(url: str) -> Iterator[str]:
    address = split(url)
    _, _, tail = address.path.partition(PATH)
    parts = (address.password, address.query, tail.partition("/")[2])
    yield from (part for part in parts if part)


def _blot(line: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        line = line.replace(secret, "*" * len(secret))
    return line
