"""Paging: what the people who are rung are told, and when their pages are closed. It has no section of its own.

Escalation says who; this says what. Every message about one page carries the page's key.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from relay.incident import wording
from relay.incident.catalog import Catalog
from relay.incident.effects import AcknowledgePage, Effect, Page, ResolvePage, UpdatePage
from relay.incident.events import (
    Acknowledged,
    AlertsFired,
    Assessed,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Event,
    Paged,
    Resolved,
)
from relay.incident.holding import hushed
from relay.incident.incident import Incident
from relay.incident.maintenance import Windows
from relay.incident.severity import spell_level

UPDATE = "paging/update"
UPDATE_AFTER = timedelta(seconds=10)
"""How long news of a growing incident is gathered, so that a storm makes few messages."""


REACTS_TO = frozenset({Paged, AlertsFired, DeadlineMissed, Assessed, Acknowledged, Resolved})


def react(
    incident: Incident, event: Event, link_base: str, services: Catalog, windows: Windows, now: datetime
) -> Iterator[Event | Effect]:
    """Tell those who are rung: at first, when it grows or gets worse, when somebody is on it, when it is over."""
    match event:
        case Paged(ring, instead_of=closed):
            if closed:  # what is still tried, or was said of it since, would open it again beside the new one
                yield ResolvePage(
                    ring.target, closed, f"{ring.target} has closed it by itself: it rings under a new key"
                )
            yield Page(ring.target, ring.key, wording.notice(incident, ring, link_base, services, now), ring.user)
        case AlertsFired() if incident.rings and not _told_soon(incident, now):
            yield DeadlineSet(UPDATE, now + UPDATE_AFTER)
        case DeadlineMissed("paging/update") if until := hushed(incident, windows, now):
            yield DeadlineSet(UPDATE, until)
        case DeadlineMissed("paging/update"):
            yield from _update(incident, f"{wording.count(len(incident.alerts))} now", link_base, services, now)
        case Assessed(severity, because, was=was) if was is not None and severity != was:
            changed = "raised" if severity < was else "lowered"
            what = f"{changed} from {spell_level(was)} to {spell_level(severity)}: {because}"
            yield from _update(incident, what, link_base, services, now)
        case Acknowledged(by, via):
            yield from (AcknowledgePage(ring.target, ring.key, by) for ring in incident.rings if ring.key != via)
        case Resolved(because, by):
            why = f"{because} ({by})" if by else because
            if UPDATE in incident.deadlines:  # news of a page that is closed rings again at some providers
                yield DeadlineMet(UPDATE)
            # also where the news has come from: it may be older than what was said of the page since, which rings again
            yield from (ResolvePage(ring.target, ring.key, why) for ring in incident.rings)


def _told_soon(incident: Incident, now: datetime) -> bool:
    """Whether news is being gathered; what a window keeps back until its end is not, as more may be told before."""
    at = incident.deadlines.get(UPDATE)
    return at is not None and at <= now + UPDATE_AFTER


def _update(incident: Incident, what: str, link_base: str, services: Catalog, now: datetime) -> Iterator[Effect]:
    for ring in incident.rings:
        yield UpdatePage(ring.target, ring.key, wording.notice(incident, ring, link_base, services, now), what)
