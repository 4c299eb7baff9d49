"""What a page says: what is broken, since when, why this severity, why you, what happens next, and links."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from relay.config.types import spell
from relay.incident import catalog
from relay.incident.alert import Alert
from relay.incident.catalog import Catalog, Service
from relay.incident.effects import Notice
from relay.incident.incident import Incident
from relay.incident.plan import Plan, Ring
from relay.incident.severity import spell_level

MOST_ALERTS = 10
"""Alerts that a page names; the rest are counted."""


def notice(incident: Incident, ring: Ring, link_base: str, services: Catalog, now: datetime) -> Notice:
    """Compose the page for one recipient. `link_base` is Relay's own address, or empty."""
    common = incident.common_labels()
    service = services.find({**common, **incident.group})
    started = incident.started_at or incident.opened_at or now
    telling = _telling(incident)
    alerts = tuple(_one(alert) for alert in telling)
    name = incident.service_of(common)
    return Notice(
        incident=incident.id,
        title=title(incident, name, now),
        text="\n".join(_lines(incident, alerts, ring, started, service, now)),
        severity=incident.severity or 3,
        service=name,
        started_at=started,
        alerts=alerts,
        firing=len(incident.alerts),
        labels=common,
        links={**_links(incident, telling, link_base), **dict(catalog.links(*service) if service else ())},
    )


def title(incident: Incident, service: str, now: datetime) -> str:
    """One line for a small screen: severity, what is broken, how much, since when."""
    names = list(dict.fromkeys(map(_in_a_line, {alert.name: None for alert in incident.alerts.values()})))
    what = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    service = _in_a_line(service)
    broken = what if service == what else f"{service}: {what or 'no alert fires'}"
    since = incident.started_at or incident.opened_at or now
    return f"{spell_level(incident.severity)} {broken} ({count(len(incident.alerts))}, since {_clock(since, now)})"


def count(alerts: int) -> str:
    """Say how many alerts fire."""
    return "1 alert fires" if alerts == 1 else f"{alerts} alerts fire"


def next_step(plan: Plan, ring: Ring) -> str:
    """Say what happens when nobody answers this page."""
    until = "somebody acknowledges" if plan.until == "acknowledged" else "it is resolved"
    if ring.step >= len(plan.levels):
        return f"this page is repeated every {spell(plan.last_resort_every)} until {until}"
    wait = spell(plan.levels[ring.step].wait)
    if ring.step + 1 < len(plan.levels):
        level = plan.levels[ring.step + 1]
        whom = ", ".join(f"{r.kind} {r.name}" for r in level.page)
        return f"in {wait} {level.name} ({whom}) is paged too, unless {until}"
    if ring.round < plan.repeat:
        return f"in {wait} {plan.levels[0].name} is paged again, unless {until}"
    whom = ", ".join(f"{r.kind} {r.name}" for r in plan.last_resort)
    return f"in {wait} the last resort ({whom}) is paged, unless {until}"


def _lines(
    incident: Incident,
    alerts: Sequence[str],
    ring: Ring,
    started: datetime,
    service: tuple[str, Service] | None,
    now: datetime,
) -> Iterator[str]:
    for alert in alerts[:3]:
        yield f"What: {alert}"
    if len(incident.alerts) > 3:
        yield f"      and {len(incident.alerts) - 3} more"
    yield f"Since: {started:%Y-%m-%d %H:%M:%S} UTC ({spell(now - started)} ago)"
    yield f"Severity: {spell_level(incident.severity)}, {incident.because}"
    if incident.could_be:
        asked = ", ".join(incident.unknown) or "facts still being looked up"
        yield f"  could be {spell_level(incident.could_be)}; not known: {asked}"
    if service is not None:
        yield from catalog.lines(*service)
    if incident.held_by:
        yield f"Held until now by: {incident.held_by}"
    if incident.beside:
        yield f"Held by the same: {incident.beside}"
    yield f"Why you: {ring.because}"
    if incident.phase == "acknowledged" and incident.plan and incident.plan.until == "acknowledged":
        yield f"Next: nobody else is paged, {incident.acknowledged_by} is on it"
    elif incident.plan:
        yield f"Next: {next_step(incident.plan, ring)}"
    yield f"Acknowledge: relay incident ack {incident.id}"


def _telling(incident: Incident) -> list[Alert]:
    """The alerts worth naming: the oldest first, one of each name before a second of any."""
    if len(incident.alerts) == 1:
        return list(incident.alerts.values())
    ordered = sorted(incident.alerts.values(), key=lambda a: (a.starts_at is None, a.starts_at, a.key))
    firsts = {alert.name: alert for alert in reversed(ordered)}
    chosen = [alert for alert in ordered if firsts[alert.name] is alert]
    rest = [alert for alert in ordered if firsts[alert.name] is not alert]
    return (chosen + rest)[:MOST_ALERTS]


def _one(alert: Alert) -> str:
    """An alert in a line: its name, and what its author or its labels say of it."""
    said = alert.annotations.get("summary") or alert.annotations.get("description") or alert.annotations.get("message")
    if not said:
        said = ", ".join(f"{k}={v}" for k, v in sorted(alert.labels.items()) if k != "alertname")
    line = _in_a_line(f"{alert.name}: {said}" if said else alert.name)
    return line if len(line) <= 300 else line[:299] + "…"


def _in_a_line(text: str) -> str:
    """What an alert says must not look like a line that Relay wrote."""
    return " ".join(text.split())


def _links(incident: Incident, telling: list[Alert], link_base: str) -> dict[str, str]:
    links = {f"Relay {incident.id}": f"{link_base}/incidents/{incident.id}"} if link_base else {}
    for alert in telling[:3]:
        called = _in_a_line(alert.name)
        for name, text in (("runbook_url", "Runbook"), ("dashboard_url", "Dashboard")):
            if alert.annotations.get(name, "").startswith(("http://", "https://")):
                links.setdefault(f"{text}: {called}", alert.annotations[name])
        if alert.generator_url.startswith(("http://", "https://")):
            links.setdefault(f"Query: {called}", alert.generator_url)
    return links


def _clock(moment: datetime, now: datetime) -> str:
    return f"{moment:%H:%M} UTC" if (now - moment).total_seconds() < 72000 else f"{moment:%Y-%m-%d %H:%M} UTC"
