"""One turn of the engine: everything there is to do now, in one transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from relay.engine.drain import Drained, drain
from relay.engine.settle import Answer, settle
from relay.engine.submit import wake
from relay.incident.decide import Rules
from relay.incident.events import Event
from relay.store.outbox import Errand
from relay.store.transaction import Transaction

LEASE = timedelta(seconds=30)
"""How long a claim on an errand holds. Longer than any courier may take."""
MOST_WEBHOOKS = 500
MOST_WAKES = 500
MOST_ERRANDS = 200


@dataclass(slots=True)
class Turned:
    """What a turn has brought: errands to carry out, and when the next turn is needed."""

    errands: list[Errand] = field(default_factory=list)
    next_moment: datetime | None = None
    drained: Drained = field(default_factory=Drained)
    woken: int = 0
    happened: list[Event] = field(default_factory=list)

    @property
    def more(self) -> bool:
        """Whether there may be more to do at once."""
        return self.drained.more or len(self.errands) == MOST_ERRANDS or self.woken == MOST_WAKES


def turn(
    connection: Connection,
    answers: Sequence[Answer],
    busy: Collection[str],
    rules: Rules,
    now: datetime,
    webhooks: int = MOST_WEBHOOKS,
    *,
    claim: bool = True,
) -> Turned:
    """Take answers in, decide waiting webhooks, wake what is due, and claim what is to be carried out."""
    transaction = Transaction(connection)
    settle(transaction, answers, rules, now)
    turned = Turned(drained=drain(transaction, rules, now, webhooks))
    turned.woken = wake(transaction, rules, now, MOST_WAKES)
    transaction.write(now)
    turned.happened = transaction.happened
    if claim:
        turned.errands = transaction.outbox.claim(now, LEASE, MOST_ERRANDS, busy)
    turned.next_moment = transaction.next_moment(now)
    return turned
