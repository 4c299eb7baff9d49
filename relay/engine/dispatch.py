"""Carrying errands out: each in a task of its own, a bounded number for each target, none waiting for another."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import aiohttp
import structlog

from relay.clock import Clock
from relay.engine.metrics import Metrics
from relay.engine.pace import Pace
from relay.engine.settle import Answer, Said
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
        self._under_way: Counter[str] = Counter()

    def take_answers(self) -> list[Answer]:
        """Give the answers that have come, once."""
        answers, self._answers = self._answers, []
        return answers

    def give_back(self, answers: Sequence[Answer]) -> None:
        """Keep answers that could not be taken in."""
        self._answers = [*answers, *self._answers]

    def room(self, target: str) -> int:
        """How many more errands a target can take now."""
        return min(LANE - self._under_way[target], self._pace.room(target))

    @property
    def full(self) -> frozenset[str]:
        """Targets that can take none."""
        busy = frozenset(target for target, count in self._under_way.items() if count >= LANE)
        return busy | self._pace.closed()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and no answer waits."""
        return not self._answers and self._under_way.total() == 0

    def start(self, errands: Sequence[Errand], tasks: asyncio.TaskGroup, session: aiohttp.ClientSession) -> None:
        """Begin to carry errands out."""
        for errand in errands:
            self._under_way[errand.effect.target] += 1
            self._pace.take(errand.effect.target)
            tasks.create_task(self._carry_out(errand, session))

    async def _carry_out(self, errand: Errand, session: aiohttp.ClientSession) -> None:
        target = errand.effect.target
        try:
            said = await self._ask(errand, session)
        finally:
            self._under_way[target] -= 1
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

    async def _ask(self, errand: Errand, session: aiohttp.ClientSession) -> Said:
        courier = self._couriers().get(errand.effect.target)
        if courier is None:
            return Never(f'there is no target "{errand.effect.target}" any more')
        try:
            async with asyncio.timeout(COURIER_TIMEOUT):
                return await courier.carry_out(errand.effect, session)
        except (Again, Never) as refusal:
            return refusal
        except TimeoutError:
            return Again(f"no answer within {COURIER_TIMEOUT:.0f} s")
        except Exception:  # a courier's bug must not stop the others, nor lose the page
            log.exception("a courier failed", target=errand.effect.target, incident=errand.incident)
            return Again("the courier failed; Relay's log says how")
