"""What must be so at every moment, whatever has happened."""

from sqlalchemy import func, select

from relay.store import tables
from relay.store.reading import list_incidents, read_outbox, verify_timeline

ALL = ("new", "held", "triggered", "acknowledged", "resolved", "closed")
MOST = 500


class Broken(AssertionError):
    """A promise was broken. The message says which, by which seed."""


def check(simulation) -> None:
    """What holds after every step."""
    incidents, waiting = simulation.database.read(_look)

    def broken(what: str):
        tail = "\n  ".join(simulation.trace[-25:])
        return Broken(f"seed {simulation.seed}, step {len(simulation.trace)}: {what}\n  {tail}")

    if simulation.pager.rang_when_over:
        raise broken(f"rang for what was over: {simulation.pager.rang_when_over}")
    for incident in incidents:
        if lost := _without_a_future(incident):
            raise broken(f"{incident.id} is {incident.phase}, and {lost}")
    rings = {ring.key for incident in incidents for ring in incident.rings if incident.phase != "closed"}
    spoken_of = {row.key for row in waiting} | {errand.effect.key for errand in simulation.under_way}
    spoken_of |= {answer.errand.effect.key for answer in simulation.answers}
    if orphans := simulation.pager.open - rings - spoken_of:
        raise broken(f"pages are open that nobody will close: {orphans}")
    keys = [ring.key for incident in incidents for ring in incident.rings]
    if len(keys) != len(set(keys)):
        raise broken("one key stands for two pages")


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


def at_rest(simulation) -> None:
    """What holds when there is nothing to do now."""
    incidents, _ = simulation.database.read(_look)
    now = simulation.clock.now()
    if overdue := [(i.id, i.wake_at) for i in incidents if i.wake_at is not None and i.wake_at <= now]:
        raise Broken(f"seed {simulation.seed}: overdue at rest: {overdue}")
    waiting = simulation.database.read(lambda c: c.execute(select(func.count()).where(tables.inbox.c.waiting)).scalar())
    if waiting:
        raise Broken(f"seed {simulation.seed}: {waiting} webhooks are never decided")


def in_the_end(simulation) -> None:
    """What holds a day after everything has ended, been told of, and every pager is well."""
    check(simulation)
    incidents, waiting = simulation.database.read(_look)
    if problems := simulation.database.read(_verify):
        raise Broken(f"seed {simulation.seed}: timelines do not verify: {problems}")
    open_ = [
        (i.id, i.phase, sorted(i.alerts), dict(i.truncated)) for i in incidents if i.phase not in ("resolved", "closed")
    ]
    stuck = [one for one in open_ if not one[3]]  # what was truncated is left to people, and says so
    if stuck:
        raise Broken(f"seed {simulation.seed}: still open in the end: {stuck}")
    known = {ring.key for i in incidents if i.phase not in ("resolved", "closed") for ring in i.rings}
    if left := simulation.pager.open - known:
        raise Broken(f"seed {simulation.seed}: pages left open in the end: {left}")
    if waiting and not open_:
        raise Broken(f"seed {simulation.seed}: still to be sent in the end: {[row.key for row in waiting]}")


def _look(connection):
    return list_incidents(connection, ALL, MOST, None), read_outbox(connection, MOST)


def _verify(connection):
    incidents = list_incidents(connection, ALL, MOST, None)
    return {i.id: found for i in incidents if (found := verify_timeline(connection, i.id))}
