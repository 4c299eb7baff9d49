"""From the inbox to incidents: many webhooks in one transaction, each decided for itself.

A webhook that cannot be decided stops no other: it is kept, counted, and paged by the default policy.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import structlog

from relay.incident.alert import OWN_SOURCE, Alert, AlertKey
from relay.incident.decide import Decision, Rules, decide
from relay.incident.events import AlertsChanged, AlertsFired, AlertsResolved, AlertsTruncated, Event, NoteAdded
from relay.incident.incident import Incident
from relay.incident.routing import Destination
from relay.incident.triage import Difference, Known, Place, is_watchdog, place, sort
from relay.integrations.alertmanager import Unusable, Webhook, read_webhook
from relay.integrations.fitting import fold_key
from relay.store.inbox import Quarantined, Received
from relay.store.incidents import Incidents
from relay.store.transaction import Transaction

log = structlog.get_logger()

MOST_BYTES = 256 * 1024
"""Bodies decided in one turn, together (a larger one alone): what comes meanwhile waits for the turn to end."""
FEWER_BYTES = 48 * 1024
"""The same while senders wait for an answer."""
MOST_AT_ONCE = 100
"""Webhooks that are decided in the turn that stores them."""
LONGEST_GROUP = 300
"""Characters of what a group is known by; what tells two groups apart stands at the end of their keys."""
ECHO = "the source tells of a firing that had just ended, with the same start: perhaps a late copy"


@dataclass(slots=True)
class Drained:
    """What became of the webhooks of a turn."""

    webhooks: int = 0
    more: bool = False
    """Whether there may be more webhooks waiting."""
    told: dict[tuple[str, str], int] = field(default_factory=partial(defaultdict, int))
    """Alerts by source and by what they changed."""
    quarantined: dict[str, int] = field(default_factory=partial(defaultdict, int))
    """Alerts and webhooks that could not be used, by source."""
    watchdogs: dict[str, datetime] = field(default_factory=dict)
    """Sources whose watchdog was heard, and when."""
    waits: list[float] = field(default_factory=list)
    """Seconds from the answer to the source until the decision."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A webhook's body, and what was read in it."""

    received: Received
    webhook: Webhook


def drain(
    transaction: Transaction, arrived: Sequence[Arrived], rules: Rules, now: datetime, limit: int, *, behind: bool
) -> Drained:
    """Make durable what has arrived, and decide: that, or the oldest webhooks that wait, at most `limit`.

    What has arrived is decided at once when it is little, and the engine is not `behind`: nothing older waits. Else it
    waits its turn, so that its sender is answered soon.
    """
    drained = Drained()
    size = sum(len(one.received.body) for one in arrived)
    if not behind and len(arrived) <= min(limit, MOST_AT_ONCE) and size <= MOST_BYTES:
        webhooks = [_store(transaction, one) for one in arrived]
        _decide_all(transaction, webhooks, rules, now, drained)
        return drained
    bodies, drained.more = transaction.inbox.waiting(limit, FEWER_BYTES if arrived else MOST_BYTES)
    decide_stored(transaction, bodies, rules, now, drained)
    transaction.inbox.append([one.received for one in arrived])
    drained.more = drained.more or bool(arrived)
    return drained


def decide_stored(
    transaction: Transaction, bodies: Sequence[Received], rules: Rules, now: datetime, drained: Drained
) -> None:
    """Decide webhooks that are in the inbox."""
    if sum(len(body.body) for body in bodies) > MOST_BYTES:
        transaction.take_time()
    webhooks = [found for body in bodies if (found := _read(transaction, body, drained))]
    _decide_all(transaction, webhooks, rules, now, drained)
    transaction.inbox.decided([body.id for body in bodies])


def _decide_all(
    transaction: Transaction, webhooks: Sequence[Arrived], rules: Rules, now: datetime, drained: Drained
) -> None:
    for one in webhooks:
        for broken in one.webhook.broken:
            _quarantine(transaction, one.received, broken.position, broken.reason, broken.body, drained)
    for source, count in drained.quarantined.items():
        labels = {"alertname": "RelayAlertsQuarantined", "source": source}
        summary = f"{count} alerts from {source} were accepted, and cannot be read. See: relay quarantine"
        page_for(transaction, f"quarantined-{source}", labels, summary, rules, now, drained)
    webhooks = [_enriched(one, rules) for one in webhooks]
    places = _prepare(transaction.incidents, webhooks, rules)
    for one, placed in zip(webhooks, places, strict=True):
        _decide_or_fail_open(transaction, one, placed, rules, now, drained)
    drained.webhooks = len(webhooks)
    drained.waits = [(now - one.received.received_at).total_seconds() for one in webhooks]


def _enriched(one: Arrived, rules: Rules) -> Arrived:
    """Let the alerts say what the catalogue knows of their services, so that every matcher sees it."""
    if not rules.services.services:
        return one
    alerts = tuple(rules.services.enrich(alert) for alert in one.webhook.alerts)
    return Arrived(one.received, replace(one.webhook, alerts=alerts))


def set_aside(
    transaction: Transaction, bodies: Sequence[Received], rules: Rules, now: datetime, drained: Drained
) -> None:
    """Give webhooks up that are in the inbox, and that the database refuses to keep: quarantine them, and page."""
    for body in bodies:
        _fail_open(transaction, body, "the database refuses what is in it", rules, now, drained)
    transaction.inbox.decided([body.id for body in bodies])
    drained.webhooks = len(bodies)


def _store(transaction: Transaction, one: Arrived) -> Arrived:
    return Arrived(transaction.inbox.keep(one.received), one.webhook)


def _read(transaction: Transaction, body: Received, drained: Drained) -> Arrived | None:
    try:
        return Arrived(body, read_webhook(body.body, body.source, body.received_at))
    except Unusable as error:
        _quarantine(transaction, body, -1, str(error), "", drained)
        return None


def _prepare(incidents: Incidents, readings: Sequence[Arrived], rules: Rules) -> list[dict[AlertKey, Place]]:
    """Load, in a few statements, what the webhooks will need; gives where the alerts of each belong that may begin."""
    alerts = [alert for reading in readings for alert in reading.webhook.alerts]
    known = incidents.known(alert.key for alert in alerts)
    incidents.load({known[alert.key].incident for alert in alerts if alert.key in known} - {""})
    places = [_places(reading.webhook.alerts, known, rules) for reading in readings]
    incidents.load_groups({where.group_key for placed in places for where in placed.values()})
    return places


def _places(alerts: Sequence[Alert], known: Mapping[AlertKey, Known], rules: Rules) -> dict[AlertKey, Place]:
    """Where alerts belong; one that cannot be routed is left out, and told of when its own webhook is decided."""
    places = {}
    for alert in {alert.key: alert for alert in alerts}.values():  # told of twice, it counts once, the last time
        if alert.firing and not (alert.key in known and known[alert.key].alert.firing):
            with suppress(Exception):
                places[alert.key] = place(alert, rules)
    return places


def _decide_or_fail_open(
    transaction: Transaction,
    reading: Arrived,
    places: Mapping[AlertKey, Place],
    rules: Rules,
    now: datetime,
    drained: Drained,
) -> None:
    try:
        work = _Work(transaction.incidents, reading.received.source, reading.received.received_at, rules, now, places)
        try:
            work.decide(reading.webhook)
        except Exception:
            work.undo()
            raise
        work.keep(transaction, drained)
    except Exception as error:
        log.exception("a webhook cannot be decided", inbox=reading.received.id, source=reading.received.source)
        because = f"it could not be decided ({type(error).__name__})"
        _fail_open(transaction, reading.received, because, rules, now, drained)


@dataclass(slots=True)
class _Work:
    """The decisions of one webhook, made in memory and then kept together."""

    incidents: Incidents
    source: str
    told_at: datetime
    """When the webhook came."""
    rules: Rules
    now: datetime
    places: Mapping[AlertKey, Place] = field(default_factory=dict)
    """Where alerts belong, as far as that has been looked up."""
    _current: dict[str, Incident] = field(default_factory=dict)
    _of_group: dict[str, str] = field(default_factory=dict)
    """Incidents by group key, looked up once: a webhook's alerts are mostly of one."""
    _opened: list[str] = field(default_factory=list)
    _events: dict[str, list[Event]] = field(default_factory=dict)
    _told: list[tuple[Alert, str]] = field(default_factory=list)
    _watchdogs: list[Alert] = field(default_factory=list)
    _decisions: list[Decision] = field(default_factory=list)
    _counts: Mapping[str, int] = field(default_factory=dict)

    def decide(self, webhook: Webhook) -> None:
        self._watchdogs = [alert for alert in webhook.alerts if is_watchdog(alert, self.rules)]
        watchdogs = {alert.key for alert in self._watchdogs}
        keys = [alert.key for alert in webhook.alerts]
        every = self.incidents.known(keys)
        alerts = [alert for key, alert in zip(keys, webhook.alerts, strict=True) if key not in watchdogs]
        # one that fires, and is of no incident, was taken for a watchdog by earlier rules: nobody was told of it
        told = {key: every[key] for key in keys if key in every and key not in watchdogs}
        known = {key: one for key, one in told.items() if one.incident or not one.alert.firing}
        self._let_go(every)
        sorted_ = sort(alerts, known, self.told_at, asked=webhook.asked)
        self._counts = {kind.value: len(told) for kind, told in sorted_.items()}
        for alert in sorted_[Difference.DUPLICATE]:
            if _later(alert, known[alert.key].alert):  # nobody has told that it fired again: what is older is late
                self._told.append((alert, ""))
        # an end may be decided before its beginning, which another replica holds: then the two meet at its row
        self._told += [(alert, "") for alert in sorted_[Difference.UNKNOWN_END]]
        touched = self._placed(sorted_)
        for kind in (Difference.CHANGED, Difference.RESOLVED):
            for alert in sorted_[kind]:
                touched.setdefault(known[alert.key].incident, {}).setdefault(kind, []).append(alert)
        self._truncation(webhook, {one.incident for one in known.values()} | touched.keys())
        for id_, by_kind in touched.items():
            self._events.setdefault(id_, []).extend(_events(by_kind, asked=webhook.asked))
            over = by_kind.pop(Difference.OVERTAKEN, [])
            self._told += [(known[alert.key].alert, id_) for alert in over]
            self._told += [(alert, id_) for told in by_kind.values() for alert in told]
        for id_, events in self._events.items():
            # what begins is told before what ends, so that an incident that goes on is not closed and reopened
            for event in sorted(events, key=lambda e: isinstance(e, AlertsResolved)):
                self._happen(id_, event)

    def _let_go(self, known: Mapping[AlertKey, Known]) -> None:
        """Take alerts that the rules have come to take for watchdogs from their incidents."""
        for alert in self._watchdogs:
            incident = self.incidents.get(known[alert.key].incident) if alert.key in known else None
            if incident is not None and alert.key in incident.alerts:
                why = f"{alert.name} is a watchdog by the rules that are now in use, and no longer of this incident"
                self._events.setdefault(incident.id, []).extend([NoteAdded("relay", why), AlertsResolved((alert.key,))])

    def _placed(self, sorted_: dict[Difference, list[Alert]]) -> dict[str, dict[Difference, list[Alert]]]:
        """Find or open the incident of each alert that begins to fire."""
        touched: dict[str, dict[Difference, list[Alert]]] = {}
        for kind in (Difference.FIRED, Difference.ECHOED, Difference.OVERTAKEN):
            for alert in sorted_[kind]:
                where = self.places.get(alert.key) or place(alert, self.rules)
                touched.setdefault(self._incident(where), {}).setdefault(kind, []).append(alert)
        return touched

    def _incident(self, where: Place) -> str:
        if found := self._of_group.get(where.group_key):
            return found
        self.incidents.load_groups([where.group_key])
        incident = self.incidents.of_group(where.group_key)
        if incident is None:
            incident = self.incidents.open(where.group_key)
            self._opened.append(incident.id)
            self._events[incident.id] = [where.opened]
        self._of_group[where.group_key] = incident.id
        return incident.id

    def _truncation(self, webhook: Webhook, touched: set[str]) -> None:
        group = f"{self.source}:{webhook.group_key}"
        left_out = webhook.truncated + len(webhook.broken)  # an alert that cannot be read proves no end either
        counts = {group: left_out}
        if len(group) > LONGEST_GROUP:
            # what earlier versions kept under the mere beginning is taken back: nobody else ever would
            counts = {fold_key(group, LONGEST_GROUP): left_out, group[:LONGEST_GROUP]: 0}
        for id_ in sorted(touched - {""}):
            incident = self.incidents.get(id_)
            for name, count in counts.items():
                if incident is not None and incident.truncated.get(name, 0) != count:
                    self._events.setdefault(id_, []).append(AlertsTruncated(name, count))

    def _happen(self, id_: str, event: Event) -> None:
        incident = self._current.get(id_) or self.incidents.get(id_)
        assert incident is not None, f"there is no incident {id_}"
        decision = decide(incident, event, self.rules, self.now)
        self._current[id_] = decision.incident
        self._decisions.append(decision)

    def raise_own(self, alert: Alert, where: Place) -> None:
        known = self.incidents.known([alert.key]).get(alert.key)
        if known is not None and known.alert.firing:
            return
        id_ = self._incident(where)
        self._told.append((alert, id_))
        for event in (*self._events.pop(id_, ()), AlertsFired((alert,))):
            self._happen(id_, event)

    def undo(self) -> None:
        for id_ in self._opened:
            self.incidents.discard(id_)

    def keep(self, transaction: Transaction, drained: Drained) -> None:
        for decision in self._decisions:
            transaction.keep(decision, self.now)
        for alert, id_ in self._told:
            self.incidents.tell(alert, id_, self.told_at)
        for alert in self._watchdogs:
            self.incidents.tell(alert, "", self.told_at)
            drained.watchdogs[self.source] = self.now
        for kind, count in self._counts.items():
            drained.told[self.source, kind] += count


def _later(ended: Alert, was: Alert) -> bool:
    """Whether an end is that of a later firing than the one that is known to have ended."""
    return ended.starts_at is not None and was.starts_at is not None and ended.starts_at > was.starts_at


def _events(by_kind: dict[Difference, list[Alert]], *, asked: bool) -> list[Event]:
    events: list[Event] = []
    if fired := by_kind.get(Difference.FIRED):
        events.append(AlertsFired(tuple(fired), missed=asked))
    if overtaken := by_kind.get(Difference.OVERTAKEN):
        events += [AlertsFired(tuple(overtaken)), AlertsResolved(tuple(alert.key for alert in overtaken))]
    if echoed := by_kind.get(Difference.ECHOED):
        events.append(AlertsFired(tuple(echoed), ECHO))
    if changed := by_kind.get(Difference.CHANGED):
        events.append(AlertsChanged(tuple(changed)))
    if resolved := by_kind.get(Difference.RESOLVED):
        events.append(AlertsResolved(tuple(alert.key for alert in resolved), absent=asked))
    return events


def _quarantine(
    transaction: Transaction, body: Received, position: int, reason: str, text: str, drained: Drained
) -> None:
    item = Quarantined(body.id, body.source, body.received_at, position, reason, text)
    transaction.inbox.set_aside([item])
    drained.quarantined[body.source] += 1


def _fail_open(
    transaction: Transaction, body: Received, because: str, rules: Rules, now: datetime, drained: Drained
) -> None:
    """Page the default policy that there is a webhook nobody has understood."""
    _quarantine(transaction, body, -1, because, "", drained)
    labels = {"alertname": "RelayWebhookUndecided", "source": body.source}
    summary = f"Webhook {body.id} from {body.source} was accepted, and {because}. See: relay quarantine"
    page_for(transaction, f"undecided-{body.id}", labels, summary, rules, now, drained)


def page_for(
    transaction: Transaction,
    name: str,
    labels: dict[str, str],
    summary: str,
    rules: Rules,
    now: datetime,
    drained: Drained,
) -> None:
    """Raise an alert of Relay's own, by the default policy; none while the one of that name fires.

    It ends when somebody resolves its incident.
    """
    alert = Alert(OWN_SOURCE, name, labels, {"summary": summary}, now)
    default = Destination(rules.root.policy, rules.root.group_by, (rules.root,))
    work = _Work(transaction.incidents, OWN_SOURCE, now, rules, now)
    try:
        work.raise_own(alert, Place(name, labels, default, rules))
        work.keep(transaction, drained)
    except Exception:
        work.undo()
        log.exception("nobody could be paged for what cannot be decided", about=name)
