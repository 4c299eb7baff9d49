"""Following pages up: pagers that can be asked are asked what became of them, so that a lost webhook only delays."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

import aiohttp
import structlog
from sqlalchemy import Connection

from relay.clock import Clock
from relay.engine.hear import hear
from relay.engine.metrics import Metrics
from relay.engine.writer import Writer
from relay.incident.decide import Rules
from relay.incident.events import Event
from relay.incident.incident import Incident
from relay.incident.plan import Ring
from relay.integrations.courier import Again, Courier, Never
from relay.integrations.news import News, Tells
from relay.store.reading import list_incidents
from relay.store.transaction import Transaction

log = structlog.get_logger()

EVERY = timedelta(minutes=1)
MOST_INCIDENTS = 500
MOST_ASKED = 30
"""Pages of one target that are asked about each time: half of them of the most severe incidents, the others in turn."""
AT_ONCE = 4


class FollowUp:
    """Asks pagers about open pages nobody has answered. Its owner runs it in a task."""

    def __init__(
        self,
        couriers: Callable[[], Mapping[str, Courier]],
        writer: Writer,
        rules: Callable[[], Rules],
        clock: Clock,
        metrics: Metrics,
        look: Callable[[], None],
        every: timedelta = EVERY,
    ) -> None:
        self._couriers = couriers
        self._writer = writer
        self._rules = rules
        self._clock = clock
        self._metrics = metrics
        self._look = look
        self._every = every
        self._places = asyncio.Semaphore(AT_ONCE)
        self._times = 0

    async def run(self) -> None:
        """Ask until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                await asyncio.sleep(self._every.total_seconds())
                await self.ask(session)

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """Ask once about every open page."""
        triggered = await self._writer.read(
            lambda connection: list_incidents(connection, ("triggered",), MOST_INCIDENTS, None)
        )
        tell = {name for name, courier in self._couriers().items() if isinstance(courier, Tells)}
        asked, silent = _chosen(triggered, tell, self._times), set[str]()
        self._times += 1
        answers = await asyncio.gather(*(self._ask(ring, session, silent) for ring in asked))
        if news := [answer for answer in answers if answer is not None]:
            await self._hear(news)

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

        def work(connection: Connection) -> list[tuple[str, Event]]:
            transaction = Transaction(connection)
            hear(transaction, news, rules, now)
            transaction.write(now)
            return transaction.happened

        happened = await self._writer.transact(work)
        self._metrics.happened(happened)
        self._look()


def _chosen(incidents: list[Incident], targets: set[str], times: int) -> list[Ring]:
    """Open pages to ask about, a few of each target; in time all of them, however many there are."""
    open_: dict[str, list[Ring]] = {target: [] for target in targets}
    for incident in sorted(incidents, key=lambda incident: incident.severity or 1):
        for ring in incident.rings:
            if ring.target in targets:
                open_[ring.target].append(ring)
    half = MOST_ASKED // 2
    chosen: list[Ring] = []
    for rings in open_.values():
        worst, others = rings[:half], rings[half:]
        turn = times * half % len(others) if len(others) > half else 0
        chosen += [*worst, *(others[turn:] + others[:turn])[:half]]
    return chosen
