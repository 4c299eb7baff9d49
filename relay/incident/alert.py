"""One alert, as a source told of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert of a source. `(source, fingerprint)` is its identity; nothing else is.

    `starts_at` is when it began firing (its condition began at least the rule's `for:` earlier); `ends_at` is None
    while it fires.
    """

    source: str
    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    generator_url: str = ""

    @property
    def key(self) -> "AlertKey":
        """The identity."""
        return self.source, self.fingerprint

    @property
    def firing(self) -> bool:
        """Whether it had not ended when it was told of."""
        return self.ends_at is None

    @property
    def name(self) -> str:
        """The `alertname`, or what comes nearest; Alertmanager guarantees none."""
        return self.labels.get("alertname") or next(iter(self.labels.values()), "") or self.fingerprint


AlertKey = tuple[str, str]

OWN_SOURCE = "relay"
"""The source of alerts that Relay raises itself. Nobody tells of their end: they end when somebody resolves them."""

Firing = tuple[AlertKey, datetime | None]
"""One time that an alert fired: which, and since when."""
