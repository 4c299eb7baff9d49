"""Hearing news of pagers: an incident moves as if somebody had acted here; the pager that told is not told back."""

from collections.abc import Iterable
from datetime import datetime

import structlog

from relay.engine.submit import submit
from relay.incident.decide import Rules
from relay.incident.events import Acknowledged, Reopened, Resolved
from relay.incident.incident import Incident
from relay.incident.plan import Ring
from relay.integrations.fitting import fold_key
from relay.integrations.news import News
from relay.integrations.opsgenie import LONGEST_ALIAS
from relay.integrations.pagerduty_news import LONGEST_DEDUP_KEY
from relay.store.transaction import Transaction

log = structlog.get_logger()

LIMITS = (LONGEST_DEDUP_KEY, LONGEST_ALIAS)
"""Characters to which pagers' keys are folded."""


def hear(transaction: Transaction, news: Iterable[News], rules: Rules, now: datetime) -> None:
    """Take news in. News of a page that is not open, or that says what is known, changes nothing."""
    for one in news:
        id_ = one.key.partition("/")[0]
        transaction.incidents.load([id_])
        incident = transaction.incidents.get(id_)
        ring = _ring(incident, one.key) if incident else None
        if incident is None or ring is None or incident.phase not in ("triggered", "acknowledged"):
            continue
        log.info("news of a page", incident=id_, target=ring.target, what=one.what)
        if one.what == "acknowledged":
            if incident.phase == "triggered":
                submit(transaction, id_, Acknowledged(one.by, via=ring.key), rules, now)
            continue
        closed = submit(
            transaction, id_, Resolved(f"closed in {ring.target}", one.by, via=ring.key), rules, now
        ).incident
        if one.what == "timed_out" and closed.alerts:  # nobody says that it is over
            submit(transaction, id_, Reopened(f"{ring.target} has closed the page by itself"), rules, now)


def _ring(incident: Incident, key: str) -> Ring | None:
    """The open page of a key, which a pager may know in a shorter form."""
    for ring in incident.rings:
        if key == ring.key or any(key == fold_key(ring.key, limit) for limit in LIMITS):
            return ring
    return None
