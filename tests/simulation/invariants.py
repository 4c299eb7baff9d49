"""What must be so at every moment, whatever has happened."""

from functools import lru_cache

from sqlalchemy import func, select

from relay.incident.effects import Page, UpdatePage
from relay.incident.resolution import RECHECK
from relay.store import tables
from relay.store.encoding import read_incident
from relay.store.reading import read_alert, verify_timeline

_INCIDENTS = select(tables.incident.c.id, tables.incident.c.state).order_by(tables.incident.c.number)
_FIRING = select(tables.alert).where(tables.alert.c.firing)
_OUTBOX = select(tables.outbox.c.key, tables.outbox.c.kind)
_ENDS = select(tables.outbox.c.key).where(tables.outbox.c.kind == "ResolvePage")
_WAITING = select(func.count()).where(tables.inbox.c.waiting)
_incident_of = lru_cache(2_000)(read_incident)


class Broken(AssertionError):
    """A promise was broken. The message says which, by which seed."""


def broken(simulation, what: str) -> Broken:
    tail = "\n  ".join(simulation.trace[-25:])
    return Broken(f"seed {simulation.seed}, step {len(simulation.trace)}: {what}\n  {tail}")


def check(simulation) -> None:
    """What holds after every step."""
    incidents, waiting = simulation.database.read(_look)
    if simulation.pager.rang_when_over:
        raise broken(simulation, f"rang for what was over: {simulation.pager.rang_when_over}")
    for incident in incidents:
        if lost := _without_a_future(incident):
            raise broken(simulation, f"{incident.id} is {incident.phase}, and {lost}")
    rings = {ring.key for incident in incidents for ring in incident.rings if incident.phase != "closed"}
    if orphans := simulation.pager.open - rings - {key for key, _ in waiting} - under_way(simulation):
        raise broken(simulation, f"pages are open that nobody will close: {orphans}")
    keys = [ring.key for incident in incidents for ring in incident.rings]
    if len(keys) != len(set(keys)):
        raise broken(simulation, "one key stands for two pages")


def under_way(simulation) -> set[str]:
    """Keys of what some process is carrying out, or has carried out and not yet told of."""
    errands = [errand for replica in simulation.replicas for errand in replica.under_way]
    errands += [answer.errand for replica in simulation.replicas for answer in replica.answers]
    return {errand.effect.key for errand in errands}


def _without_a_future(incident) -> str:
    """Say what an incident lacks that will move it some day; empty when all is well."""
    deadlines = [name.partition("/")[0] for name in incident.deadlines]
    match incident.phase:
        case "new":
            return "nothing was decided"
        case "held":
            return "" if "holding" in deadlines or not incident.alerts else "nobody looks at it again"
        case "triggered":
            return "" if "escalation" in deadlines else "nobody is asked next"
        case "resolved":
            return "" if "resolution" in deadlines else "it is never closed"
    return ""


def not_overtaken(simulation, errands) -> None:
    """What holds of errands that are claimed now: nothing is said of a page whose end is to be told."""
    said = {errand.effect.key for errand in errands if isinstance(errand.effect, Page | UpdatePage)}
    if said and (
        over := said & set(simulation.database.read(lambda connection: connection.execute(_ENDS).scalars().all()))
    ):
        raise broken(simulation, f"rings, though its end is to be told: {over}")


def at_rest(simulation) -> None:
    """What holds when there is nothing to do now: what was told is known, and whoever is to be rung is."""
    incidents, waiting = simulation.database.read(_look)
    now = simulation.clock.now()
    if overdue := [(i.id, i.wake_at) for i in incidents if i.wake_at is not None and i.wake_at <= now]:
        raise broken(simulation, f"overdue at rest: {overdue}")
    if undecided := simulation.database.read(lambda connection: connection.execute(_WAITING).scalar()):
        raise broken(simulation, f"{undecided} webhooks are never decided")
    cared_for = {
        fingerprint
        for incident in incidents
        for _, fingerprint in incident.alerts
        if incident.phase not in ("new", "closed") and (incident.phase != "resolved" or RECHECK in incident.deadlines)
    }
    if cared_for != simulation.source.ledger.firing:
        raise broken(
            simulation, f"{cared_for} fire by what is known, {simulation.source.ledger.firing} by what was told"
        )
    coming = {key for key, kind in waiting if kind == "Page"}
    rung = simulation.pager.open | simulation.pager.answered.keys() | coming
    for incident in incidents:
        if incident.phase == "triggered" and not (incident.rings or incident.refused):
            raise broken(simulation, f"{incident.id} is triggered, and nobody was asked")
        missing = [ring.key for ring in incident.rings if ring.key not in rung]
        if incident.phase == "triggered" and missing:
            raise broken(simulation, f"{incident.id} believes that these ring, and they do not: {missing}")


def in_truth(simulation) -> None:
    """What holds when all has been well for a while: what fires is known and rings, and what has ended is over."""
    incidents, _ = simulation.database.read(_look)
    alerts = {alert.fingerprint: alert for alert in simulation.source.alerts}
    live = [i for i in incidents if i.phase in ("held", "triggered", "acknowledged")]
    known = {fingerprint: incident for incident in live for _, fingerprint in incident.alerts}
    for name, alert in alerts.items():
        if alert.firing and not alert.silenced and name not in known:
            raise broken(simulation, f"{name} fires, and no incident is open for it")
        if alert.firing and not alert.silenced and name in known[name].muted.get("prod", {}):
            raise broken(simulation, f"{name} fires, and is taken to be silenced, which it is not")
    for name, incident in known.items():
        if not alerts[name].firing and not incident.truncated:
            raise broken(simulation, f"{name} has ended, and {incident.id} is {incident.phase} for it")
    for incident in live:
        if incident.phase == "triggered" and not simulation.pager.open & {ring.key for ring in incident.rings}:
            raise broken(simulation, f"{incident.id} is triggered, and nothing rings")


def in_the_end(simulation) -> None:
    """What holds a day after everything has ended, been told of, and every pager is well."""
    check(simulation)
    incidents, waiting = simulation.database.read(_look)
    problems = simulation.database.read(
        lambda connection: {i.id: found for i in incidents if (found := verify_timeline(connection, i.id))}
    )
    if problems:
        raise broken(simulation, f"timelines do not verify: {problems}")
    open_ = [i for i in incidents if i.phase not in ("resolved", "closed")]
    # what was truncated is left to people, and says so
    if stuck := [(i.id, i.phase, sorted(i.alerts)) for i in open_ if not i.truncated]:
        raise broken(simulation, f"still open in the end: {stuck}")
    if left := simulation.pager.open - {ring.key for i in open_ for ring in i.rings}:
        raise broken(simulation, f"pages left open in the end: {left}")
    if waiting and not open_:
        raise broken(simulation, f"still to be sent in the end: {[row.key for row in waiting]}")


def _look(connection):
    """Every incident with its alerts, and what is to be sent."""
    alerts = {}
    for row in connection.execute(_FIRING):
        alerts.setdefault(row.incident, {})[row.source, row.fingerprint] = read_alert(row)
    rows = connection.execute(_INCIDENTS).all()
    incidents = [_incident_of(row.state).but(alerts=alerts.get(row.id, {})) for row in rows]
    return incidents, connection.execute(_OUTBOX).all()
