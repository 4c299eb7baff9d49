"""Following pages up: pagers that can be asked are asked what became of them, so that a lost webhook only delays."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import aiohttp
import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.engine.hear import hear
from relay.engine.metrics import Metrics
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.incident.incident import Incident
from relay.incident.lifecycle import RINGING
from relay.incident.plan import Ring
from relay.integrations.courier import Again, Courier, Never
from relay.integrations.news import News, Tells
from relay.store.reading import list_incidents
from relay.store.transaction import Transaction, happening

log = structlog.get_logger()

EVERY = timedelta(minutes=1)
TOGETHER = 500
"""Incidents that are read at a time."""
MOST_ASKED = 30
"""Pages of one target that are asked about each time: half of them those that most need an answer, the others in turn.
"""
AT_ONCE = 4


class FollowUp:
    """Asks pagers about open pages: those that nobody has answered before the others, which may be closed there.

    Its owner runs it in a task.
    """

    def __init__(
        self,
        couriers: Callable[[], Mapping[str, Courier]],
        writer: Writer,
        rules: Callable[[], Rules],
        clock: Clock,
        metrics: Metrics,
        look: Callable[[], None],
    ) -> None:
        self._couriers = couriers
        self._writer = writer
        self._rules = rules
        self._clock = clock
        self._metrics = metrics
        self._look = look
        self._places = asyncio.Semaphore(AT_ONCE)
        self._times = 0

    async def run(self) -> None:
        """Ask until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(EVERY.total_seconds())
                await self.ask(session)

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """Ask once about every open page."""
        tell = {name for name, courier in self._couriers().items() if isinstance(courier, Tells)}
        asked, silent = _chosen(await self._open(tell), self._times), set[str]()
        self._times += 1
        answers = await asyncio.gather(*(self._ask(ring, session, silent) for ring in asked))
        if news := [answer for answer in answers if answer is not None]:
            await self._hear(news)

    async def _open(self, targets: set[str]) -> dict[str, list[Ring]]:
        """Open pages of some targets, those first that most need an answer; nothing is read for none."""
        found: list[tuple[bool, int, Ring]] = []
        before: int | None = None
        while targets:
            some = await self._writer.read(partial(_some, before=before))
            for incident in some:
                urgency = incident.phase == "acknowledged", incident.severity or 1
                found += [(*urgency, ring) for ring in incident.rings if ring.target in targets]
            if len(some) < TOGETHER:
                break
            before = int(some[-1].id.removeprefix("INC-"))
        found.sort(key=lambda one: one[:2])
        return {target: [ring for *_, ring in found if ring.target == target] for target in targets}

    async def _ask(self, ring: Ring, session: aiohttp.ClientSession, silent: set[str]) -> News | None:
        """Ask about one page, unless its target has just failed to answer about another."""
        courier = self._couriers().get(ring.target)
        try:
            async with self._places:
                if not isinstance(courier, Tells) or ring.target in silent:
                    return None
                return await courier.ask_about(ring.key, session)
        except (Again, Never) as trouble:
            silent.add(ring.target)
            self._metrics.follow_up_failures.labels(ring.target).inc()
            log.warning("a pager cannot be asked about a page", target=ring.target, because=str(trouble))
            return None

    async def _hear(self, news: list[News]) -> None:
        rules, now = self._rules(), self._clock.now()

        def work(transaction: Transaction) -> None:
            hear(transaction, news, lambda _: True, rules, now)  # each was asked about its own pages

        self._metrics.happened(await self._writer.transact(happening(work, now)))
        self._look()


def _some(connection: Connection, before: int | None) -> list[Incident]:
    return list_incidents(connection, RINGING, TOGETHER, before, alerts=False)


def _chosen(open_: Mapping[str, Sequence[Ring]], times: int) -> list[Ring]:
    """Pages to ask about, a few of each target; in time all of them, however many there are."""
    half = MOST_ASKED // 2
    chosen: list[Ring] = []
    for rings in open_.values():
        first, others = rings[:half], rings[half:]
        turn = times * half % len(others) if len(others) > half else 0
        chosen += [*first, *[*others[turn:], *others[:turn]][:half]]
    return chosen
