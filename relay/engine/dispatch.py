"""Carrying errands out: each in a task of its own, a bounded number for each target, none waiting for another."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import aiohttp
import structlog

from relay.clock import Clock
from relay.engine.metrics import Metrics
from relay.engine.pace import Pace
from relay.engine.settle import Answer, Said
from relay.engine.turn import LEASE
from relay.incident.events import Delivered
from relay.integrations.courier import Again, Courier, Never
from relay.store.outbox import Errand

log = structlog.get_logger()

LANE = 32
"""Errands under way at once for one target: a slow one delays itself alone."""
SUCCESS_WAITS = 0.05
"""Seconds that the news of a success may wait for other work, whose transaction it shares: nothing depends on it."""
COURIER_TIMEOUT = 20.0
"""Seconds after which an errand is given back, whatever its courier does. Shorter than a lease."""


def _nobody_listens(seconds: float) -> None:
    pass


class Dispatch:
    """Hands errands to couriers and gathers their answers."""

    def __init__(
        self,
        couriers: Callable[[], Mapping[str, Courier]],
        pace: Pace,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.answered: Callable[[float], None] = _nobody_listens
        """Called for each answer, with the seconds within which it wants to be taken in."""
        self._couriers = couriers
        self._pace = pace
        self._clock = clock
        self._metrics = metrics
        self._answers: list[Answer] = []
        self._under_way: dict[int, Errand] = {}
        self._busy: Counter[str] = Counter()
        """Errands under way by target."""

    def take_answers(self) -> list[Answer]:
        """Give the answers that have come, once."""
        answers, self._answers = self._answers, []
        return answers

    def give_back(self, answers: Sequence[Answer]) -> None:
        """Keep answers that could not be taken in."""
        self._answers = [*answers, *self._answers]

    def room(self, target: str) -> int:
        """How many more errands a target can take now."""
        return min(LANE - self._busy[target], self._pace.room(target))

    @property
    def full(self) -> frozenset[str]:
        """Targets that can take none."""
        busy = frozenset(target for target, count in self._busy.items() if count >= LANE)
        return busy | self._pace.closed()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and no answer waits."""
        return not (self._answers or self._under_way)

    @property
    def under_way(self) -> Collection[Errand]:
        """What is being carried out."""
        return tuple(self._under_way.values())

    def start(
        self, errands: Sequence[Errand], claimed: float, tasks: asyncio.TaskGroup, session: aiohttp.ClientSession
    ) -> None:
        """Begin to carry errands out, which were claimed at a time, in seconds that never go back.

        None is begun after its lease, nor goes on until then: others may have claimed it, or closed its page.
        """
        ends = claimed + LEASE.total_seconds()
        if errands and time.monotonic() >= ends:
            log.warning("claims ended before they were used, and fall due again", errands=len(errands))
            return
        for errand in errands:
            self._under_way[errand.ref] = errand
            self._busy[errand.effect.target] += 1
            self._pace.take(errand.effect.target)
            tasks.create_task(self._carry_out(errand, ends, session))

    async def _carry_out(self, errand: Errand, ends: float, session: aiohttp.ClientSession) -> None:
        target = errand.effect.target
        try:
            said = await self._ask(errand, ends, session)
        finally:
            self._busy[target] -= 1
            self._under_way.pop(errand.ref, None)
        if isinstance(said, Again):
            self._pace.failed(target, said.after)
        else:
            self._pace.answered(target)
        self._metrics.broken.labels(target).set(target in self._pace.broken())
        answer = Answer(errand, said)
        if isinstance(said, Again | Never):
            kind = type(errand.effect).__name__
            log.warning(
                "an errand was not carried out", kind=kind, target=target, incident=errand.incident, because=str(said)
            )
        self._metrics.answered(answer, (self._clock.now() - errand.created_at).total_seconds())
        self._answers.append(answer)
        self.answered(SUCCESS_WAITS if isinstance(said, Delivered | None) else 0.0)

    async def _ask(self, errand: Errand, ends: float, session: aiohttp.ClientSession) -> Said:
        courier = self._couriers().get(errand.effect.target)
        if courier is None:
            return Never(f'there is no target "{errand.effect.target}" any more')
        seconds = min(COURIER_TIMEOUT, ends - time.monotonic())
        try:
            async with asyncio.timeout(seconds):
                return await courier.carry_out(errand.effect, session)
        except (Again, Never) as refusal:
            return refusal
        except TimeoutError:
            return Again(f"no answer within {seconds:.0f} s")
        except Exception:  # a courier's bug must not stop the others, nor lose the page
            log.exception("a courier failed", target=errand.effect.target, incident=errand.incident)
            return Again("the courier failed; Relay's log says how")
