"""Every kind of target with its stand-in, so that what holds for all couriers is tested on all."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import TypeAdapter

from relay.clock import ManualClock
from relay.demo.standins import opsgenie, pagerduty
from relay.demo.standins.standin import StandIn
from relay.incident.effects import Effect, Notice, Page
from relay.integrations import Target
from relay.integrations.courier import Again, Courier, Never

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
ROUTING_KEY = "0123456789abcdef0123456789ABCDEF"
GENIE_KEY = "5ecbb0d0-1111-4222-8333-c0ffee000001"
KEY = "PAY-12/1/L1/0/pay ops"

NOTICE = Notice(
    incident="PAY-12",
    title="SEV-2 checkout: HighErrorRate (2 alerts fire, since 12:00 UTC)",
    text="What: HighErrorRate: 7 % of requests fail\nSince: 2026-01-07 12:00:00 UTC (2m ago)\nWhy you: L1 of payments",
    severity=2,
    service="checkout",
    started_at=NOON,
    alerts=("HighErrorRate: 7 % of requests fail", "SlowCheckout: p99 is 4 s"),
    firing=2,
    labels={"service": "checkout", "cluster": "eu-1"},
    links={
        "Relay PAY-12": "https://relay.example.com/i/PAY-12",
        "Runbook: HighErrorRate": "https://wiki.example.com/r",
    },
)
PAGE = Page("pay", KEY, NOTICE)


@dataclass(frozen=True)
class Rig:
    """A kind of target, and how to stand in for its vendor."""

    name: str
    settings: dict[str, Any]
    secret: str
    stand_in: Callable[[], StandIn]
    creates: str
    """What the journal calls the request that pages."""

    def target(self, tmp_path: Path, **more: Any) -> Any:
        """The target as a rule file would name it."""
        file = tmp_path / "secret"
        file.write_text(f"{self.secret}\n")
        named = {key: str(file) if value == "FILE" else value for key, value in self.settings.items()}
        return TypeAdapter(Target).validate_python({**named, **more})


RIGS = (
    Rig(
        "pagerduty",
        {"type": "pagerduty", "routing_key_file": "FILE"},
        ROUTING_KEY,
        lambda: pagerduty.stand_in(limit=None),
        "trigger",
    ),
    Rig(
        "opsgenie",
        {"type": "opsgenie", "api_key_file": "FILE", "teams": ["payments"]},
        GENIE_KEY,
        lambda: opsgenie.stand_in(GENIE_KEY),
        "create",
    ),
    Rig(
        "jsm",
        {"type": "opsgenie", "flavour": "jsm", "api_key_file": "FILE"},
        GENIE_KEY,
        lambda: opsgenie.stand_in(GENIE_KEY, "jsm"),
        "create",
    ),
)


@dataclass
class Outcome:
    """How an errand ended: `done`, `again` or `never`, and what was said."""

    kind: str
    said: Any
    after: timedelta | None = None


@dataclass
class Running:
    """A rig that runs."""

    rig: Rig
    vendor: StandIn
    target: Any
    courier: Courier
    session: aiohttp.ClientSession
    said: list[str] = field(default_factory=list)
    """Everything that was said of what went wrong."""

    async def ask(self, effect: Effect = PAGE, within: float | None = None) -> Outcome:
        """Carry an effect out, with a shorter time limit in seconds if one is given."""
        courier = self.target.courier(ManualClock(NOON), within) if within else self.courier
        try:
            return Outcome("done", await courier.carry_out(effect, self.session))
        except (Again, Never) as refusal:
            self.said += [str(refusal), repr(refusal), repr(refusal.__cause__), repr(refusal.args)]
            kind = "again" if isinstance(refusal, Again) else "never"
            return Outcome(kind, str(refusal), getattr(refusal, "after", None))


@asynccontextmanager
async def running(rig: Rig, tmp_path: Path, **settings: Any) -> AsyncIterator[Running]:
    """Start the stand-in of a rig, and a courier that talks to it."""
    async with rig.stand_in() as vendor, aiohttp.ClientSession() as session:
        target = rig.target(tmp_path, **{"url": vendor.url, **settings})
        yield Running(rig, vendor, target, target.courier(ManualClock(NOON)), session)
