"""What is really so, and a pair of Alertmanagers that tell of it: late, twice, out of order, and again and again."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

SERVICES = ("checkout", "ledger", "search")
NAMES = ("Errors", "Slow", "Down")
SEVERITIES = ("critical", "warning", "info")
NOT_ENDED = "0001-01-01T00:00:00Z"
LATEST = 120
"""Seconds that a message may be under way."""
TOLD_AGAIN = timedelta(minutes=2)
"""After which an Alertmanager that was restarted has heard of every alert again."""


@dataclass
class Alert:
    """An alert as it really is."""

    name: str
    service: str
    severity: str
    firing: bool = False
    silenced: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    @property
    def fingerprint(self) -> str:
        return f"{self.service}-{self.name}"

    def told(self) -> dict:
        labels = {"alertname": self.name, "service": self.service, "severity": self.severity}
        return {
            "status": "firing" if self.firing else "resolved",
            "labels": labels,
            "annotations": {"summary": f"{self.service}: {self.name}"},
            "startsAt": self.starts_at.isoformat(),
            "endsAt": NOT_ENDED if self.firing else self.ends_at.isoformat(),
            "generatorURL": "",
            "fingerprint": self.fingerprint,
        }


@dataclass
class Message:
    """A webhook that is under way."""

    arrives_at: datetime
    body: bytes


class Ledger:
    """What has been told, by the plainest rules: the last word counts; an older start says only that it fires again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[datetime, bool]] = {}

    def hear(self, body: bytes) -> None:
        for alert in json.loads(body)["alerts"]:
            name, firing = alert["fingerprint"], alert["status"] == "firing"
            starts_at = datetime.fromisoformat(alert["startsAt"])
            last, fired = self._last.get(name, (starts_at, False))
            if starts_at < last and (fired or not firing):
                continue
            self._last[name] = (starts_at, firing)

    @property
    def firing(self) -> set[str]:
        """Fingerprints of alerts that fire, by all that was told."""
        return {name for name, (_, firing) in self._last.items() if firing}


@dataclass
class Source:
    """Services, their alerts, and what is told of them. When it can be `asked`, all copies of a message may be lost."""

    chance: Random
    asked: bool
    started_at: datetime
    """When its Alertmanagers were started."""
    alerts: list[Alert] = field(default_factory=list)
    under_way: list[Message] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        self.started_at -= timedelta(days=1)
        for service in SERVICES[: self.chance.randint(1, len(SERVICES))]:
            for name in NAMES[: self.chance.randint(1, len(NAMES))]:
                self.alerts.append(Alert(name, service, self.chance.choice(SEVERITIES)))

    def change(self, now: datetime) -> str:
        """An alert begins to fire, or ends; both Alertmanagers tell of its group."""
        alert = self.chance.choice(self.alerts)
        alert.firing = not alert.firing
        if alert.firing:
            alert.starts_at, alert.ends_at = now, None
        else:
            alert.ends_at = now
        self.tell(alert.service, now)
        return f"{alert.fingerprint} {'fires' if alert.firing else 'ends'}"

    def silence(self) -> str:
        """A silence of an alert begins, or ends: while it lasts, no message speaks of the alert."""
        alert = self.chance.choice(self.alerts)
        alert.silenced = not alert.silenced
        return f"{alert.fingerprint} is {'silenced' if alert.silenced else 'silenced no more'}"

    def tell(self, service: str, now: datetime) -> None:
        """The pair posts the group; one of the two may lose its message, and both when they can be asked."""
        copies = 1 if self.chance.random() < 0.2 else 2
        if self.asked and self.chance.random() < 0.2:
            copies = 0
        for _ in range(copies):
            late = timedelta(seconds=self.chance.uniform(0, LATEST))
            self.under_way.append(Message(now + late, self.body(service, truncate=self.chance.random() < 0.05)))

    def body(self, service: str, *, truncate: bool = False) -> bytes:
        alerts = [alert for alert in self.alerts if alert.service == service and alert.starts_at]
        told = [alert.told() for alert in alerts if not alert.silenced]
        left_out = 0
        if truncate and len(told) > 1:
            told, left_out = told[:1], len(told) - 1
        status = "firing" if any(alert["status"] == "firing" for alert in told) else "resolved"
        group = {"version": "4", "groupKey": f"g:{service}", "truncatedAlerts": left_out, "status": status}
        return json.dumps({**group, "alerts": told}).encode()

    def arrived(self, now: datetime) -> list[bytes]:
        """Messages whose time has come, in the order in which they happen to arrive."""
        here = [message for message in self.under_way if message.arrives_at <= now]
        self.under_way = [message for message in self.under_way if message.arrives_at > now]
        self.chance.shuffle(here)
        bodies = [message.body for message in here for _ in range(1 if self.chance.random() < 0.9 else 2)]
        for body in bodies:
            self.ledger.hear(body)
        return bodies

    def shown(self, now: datetime) -> list[Alert]:
        """What its Alertmanagers show when they are asked: nothing yet, just after a start."""
        return [alert for alert in self.alerts if alert.firing and now - self.started_at >= TOLD_AGAIN]

    def services(self) -> list[str]:
        return sorted({alert.service for alert in self.alerts if alert.starts_at})
