"""An incident on a clock of its own: the production decisions, told without a world around them.

`relay explain` and the tests use it: events happen, time passes, and every deadline in between is missed in turn.
"""

from dataclasses import dataclass, field
from datetime import datetime

from relay.incident.decide import Rules, decide
from relay.incident.effects import Effect, Page
from relay.incident.events import DeadlineMissed, Delivered, Event
from relay.incident.incident import Incident

MOST_AT_ONCE = 100
"""Deadlines that one moment may bring. More is a loop between two concerns, and a bug."""


@dataclass(slots=True)
class Story:
    """One incident, and all that happened to it and was asked of the world, with the time of each."""

    rules: Rules
    now: datetime
    incident: Incident = field(default_factory=lambda: Incident("INC-1"))
    happened: list[tuple[datetime, Event]] = field(default_factory=list)
    asked: list[tuple[datetime, Effect]] = field(default_factory=list)
    pagers_work: bool = False
    """Whether every page is taken in at once."""

    def happen(self, event: Event) -> None:
        """Let an event happen now. Raises `NotNow`."""
        decision = decide(self.incident, event, self.rules, self.now)
        self.incident = decision.incident
        self.happened += [(self.now, e) for e in decision.happened]
        self.asked += [(self.now, e) for e in decision.effects]
        if self.pagers_work:
            for page in decision.effects:
                if isinstance(page, Page):
                    self.happen(Delivered(page.key, page.target))

    def wait(self, until: datetime) -> None:
        """Let time pass, from deadline to deadline."""
        while (at := self.incident.wake_at) is not None and at <= until:
            self.now = max(at, self.now)
            self._miss_all()
        self.now = until

    def _miss_all(self) -> None:
        for _ in range(MOST_AT_ONCE):
            missed = self.incident.missed(self.now)
            if not missed:
                return
            self.happen(DeadlineMissed(missed[0]))
        raise AssertionError(f"{missed[0]} never settles")
