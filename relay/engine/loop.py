"""The loop: a turn when something has come, and when the next moment has come; then it sleeps."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import aiohttp
import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.engine.dispatch import Dispatch
from relay.engine.drain import Arrived, set_aside
from relay.engine.intake import Intake, Waiting, tell
from relay.engine.metrics import Metrics
from relay.engine.turn import MOST_WEBHOOKS, Turned, turn
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.store.database import StoreRefused, StoreUnavailable
from relay.store.inbox import Inbox
from relay.store.incidents import Incidents
from relay.store.outbox import Outbox
from relay.store.transaction import Transaction, no_room

log = structlog.get_logger()

LONGEST_SLEEP = 1.0
"""Seconds; another replica may have left work, and a clock may have been set."""
GATHER = 0.003
"""Seconds for which a busy engine lets webhooks gather, so that more of them share the next flush to disk."""
MANY = 50
"""Webhooks that have come during one turn from which on they are stored first, and decided later."""
DEFER = 0.5
"""Seconds for which deciding may wait for storing."""
AFTER_FAILURE = 1.0
"""Seconds before a turn that the database refused is tried again."""


class Loop:
    """Drives the engine. Its owner runs it in a task; when it ends, the service must not go on."""

    def __init__(
        self,
        writer: Writer,
        intake: Intake,
        dispatch: Dispatch,
        rules: Callable[[], Rules],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._intake = intake
        intake.came, dispatch.answered = self.nudge, self.nudge_within
        self._writer = writer
        self._dispatch = dispatch
        self._rules = rules
        self._clock = clock
        self._metrics = metrics
        self._nudged = asyncio.Event()
        self._stopping = False
        self._webhooks = MOST_WEBHOOKS
        self._behind = True
        """Whether older webhooks may wait to be decided."""
        self._looked_at = -LONGEST_SLEEP
        self._decided_at = 0.0
        self._deferring = False
        """Whether the last turn only stored: a burst is under way, which ends with a turn to which little has come."""
        self._next: datetime | None = None
        """The next deadline or retry that is known of."""
        self._unclaimed = False
        self._nudge_later: asyncio.TimerHandle | None = None
        self._reconsider = False
        self._first_alone = writer.database.writers == 1
        """Whether claims are those of a process that is gone: it shared its database with no other."""
        self.healthy = False
        """Whether the last turn was kept."""

    def nudge(self) -> None:
        """Say that there is something to do."""
        self._nudged.set()

    def nudge_within(self, seconds: float) -> None:
        """Say that there is something to do, which may wait for so long."""
        if seconds == 0:
            self._nudged.set()
        elif self._nudge_later is None:
            self._nudge_later = asyncio.get_running_loop().call_later(seconds, self._nudged.set)

    def look(self) -> None:
        """Say that somebody else has changed something: the next turn looks for all that is due."""
        self._unclaimed = True
        self._nudged.set()

    def reconsider(self) -> None:
        """Say that rules or windows have changed: what is held is looked at again."""
        self._reconsider = True
        self.look()

    def stop(self) -> None:
        """Finish: claim nothing new, take the answers of what is under way, and end."""
        self._stopping = True
        self._nudged.set()

    async def run(self) -> None:
        """Turn until stopped."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            while not self._done:
                self._nudged.clear()
                turned = await self._turn()
                self._dispatch.start(turned.errands, tasks, session)
                if turned.drained.webhooks > 1:
                    await asyncio.sleep(GATHER)
                if not (turned.more or self._done):
                    await self._sleep()

    @property
    def _done(self) -> bool:
        return self._stopping and self._dispatch.idle and self._intake.empty

    async def _turn(self) -> Turned:
        answers = self._dispatch.take_answers()
        if self._nudge_later is not None:
            self._nudge_later.cancel()
            self._nudge_later = None
        room, full = (no_room, frozenset[str]()) if self._stopping else (self._dispatch.room, self._dispatch.full)
        rules, now, began = self._rules(), self._clock.now(), time.monotonic()
        reconsider, self._reconsider = self._reconsider, False
        look = not self._stopping and self._must_look(now, began)

        waiting = self._intake.take()
        arrived = [one.arrived for one in waiting]

        webhooks = 0 if self._may_defer(arrived, began) else self._webhooks
        behind = self._behind or webhooks == 0

        def work(connection: Connection) -> Turned:
            if self._first_alone:
                Outbox(connection).release_all(now)
            if reconsider:
                Incidents(connection).look_again(now)
            return turn(connection, arrived, answers, room, full, rules, now, webhooks, look=look, behind=behind)

        try:
            turned = await self._writer.transact(work)
        except StoreRefused as error:
            self._reconsider = self._reconsider or reconsider
            self._dispatch.give_back(answers)
            await self._isolate(waiting, error)
            return Turned()
        except StoreUnavailable as error:
            self._reconsider = self._reconsider or reconsider
            self._dispatch.give_back(answers)
            tell(waiting, error)
            await self._failed(error)
            return Turned()
        tell(waiting)
        self._deferring = webhooks == 0
        if webhooks:
            self._decided_at = began
        self._learned(turned, look, began)
        return turned

    def _may_defer(self, arrived: Sequence[Arrived], monotonic: float) -> bool:
        """Whether this turn may only store what has come: many wait for an answer, and deciding has not waited long."""
        many = len(arrived) >= (1 if self._deferring else MANY)
        return many and monotonic - self._decided_at < DEFER

    def _must_look(self, now: datetime, monotonic: float) -> bool:
        """Whether this turn must look for what is due, and not only see to what has come."""
        due = self._next is not None and self._next <= now
        return self._unclaimed or due or monotonic - self._looked_at >= LONGEST_SLEEP

    def _learned(self, turned: Turned, looked: bool, began: float) -> None:
        self.healthy, self._first_alone = True, False
        self._webhooks, self._behind = MOST_WEBHOOKS, turned.drained.more
        if looked:
            self._looked_at, self._next, self._unclaimed = began, turned.next_moment, turned.unclaimed
        else:
            self._unclaimed = self._unclaimed or turned.unclaimed
            self._next = min((at for at in (self._next, turned.next_moment) if at is not None), default=None)
        self._metrics.turned(turned, time.monotonic() - began)

    async def _failed(self, error: StoreUnavailable) -> None:
        self.healthy, self._behind = False, True
        self._metrics.turn_failures.inc()
        log.error("a turn could not be kept", because=str(error))
        if not isinstance(error, StoreRefused):
            await asyncio.sleep(AFTER_FAILURE)

    async def _isolate(self, waiting: list[Waiting], error: StoreRefused) -> None:
        """The database refuses what a turn wants to keep: store what has come, and find the webhook that it is in."""
        await self._failed(error)
        bodies = [one.arrived.received for one in waiting]
        try:
            await self._writer.transact(lambda connection: Inbox(connection).append(bodies))
            tell(waiting)
            if self._webhooks == 1:
                await self._set_aside()
            self._webhooks = 1
            self.nudge()
        except StoreUnavailable as still:
            tell(waiting, still)
            await self._failed(StoreUnavailable(str(still)))

    async def _set_aside(self) -> None:
        """Quarantine the oldest webhook; refused as well if that is not to blame, and then it stays."""
        rules, now = self._rules(), self._clock.now()

        def give_up(connection: Connection) -> None:
            turn(connection, (), (), no_room, (), rules, now, 0, look=False)
            transaction = Transaction(connection)
            set_aside(transaction, rules, now)
            transaction.write(now)

        await self._writer.transact(give_up)

    async def _sleep(self) -> None:
        seconds = LONGEST_SLEEP
        if self._next is not None:
            seconds = min(seconds, max(0.0, (self._next - self._clock.now()).total_seconds()))
        try:
            async with asyncio.timeout(seconds):
                await self._nudged.wait()
        except TimeoutError:
            pass
