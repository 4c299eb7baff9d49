"""The loop: a turn when something has come, and when the next moment has come; then it sleeps."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import aiohttp
import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.engine.dispatch import Dispatch
from relay.engine.drain import Arrived
from relay.engine.intake import Intake, Waiting, tell
from relay.engine.metrics import Metrics
from relay.engine.pieces import Pieces
from relay.engine.set_back import Steps, bring_forward
from relay.engine.settle import Answer
from relay.engine.turn import MOST_WEBHOOKS, Turned, turn
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.store.failures import StoreBusy, StoreRefused, StoreUnavailable
from relay.store.incidents import Incidents
from relay.store.outbox import Left, Outbox, Room
from relay.store.transaction import no_room

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
"""Seconds before a turn is tried again that could not be kept."""
LONGEST_TRANSACTION = 10.0
"""Seconds after which a database that has not answered counts as away."""


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
        self._behind = True
        """Whether older webhooks may wait to be decided."""
        self._looked_at = -LONGEST_SLEEP
        self._decided_at = 0.0
        self._deferring = False
        """Whether the last turn only stored: a burst is under way, which ends with a turn to which little has come."""
        self._next: datetime | None = None
        """The next deadline or retry that is known of."""
        self._asked = False
        """Whether somebody else has changed something, or a turn has left something that can be claimed."""
        self._full = False
        """Whether something waits for its target, or for an earlier message about its page."""
        self._nudge_later: asyncio.Handle | None = None
        self._nudge_at = 0.0
        """When that is: uvloop's handles of short times do not tell."""
        self._reconsider = False
        self._again = frozenset[str]()
        """Incidents that another replica held when they were to be looked at again."""
        self._alone = writer.database.writers == 1
        """Whether it shares its database with no other: else that one's deadlines would be moved as well."""
        self._first_alone = self._alone
        """Whether claims are those of a process that is gone."""
        self._steps = Steps(clock)
        self._set_back = timedelta()
        """By how much the clock was set back, and what waits is not yet brought forward."""
        self._claimed = 0.0
        """From when on the leases of the last turn count."""
        self._kept = False
        self._pause = False

    @property
    def healthy(self) -> bool:
        """Whether the last turn was kept, and the database answers: one that is cut off may say nothing at all."""
        return self._kept and self._writer.waited < LONGEST_TRANSACTION

    def nudge(self) -> None:
        """Say that there is something to do."""
        self._nudged.set()

    def nudge_within(self, seconds: float) -> None:
        """Say that there is something to do, which may wait for so long."""
        if seconds == 0:
            self._nudged.set()
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._nudge_later is not None:
            if self._nudge_at <= at:
                return
            self._nudge_later.cancel()
        self._nudge_later, self._nudge_at = loop.call_later(seconds, self._nudged.set), at

    def look(self) -> None:
        """Say that somebody else has changed something: the next turn looks for all that is due."""
        self._asked = True
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
        unbounded = aiohttp.TCPConnector(limit=0)  # each target's lane is its bound: who hangs must hold up no other
        async with aiohttp.ClientSession(connector=unbounded) as session, asyncio.TaskGroup() as tasks:
            while not self._done:
                self._nudged.clear()
                self._claimed = time.monotonic()
                turned = await self._turn(self._claimed)
                self._dispatch.start(turned.errands, self._claimed, tasks, session)
                if self._pause:
                    self._pause = False
                    await asyncio.sleep(AFTER_FAILURE)
                elif turned.drained.webhooks > 1:
                    await asyncio.sleep(GATHER)
                if not (turned.more or self._asked or self._done):
                    self.nudge_within(self._until_due)
                    await self._nudged.wait()

    @property
    def _done(self) -> bool:
        return self._stopping and self._dispatch.idle and self._intake.empty

    async def _turn(self, began: float) -> Turned:
        answers = self._dispatch.take_answers()
        if self._nudge_later is not None:
            self._nudge_later.cancel()
            self._nudge_later = None
        rules, now, under_way = self._rules(), self._clock.now(), self._dispatch.under_way
        begin = self._beginning(now)

        waiting = self._intake.take()
        arrived = [one.arrived for one in waiting]

        must_look = not self._stopping and self._must_look(now, began, answered=bool(answers))
        look = must_look and (self._asked or not arrived)  # those who wait for an answer do not wait for this as well
        self._asked = must_look and not look
        room = self._room
        full = self._dispatch.full if look else frozenset()

        webhooks = 0 if self._may_defer(arrived, began) else MOST_WEBHOOKS
        behind = self._behind or webhooks == 0

        def work(connection: Connection) -> Turned:
            begin(connection)
            return turn(
                connection, arrived, answers, room, full, rules, now, webhooks,
                look=look, behind=behind, under_way=under_way,
            )  # fmt: skip

        try:
            turned = await self._writer.transact(work)
        except Exception as error:
            pieces = Pieces(self._writer, rules, now, self._metrics)
            return await self._in_pieces(error, begin, waiting, answers, pieces)
        tell(waiting)
        await asyncio.sleep(0)  # the answers leave before what follows is seen to
        self._deferring = webhooks == 0
        if webhooks:
            self._decided_at = began
        self._behind = turned.drained.more
        self._metrics.turned(turned, time.monotonic() - began)
        self._learned(turned, look, began)
        return turned

    @property
    def _room(self) -> Room:
        return no_room if self._stopping else self._dispatch.room

    def _beginning(self, now: datetime) -> Callable[[Connection], None]:
        """What a turn begins with, until one is kept."""
        if self._alone and (back := self._steps.back()):
            self._set_back += back
            self._metrics.clock_set_back.inc()
            log.warning("the clock was set back: what waits is brought forward", seconds=back.total_seconds())
            self._reconsider = True
        first, again, set_back = self._first_alone, None if self._reconsider else self._again, self._set_back
        self._reconsider, self._again = False, frozenset()

        def begin(connection: Connection) -> None:
            if first:
                Outbox(connection).release_all(now)
            if set_back:
                bring_forward(connection, set_back, now)
            if again is None or again:
                self._again = Incidents(connection).look_again(now, again)

        return begin

    def _may_defer(self, arrived: Sequence[Arrived], monotonic: float) -> bool:
        """Whether this turn may only store what has come: many wait for an answer, and deciding has not waited long."""
        many = len(arrived) >= (1 if self._deferring else MANY)
        return many and monotonic - self._decided_at < DEFER

    def _must_look(self, now: datetime, monotonic: float, *, answered: bool) -> bool:
        """Whether this turn must look for what is due, and not only see to what has come.

        What waits for a full target can go on after an answer; and from time to time, as its limit or a pause ends.
        """
        due = self._next is not None and self._next <= now
        freed = self._full and answered
        return self._asked or due or freed or monotonic - self._looked_at >= LONGEST_SLEEP

    def _learned(self, turned: Turned, looked: bool, began: float) -> None:
        self._kept, self._first_alone, self._set_back = True, False, timedelta()
        if looked:
            self._looked_at, self._next = began, turned.next_moment
            self._full = turned.left is Left.FULL
        else:
            self._asked = self._asked or turned.left is Left.CLAIMABLE
            self._full = self._full or turned.left is Left.FULL
            self._next = min((at for at in (self._next, turned.next_moment) if at is not None), default=None)

    async def _in_pieces(
        self,
        error: Exception,
        begin: Callable[[Connection], None],
        waiting: Sequence[Waiting],
        answers: Sequence[Answer],
        pieces: Pieces,
    ) -> Turned:
        """The turn cannot be kept as a whole: do all of it that can be, which is nothing while the database is away."""
        self._metrics.turn_failures.inc()
        log.error("a turn could not be kept", because=str(error), exc_info=not isinstance(error, StoreUnavailable))
        self._pause = not isinstance(error, StoreBusy)  # that has waited already
        began, left = time.monotonic(), answers
        try:
            if isinstance(error, StoreUnavailable) and not isinstance(error, StoreRefused | StoreBusy):
                raise error
            await pieces.store(begin, waiting, self._dispatch.under_way)
            self._first_alone, self._set_back = False, timedelta()
            left = await pieces.settle(answers)
            await pieces.decide()
            await pieces.wake()
            self._claimed = time.monotonic()
            held = [*self._dispatch.under_way, *(answer.errand for answer in left)]
            turned = await pieces.claim(self._room, self._dispatch.full, held, self._clock.now())
        except Exception as still:
            self._kept, self._pause, self._asked, self._reconsider = False, True, True, True
            tell(waiting, still if isinstance(still, StoreUnavailable) else StoreUnavailable(str(still)))
            return Turned(more=True)
        finally:
            self._behind = True
            self._dispatch.give_back(left)
        self._learned(turned, True, began)
        return turned

    @property
    def _until_due(self) -> float:
        """Seconds until there may be something to do though nobody says so."""
        if self._next is None:
            return LONGEST_SLEEP
        return min(LONGEST_SLEEP, max(0.0, (self._next - self._clock.now()).total_seconds()))
