"""A turn that cannot be kept, done in pieces: what is to blame is put off or set aside, and all else is kept."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from functools import partial

import structlog
from sqlalchemy import Connection

from relay.engine.drain import Drained, decide_stored, set_aside
from relay.engine.intake import Waiting, tell
from relay.engine.metrics import Metrics
from relay.engine.settle import Answer, settle
from relay.engine.submit import SICK_FOR, miss
from relay.engine.turn import LEASE, MOST_WAKES, MOST_WEBHOOKS, Turned, claim_due
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.integrations.courier import Never
from relay.store.failures import StoreBusy, StoreRefused, StoreUnavailable
from relay.store.outbox import Errand, Room
from relay.store.transaction import Transaction

log = structlog.get_logger()

Work = Callable[[Transaction], Drained | None]

_IN_OTHER_WORDS = Never("it was refused, in words that cannot be kept: Relay's log has them")


class Fate(Enum):
    """What became of a piece."""

    KEPT = "kept"
    BUSY = "busy"
    """Another process holds what it needs: later, it can be kept."""
    REFUSED = "refused"


class Pieces:
    """Each piece is a transaction of its own. Raises `StoreUnavailable` when nothing at all can be kept now."""

    def __init__(self, writer: Writer, rules: Rules, now: datetime, metrics: Metrics) -> None:
        self._writer = writer
        self._rules = rules
        self._now = now
        self._metrics = metrics

    async def store(
        self, begin: Callable[[Connection], None], waiting: Sequence[Waiting], under_way: Collection[Errand]
    ) -> None:
        """Begin, and make durable what has come, before all else: its senders wait."""

        def work(connection: Connection) -> None:
            begin(connection)
            transaction = Transaction(connection)
            transaction.outbox.renew(under_way, self._now, LEASE)
            transaction.inbox.append([one.arrived.received for one in waiting])

        await self._writer.transact(work)
        tell(waiting)

    async def settle(self, answers: Sequence[Answer]) -> list[Answer]:
        """Take answers in; gives those that are to be taken in later.

        Where one cannot be kept, what was carried out is not again: nobody is to be rung for that.
        """
        later = []
        for answer in answers:
            about = f"an answer about {answer.errand.effect.key}"
            fate = await self._keep(about, partial(self._settle, answer))
            if fate is Fate.REFUSED and isinstance(answer.said, Never):  # its own words may be what is to blame
                fate = await self._keep(about, partial(self._settle, replace(answer, said=_IN_OTHER_WORDS)))
            if fate is Fate.BUSY:
                later.append(answer)
            if fate is Fate.REFUSED:
                await self._keep(about, partial(self._forget, answer))
        return later

    def _settle(self, answer: Answer, transaction: Transaction) -> None:
        settle(transaction, [answer], self._rules, self._now)

    def _forget(self, answer: Answer, transaction: Transaction) -> None:
        if isinstance(answer.said, Never):
            transaction.outbox.postpone(answer.errand.ref, self._now + SICK_FOR)
        else:
            transaction.outbox.done([answer.errand.ref])

    async def decide(self) -> None:
        """Decide webhooks, the oldest first; one that the database refuses, whatever else it takes, is set aside."""
        for id_ in await self._writer.transact(lambda connection: Transaction(connection).inbox.oldest(MOST_WEBHOOKS)):
            fate = await self._keep(f"webhook {id_}", partial(self._decide, decide_stored, id_))
            if fate is Fate.REFUSED:
                await self._keep(f"webhook {id_}", partial(self._decide, set_aside, id_))

    def _decide(self, how: Callable[..., None], id_: int, transaction: Transaction) -> Drained:
        drained = Drained()
        if (body := transaction.inbox.take(id_)) is not None:
            how(transaction, [body], self._rules, self._now, drained)
        return drained

    async def wake(self) -> None:
        """Wake the incidents whose deadline has come; one that cannot be is left alone for a minute."""
        due = await self._writer.transact(
            lambda connection: Transaction(connection).incidents.due_ids(self._now, MOST_WAKES)
        )
        for id_ in due:
            fate = await self._keep(f"a deadline of {id_}", partial(self._miss, id_))
            if fate is Fate.REFUSED:
                await self._keep(f"a deadline of {id_}", partial(self._defer, id_))

    def _miss(self, id_: str, transaction: Transaction) -> None:
        transaction.incidents.load([id_])
        miss(transaction, id_, "", self._rules, self._now)

    def _defer(self, id_: str, transaction: Transaction) -> None:
        transaction.incidents.defer(id_, self._now + SICK_FOR)

    async def claim(self, room: Room, full: Collection[str], under_way: Collection[Errand], now: datetime) -> Turned:
        """Claim what is to be carried out; the next turn may find more to do."""

        def work(connection: Connection) -> Turned:
            transaction, turned = Transaction(connection), Turned(more=True)
            transaction.outbox.renew(under_way, now, LEASE)
            claim_due(transaction, turned, room, full, now)
            return turned

        return await self._writer.transact(work)

    async def _keep(self, what: str, work: Work) -> Fate:
        began = time.monotonic()

        def whole(connection: Connection) -> Turned:
            transaction = Transaction(connection)
            transaction.hurry()
            drained = work(transaction) or Drained()
            transaction.write(self._now)
            return Turned(drained=drained, happened=transaction.happened)

        try:
            turned = await self._writer.transact(whole)
        except StoreBusy as busy:
            log.warning("put off", what=what, because=str(busy))
            return Fate.BUSY
        except StoreRefused as refused:
            log.error("it cannot be kept", what=what, because=str(refused))
            return Fate.REFUSED
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("it cannot be kept", what=what)
            return Fate.REFUSED
        self._metrics.turned(turned, time.monotonic() - began)
        return Fate.KEPT
