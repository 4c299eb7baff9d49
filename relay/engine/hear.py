"""Hearing news of pagers: an incident moves as if somebody had acted here; an answer is not told back."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog

from relay.engine.submit import submit
from relay.incident.decide import Rules
from relay.incident.events import Acknowledged, Paged, Reopened, Resolved
from relay.incident.incident import Incident
from relay.incident.lifecycle import RINGING
from relay.incident.plan import Ring
from relay.integrations.fitting import fold_key
from relay.integrations.news import News
from relay.integrations.opsgenie import LONGEST_ALIAS
from relay.integrations.pagerduty_news import LONGEST_DEDUP_KEY
from relay.store.transaction import Transaction

log = structlog.get_logger()

LIMITS = (LONGEST_DEDUP_KEY, LONGEST_ALIAS)
"""Characters to which pagers' keys are folded."""
AGAIN_AFTER = timedelta(minutes=1)
"""How soon a page is rung again, at the most, that a pager closes by itself again; and each time twice as late."""
AGAIN_AT_LAST = timedelta(minutes=30)
"""But no later than this."""


def hear(
    transaction: Transaction, news: Iterable[News], speaks_of: Callable[[str], bool], rules: Rules, now: datetime
) -> None:
    """Take news in. News of a page that is not open, or that says what is known, changes nothing.

    `speaks_of` says of a target whether the news may be of its pages: who holds the secret of one pager moves no
    other's.
    """
    told = {one: id_ for one in news if (id_ := _incident(one.key))}
    transaction.incidents.load(told.values())
    for one, id_ in told.items():
        incident = transaction.incidents.get(id_)
        ring = _ring(incident, one.key) if incident else None
        if incident is None or ring is None or incident.phase not in RINGING:
            continue
        if not speaks_of(ring.target):
            log.warning("news of a page that its pager may not speak of", target=ring.target, incident=id_, by=one.by)
            continue
        log.info("news of a page", incident=incident.id, target=ring.target, what=one.what)
        if one.what != "acknowledged":
            _close(transaction, incident, ring, one, rules, now)
        elif incident.phase != "acknowledged":
            submit(transaction, incident.id, Acknowledged(one.by, via=ring.key), rules, now)


def _close(transaction: Transaction, incident: Incident, ring: Ring, news: News, rules: Rules, now: datetime) -> None:
    alone = news.what == "timed_out"  # nobody says that it is over
    if alone and incident.phase != "acknowledged":
        # the escalation goes on as it was, so that it comes to the next level
        due = ring.again_at is None or not ring.again_at <= now < ring.again_at + _patience(ring)
        if incident.phase == "triggered" and ring.round == incident.round and due:
            submit(transaction, incident.id, Paged(ring.once_more(now), instead_of=ring.key), rules, now)
        return
    over = Resolved(f"closed in {ring.target}", news.by, via=ring.key)
    if submit(transaction, incident.id, over, rules, now).incident.alerts and alone:
        submit(transaction, incident.id, Reopened(f"{ring.target} has closed the page by itself"), rules, now)


def _patience(ring: Ring) -> timedelta:
    doubled: int = 2 ** min(ring.again - 1, 10)
    return min(AGAIN_AFTER * doubled, AGAIN_AT_LAST)


def _incident(key: str) -> str:
    """The incident that a key names; empty for those of somebody else's pages, which may be anything."""
    id_ = key.partition("/")[0]
    number = id_.removeprefix("INC-")
    return id_ if number != id_ and number.isascii() and number.isdigit() else ""


def _ring(incident: Incident, key: str) -> Ring | None:
    """The open page of a key, which a pager may know in a shorter form."""
    for ring in incident.rings:
        if key == ring.key or any(key == fold_key(ring.key, limit) for limit in LIMITS):
            return ring
    return None
