"""Tell an outage as a story: what happens, and what the service must ask for. What a story does not expect fails it."""

from datetime import UTC, datetime, timedelta

from relay.config.document import parse
from relay.incident.alert import Alert
from relay.incident.decide import Rules
from relay.incident.effects import AcknowledgePage, Measure, Page, ResolvePage, UpdatePage
from relay.incident.events import AlertsFired, AlertsResolved, Event, Held, Paged
from relay.incident.rules import RuleFile, join
from relay.incident.story import Story
from relay.incident.triage import place

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
"""A Wednesday."""

TARGETS = ("pd-ada", "pd-bob", "pd-chen", "pd-noc", "og-dba")

RULES = """\
people:
  ada: {name: Ada, via: pd-ada}
  bob: {name: Bob, via: pd-bob}
  chen: {name: Chen, via: pd-chen}
rotations:
  first: {zone: UTC, starts: 2026-01-05, people: [ada, bob]}
  second: {zone: UTC, starts: 2026-01-05, people: [bob, chen]}
policies:
  payments:
    levels:
      - {name: L1, page: [{rotation: first}], wait: 5m}
      - {name: L2, page: [{rotation: second}], wait: 10m}
      - {name: L3, page: [{person: chen}], wait: 15m}
    jump: [{at_least: SEV-1, to: L2}]
    last_resort: [{target: pd-noc}]
route: {policy: payments, group_by: [service]}
severity:
  default: SEV-3
  rules:
    - {severity: SEV-2, matchers: [severity="critical"]}
"""


def rules(text: str = RULES, **changed: str) -> Rules:
    """Rules of a YAML text; `changed` adds whole sections."""
    text += "".join(f"\n{section}: {body}\n" for section, body in changed.items())
    document = parse(text, "rules.yaml")
    return join([(document, RuleFile.model_validate(document.data))], TARGETS, "r1")


def an_alert(name: str = "HighErrorRate", **labels: str) -> Alert:
    labels = {"alertname": name, "service": "checkout", **labels}
    return Alert("prod", str(sorted(labels.items())), labels, {"summary": f"{name} is bad"}, NOON)


class Playbook:
    """A story that is told step by step: `.fires().after(minutes=5).paged("L2")`."""

    def __init__(self, made_of: Rules | None = None, start: datetime = NOON) -> None:
        self.story = Story(made_of or rules(), start)
        self._told = 0
        self._asked = 0

    @property
    def incident(self):
        return self.story.incident

    def fires(self, *alerts: Alert, doubt: str = "") -> "Playbook":
        alerts = alerts or (an_alert(),)
        if self.incident.plan is None:
            self.story.happen(place(alerts[0], self.story.rules).opened)
        return self.when(AlertsFired(alerts, doubt))

    def ends(self, *alerts: Alert) -> "Playbook":
        return self.when(AlertsResolved(tuple(alert.key for alert in alerts or self.incident.alerts.values())))

    def when(self, event: Event) -> "Playbook":
        self.story.happen(event)
        return self

    def after(self, **time: int) -> "Playbook":
        self.story.wait(self.story.now + timedelta(**time))
        return self

    def paged(self, *whom: str) -> "Playbook":
        """The pages since the last look, as `level:target`, and no others."""
        rung = [f"{e.ring.level}:{e.ring.target}" for e in self._new() if isinstance(e, Paged)]
        assert rung == list(whom), f"paged {rung}, expected {list(whom)}"
        pages = [e.target for e in self.asked(Page)]
        assert pages == [who.partition(":")[2] for who in whom]
        return self

    def held(self, by: str) -> "Playbook":
        """Held since the last look, and nobody paged."""
        new = self._new()
        assert not [e for e in new if isinstance(e, Paged)], new
        assert any(isinstance(e, Held) and by in e.by for e in new), new
        assert self.incident.phase == "held"
        self.asked()
        return self

    def quiet(self) -> "Playbook":
        """Nothing was asked of the world since the last look."""
        asked = self.asked()
        assert asked == [], asked
        return self

    def asked(self, *kinds: type) -> list:
        """What was asked of the world since the last look; of some kinds, or all."""
        new = [effect for _, effect in self.story.asked[self._asked :]]
        self._asked = len(self.story.asked)
        return [effect for effect in new if not kinds or isinstance(effect, kinds)]

    def _new(self) -> list[Event]:
        new = [event for _, event in self.story.happened[self._told :]]
        self._told = len(self.story.happened)
        return new


__all__ = ["AcknowledgePage", "Measure", "Playbook", "ResolvePage", "UpdatePage", "an_alert", "rules"]
