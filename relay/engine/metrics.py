"""What Relay tells Prometheus of itself. No ids as labels; base units."""

import logging
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

from relay.config.logs import LOST
from relay.engine.settle import Answer
from relay.engine.turn import Turned
from relay.incident.effects import Page
from relay.incident.events import (
    Delivered,
    EscalationExhausted,
    Event,
    Held,
    LevelPassed,
    Opened,
    Paged,
    Resolved,
    Triggered,
    WouldAssess,
    WouldHold,
    WouldJump,
    is_quiet,
)
from relay.incident.telling import tell
from relay.integrations.courier import Again, Never

log = structlog.get_logger()

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


OUTCOMES = ("done", "again", "never")
_SHADOWS = {WouldHold: "window", WouldAssess: "severity", WouldJump: "jump"}


class Metrics:
    """All of them, in one registry."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._of_alerts(self.registry)
        self._of_incidents(self.registry)
        self._of_errands(self.registry)
        self._of_what_is_asked(self.registry)
        self._of_rules(self.registry)
        self._of_the_service(self.registry)

    def _of_alerts(self, registry: CollectorRegistry) -> None:
        self.webhooks = Counter(
            "relay_webhooks_total", "Webhooks by source and HTTP status.", ["source", "status"], registry=registry
        )
        self.accept = Histogram(
            "relay_webhook_accept_seconds",
            "From a webhook's last byte to its answer.",
            buckets=_FAST,
            registry=registry,
        )
        self.alerts = Counter(
            "relay_alerts_total",
            "Alerts told of, by source and by what they changed (fired, echoed, overtaken, changed, resolved, "
            "duplicate, stale, unknown_end).",
            ["source", "change"],
            registry=registry,
        )
        self.quarantined = Counter(
            "relay_quarantined_total", "Alerts and webhooks that could not be used.", ["source"], registry=registry
        )
        self.watchdog = Gauge(
            "relay_watchdog_last_seen_timestamp_seconds",
            "When a source's watchdog was heard.",
            ["source"],
            registry=registry,
        )
        self.queue_wait = Histogram(
            "relay_inbox_wait_seconds", "From accepting a webhook to deciding it.", buckets=_FAST, registry=registry
        )
        self.waiting = Gauge("relay_inbox_waiting", "Webhooks accepted and not yet decided.", registry=registry)
        self.inbox_age = Gauge("relay_inbox_oldest_seconds", "Age of the oldest of those.", registry=registry)

    def _of_incidents(self, registry: CollectorRegistry) -> None:
        self.triggered = Counter(
            "relay_incidents_triggered_total", "Times people were needed for an incident.", registry=registry
        )
        self.held = Counter("relay_incidents_held_total", "Decisions to page nobody for now.", registry=registry)
        self.would = Counter(
            "relay_shadow_total",
            "Times that a rule in shadow would have decided otherwise: a window, a severity rule, a route.",
            ["rule"],
            registry=registry,
        )
        self.resolved = Counter("relay_incidents_resolved_total", "Incidents that were over.", registry=registry)
        self.unpaged = Counter(
            "relay_incidents_resolved_unpaged_total",
            "Incidents that were over before anybody was paged.",
            registry=registry,
        )
        self.pages = Counter("relay_pages_total", "Pages asked for, by target.", ["target"], registry=registry)
        self.levels_passed = Counter(
            "relay_escalation_levels_passed_total", "Levels that resolved to nobody.", registry=registry
        )
        self.exhausted = Counter(
            "relay_escalation_exhausted_total", "Times the last resort was paged.", ["policy"], registry=registry
        )
        self.open_incidents = Gauge("relay_incidents", "Incidents by phase.", ["phase"], registry=registry)
        self.overdue = Gauge(
            "relay_deadline_overdue_seconds",
            "How long the oldest due deadline is overdue; 0 when none is.",
            registry=registry,
        )

    def _of_errands(self, registry: CollectorRegistry) -> None:
        self.deliveries = Counter(
            "relay_deliveries_total",
            "Errands by target and outcome (done, again, never).",
            ["target", "outcome"],
            registry=registry,
        )
        self.page_delay = Histogram(
            "relay_page_delay_seconds",
            "From asking for a page until its target accepted it.",
            buckets=_FAST,
            registry=registry,
        )
        self.broken = Gauge(
            "relay_target_broken",
            "1 while a target fails so often that it is left alone for a while.",
            ["target"],
            registry=registry,
        )
        self.outbox = Gauge("relay_outbox_waiting", "Errands not yet carried out.", registry=registry)
        self.outbox_age = Gauge("relay_outbox_oldest_seconds", "Age of the oldest of those.", registry=registry)

    def _of_what_is_asked(self, registry: CollectorRegistry) -> None:
        self.reconciled = Counter(
            "relay_reconciled_alerts_total",
            "Alerts that a source, asked, showed otherwise than its messages: missed, absent.",
            ["source", "found"],
            registry=registry,
        )
        self.reconciled_at = Gauge(
            "relay_reconcile_last_success_timestamp_seconds",
            "When a source has last answered.",
            ["source"],
            registry=registry,
        )
        self.quiet = Gauge(
            "relay_reconcile_quiet_alerts",
            "Alerts that a source silences or inhibits, and that no message has told of.",
            ["source"],
            registry=registry,
        )
        self.reconcile_failures = Counter(
            "relay_reconcile_failures_total",
            "Times a source could not be asked, or showed what cannot be used.",
            ["source"],
            registry=registry,
        )
        self.follow_up_failures = Counter(
            "relay_follow_up_failures_total",
            "Times a pager could not be asked what became of a page.",
            ["target"],
            registry=registry,
        )
        self.heartbeat_failures = Counter(
            "relay_heartbeat_failures_total", "Heartbeats that did not arrive.", registry=registry
        )

    def _of_rules(self, registry: CollectorRegistry) -> None:
        self.reload_ok = Gauge(
            "relay_config_last_reload_successful", "1 if the rules last read are in use.", registry=registry
        )
        self.reload_at = Gauge(
            "relay_config_last_reload_success_timestamp_seconds",
            "When rules were last taken into use.",
            registry=registry,
        )
        self.schedule_failures = Counter(
            "relay_schedule_failures_total",
            "Times a schedule that a provider owns could not be read.",
            ["schedule"],
            registry=registry,
        )
        self.schedule_at = Gauge(
            "relay_schedule_last_success_timestamp_seconds",
            "When a schedule that a provider owns was last read.",
            ["schedule"],
            registry=registry,
        )
        self.mirror_failures = Counter(
            "relay_mirror_failures_total",
            "Times the silences of a source's Alertmanager could not be kept in step with maintenance windows.",
            ["source"],
            registry=registry,
        )
        self.calendar_failures = Counter(
            "relay_calendar_failures_total",
            "Times the calendar of a maintenance window could not be read.",
            ["window"],
            registry=registry,
        )
        self.calendar_at = Gauge(
            "relay_calendar_last_success_timestamp_seconds",
            "When the calendar of a maintenance window was last read.",
            ["window"],
            registry=registry,
        )

    def _of_the_service(self, registry: CollectorRegistry) -> None:
        self.turn = Histogram(
            "relay_turn_seconds", "How long a turn of the engine takes.", buckets=_FAST, registry=registry
        )
        self.turn_failures = Counter(
            "relay_turn_failures_total", "Turns that could not be kept as a whole.", registry=registry
        )
        self.clock_set_back = Counter(
            "relay_clock_set_back_total",
            "Times the machine's clock was set back by five seconds or more: what waited was brought forward.",
            registry=registry,
        )
        self.swept = Counter(
            "relay_swept_rows_total", "Rows removed for their age, by table.", ["table"], registry=registry
        )
        registry.register(LOST)
        self.build = Info("relay_build", "The version that runs.", registry=registry)

    def know(self, *, targets: Iterable[str] = (), policies: Iterable[str] = (), sources: Iterable[str] = ()) -> None:
        """Show as 0 what may be counted some day: to Prometheus, a counter first seen at 1 has not increased."""
        for target in targets:
            for outcome in OUTCOMES:
                self.deliveries.labels(target, outcome)
        for policy in policies:
            self.exhausted.labels(policy)
        for source in sources:
            self.quarantined.labels(source)

    def turned(self, turned: Turned, seconds: float) -> None:
        """Count what a turn has brought."""
        self.turn.observe(seconds)
        drained = turned.drained
        for (source, change), count in drained.told.items():
            self.alerts.labels(source, change).inc(count)
        for source, count in drained.quarantined.items():
            self.quarantined.labels(source).inc(count)
        for source, at in drained.watchdogs.items():
            self.watchdog.labels(source).set(at.timestamp())
        for wait in drained.waits:
            self.queue_wait.observe(max(wait, 0))
        self.happened(turned.happened)

    def happened(self, events: Iterable[tuple[str, Event]]) -> None:
        """Count what happened to incidents, and log it: what came of one thing is one line.

        That a page arrived, as nearly all do, is no line of its own: it would double what logging costs.
        """
        lines = log.bind()
        logged = lines.is_enabled_for(logging.INFO)
        for incident, of_one in groupby(events, itemgetter(0)):
            told = []
            for _, event in of_one:
                self._happened(event)
                if logged and not (is_quiet(event) or isinstance(event, Delivered)):
                    told.append(tell(event))
            if told:
                lines.info("; ".join(told), incident=incident)

    def _happened(self, event: Event) -> None:
        match event:
            case Triggered():
                self.triggered.inc()
            case Held():
                self.held.inc()
            case WouldHold() | WouldAssess() | WouldJump():
                self.would.labels(_SHADOWS[type(event)]).inc()
            case Opened(would=would) if would:
                self.would.labels("route").inc()
            case Resolved():
                self.resolved.inc()
                if event.unpaged:
                    self.unpaged.inc()
            case Paged(ring):
                self.pages.labels(ring.target).inc()
            case LevelPassed():
                self.levels_passed.inc()
            case EscalationExhausted(policy):
                self.exhausted.labels(policy).inc()

    def answered(self, answer: Answer, delay: float) -> None:
        """Count what became of an errand; `delay` is seconds since it was asked for."""
        outcome = "again" if isinstance(answer.said, Again) else "never" if isinstance(answer.said, Never) else "done"
        self.deliveries.labels(answer.errand.effect.target, outcome).inc()
        if outcome == "done" and isinstance(answer.errand.effect, Page):
            self.page_delay.observe(max(delay, 0))
