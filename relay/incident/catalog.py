"""The service catalogue: who owns a service, how much it matters, and where its runbook is. Section `services:`.

What it says is seen by every matcher, as the labels `service_owner` and `service_tier`, and stands in pages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import AfterValidator, Field

from relay.config.types import Placed
from relay.incident.alert import Alert
from relay.incident.incident import SERVICE_LABELS


def _read_address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("write an address that begins with https:// or http://")
    return text


Address = Annotated[str, AfterValidator(_read_address)]


class Service(Placed):
    """One service."""

    owner: str = Field(default="", max_length=200)
    tier: int | None = Field(default=None, ge=1, le=5)
    """1 matters most."""
    depends_on: tuple[str, ...] = ()
    runbook: Address | None = None
    dashboards: tuple[Address, ...] = ()
    slo: float | None = Field(default=None, gt=0, lt=100)
    """The share of good requests that is promised, in percent."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All services."""

    services: Mapping[str, Service] = field(default_factory=dict)

    def find(self, labels: Mapping[str, str]) -> tuple[str, Service] | None:
        """The service that labels name, by the first of the usual labels that names one."""
        for name in SERVICE_LABELS:
            if (known := self.services.get(labels.get(name, ""))) is not None:
                return labels[name], known
        return None

    def enrich(self, alert: Alert) -> Alert:
        """The alert with what is known of its service, where its own labels do not say it."""
        found = self.find(alert.labels) if self.services else None
        if found is None:
            return alert
        _, service = found
        more = {"service_owner": service.owner, "service_tier": str(service.tier or "")}
        missing = {name: text for name, text in more.items() if text and name not in alert.labels}
        return replace(alert, labels={**alert.labels, **missing})  # its own first: one may have to be its name


def lines(name: str, service: Service) -> Iterator[str]:
    """What a page says of a service."""
    parts = [f"tier {service.tier}"] if service.tier else []
    parts += [f"owned by {service.owner}"] if service.owner else []
    parts += [f"SLO {service.slo:g} %"] if service.slo else []
    parts += [f"depends on {', '.join(service.depends_on)}"] if service.depends_on else []
    if parts:
        yield f"Service: {name}, {', '.join(parts)}"


def links(name: str, service: Service) -> Iterator[tuple[str, str]]:
    """The links of a service, each with its text."""
    if service.runbook:
        yield f"Runbook: {name}", service.runbook
    for number, address in enumerate(service.dashboards, 1):
        yield f"Dashboard: {name}{f' {number}' if number > 1 else ''}", address
