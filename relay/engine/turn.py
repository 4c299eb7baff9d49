"""One turn of the engine: everything there is to do now, in one transaction."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from relay.engine.drain import Arrived, Drained, drain
from relay.engine.settle import Answer, settle
from relay.engine.submit import wake
from relay.incident.decide import Rules
from relay.incident.events import Event
from relay.store.outbox import Errand, Left, Room
from relay.store.transaction import Transaction

LEASE = timedelta(seconds=30)
"""How long a claim on an errand holds. Longer than any courier may take."""
MOST_WEBHOOKS = 150
MOST_WAKES = 500
MOST_ERRANDS = 200


@dataclass(slots=True)
class Turned:
    """What a turn has brought: errands to carry out, and when the next turn is needed."""

    errands: list[Errand] = field(default_factory=list)
    next_moment: datetime | None = None
    """The next deadline or retry: of all there are if the turn looked, else of those it has set itself."""
    drained: Drained = field(default_factory=Drained)
    woken: int = 0
    happened: list[Event] = field(default_factory=list)
    left: Left = Left.NOTHING
    """What is due, and nobody holds a claim on."""
    more: bool = False
    """Whether there may be more to do at once."""


def turn(
    connection: Connection,
    arrived: Sequence[Arrived],
    answers: Sequence[Answer],
    room: Room,
    full: Collection[str],
    rules: Rules,
    now: datetime,
    webhooks: int = MOST_WEBHOOKS,
    *,
    look: bool = True,
    behind: bool = True,
    under_way: Collection[Errand] = (),
) -> Turned:
    """Make what has arrived durable, take answers in, decide webhooks, and claim what they ask for.

    With `look`, also wake every incident that is due, and claim every errand that is: what other turns, other
    replicas, or time have left. Without, the turn sees only to what it has itself brought about. What is `under_way`,
    carried out by this process, stays its own.
    """
    transaction = Transaction(connection)
    transaction.outbox.renew(under_way, now, LEASE)
    settle(transaction, answers, rules, now)
    turned = Turned(drained=drain(transaction, arrived, rules, now, webhooks, behind=behind))
    if look:
        turned.woken = wake(transaction, rules, now, MOST_WAKES)
    turned.errands = transaction.write(now, LEASE, room)
    turned.happened = transaction.happened
    turned.more = turned.drained.more or turned.woken == MOST_WAKES or (transaction.left is Left.CLAIMABLE and not look)
    if look:
        claim_due(transaction, turned, room, full, now)
    else:
        turned.left, turned.next_moment = transaction.left, transaction.soonest
    return turned


def claim_due(transaction: Transaction, turned: Turned, room: Room, full: Collection[str], now: datetime) -> None:
    """Claim every errand that is due, and see when the next thing is."""
    taken = Counter(errand.effect.target for errand in turned.errands)
    claimed = transaction.outbox.claim(now, LEASE, MOST_ERRANDS, lambda target: room(target) - taken[target], full)
    turned.errands += claimed
    turned.more = turned.more or len(claimed) == MOST_ERRANDS
    turned.left = Left.FULL if transaction.outbox.unclaimed(now) else Left.NOTHING
    turned.next_moment = transaction.next_moment(now)
