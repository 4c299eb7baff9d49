"""What became of the errands: done, to be tried again, or given up; and the events that tell of it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.engine.drain import Drained, page_for
from relay.engine.submit import NoSuchIncident, submit
from relay.incident.decide import Rules
from relay.incident.effects import Page, ResolvePage
from relay.incident.events import Delivered, Measured, Undeliverable
from relay.incident.incident import Incident
from relay.incident.lifecycle import NotNow
from relay.integrations.courier import Again, Never
from relay.store.outbox import Errand
from relay.store.transaction import Transaction

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(seconds=60)


NOT_CLOSED = "RelayPageNotClosed"

Said = Delivered | Measured | Again | Never | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a courier said of an errand: an event, nothing worth telling, or one of the two refusals."""

    errand: Errand
    said: Said


def settle(transaction: Transaction, answers: Sequence[Answer], rules: Rules, now: datetime) -> None:
    """Take answers in. An errand that somebody else has finished meanwhile is left alone."""
    again = [answer for answer in answers if isinstance(answer.said, Again)]
    # who ends a page holds its incident: that is waited for, so that the end is seen, and the page not tried again
    transaction.incidents.load({answer.errand.incident for answer in again} - {""}, alerts=False)
    for answer in again:
        if answer.errand.until <= now:
            continue  # its claim has ended: it is due by itself, or another process carries it out
        assert isinstance(answer.said, Again)
        wait = answer.said.after or back_off(answer.errand.ref, answer.errand.attempts)
        transaction.outbox.postpone(answer.errand.ref, now + wait)
        transaction.expect(now + wait)
    finished = [answer for answer in answers if not isinstance(answer.said, Again)]
    if not finished:
        return
    mine = transaction.outbox.done(answer.errand.ref for answer in finished)
    refused = [a.errand.effect for a in finished if isinstance(a.said, Never) and a.errand.ref in mine]
    transaction.outbox.forget_news(effect.key for effect in refused if isinstance(effect, Page))
    telling = [answer for answer in finished if answer.errand.ref in mine and answer.said is not None]
    plain = {answer.errand.incident for answer in telling if isinstance(answer.said, Delivered)}
    transaction.incidents.load({answer.errand.incident for answer in telling} - plain)
    transaction.incidents.load(plain, alerts=False)  # that a page has arrived moves nothing that looks at alerts
    for answer in telling:
        try:
            alerts = not isinstance(answer.said, Delivered)
            decision = submit(transaction, answer.errand.incident, _event(answer), rules, now, alerts=alerts)
        except (NotNow, NoSuchIncident):
            continue  # the incident went on without this answer
        if isinstance(answer.said, Never) and isinstance(answer.errand.effect, ResolvePage):
            _page_for_open_page(transaction, answer.errand, decision.incident, rules, now)


def _page_for_open_page(
    transaction: Transaction, errand: Errand, incident: Incident, rules: Rules, now: datetime
) -> None:
    """A page that its target refuses to close rings on there for nothing: let somebody close it by hand."""
    key = errand.effect.key
    never_taken = any(ring.key == key for ring in incident.refused)
    closed_there = any(ring.key.startswith(f"{key}+") for ring in incident.rings)
    if never_taken or closed_there or incident.group.get("alertname") == NOT_CLOSED:
        return  # the last is the page that told of it: the same target would refuse that one's end as well
    target = errand.effect.target
    labels = {"alertname": NOT_CLOSED, "target": target}
    summary = (
        f"{target} has refused to close a page of {incident.id} that is needed no more: close it there by hand. "
        "Others: relay outbox --refused"
    )
    page_for(transaction, f"not-closed-{target}", labels, summary, rules, now, Drained())


def back_off(ref: int, attempts: int) -> timedelta:
    """How long to wait before an errand is tried again: doubling from a second to a minute, spread by a fifth.

    The spread depends on the errand and the attempt alone, so that a story told again waits the same.
    """
    doublings: int = 2 ** min(attempts, 10)
    wait = min(FIRST_WAIT * doublings, LONGEST_WAIT)
    spread: float = random.Random(f"{ref}/{attempts}").uniform(0.8, 1.2)
    return wait * spread


def _event(answer: Answer) -> Delivered | Measured | Undeliverable:
    effect = answer.errand.effect
    if isinstance(answer.said, Never):
        return Undeliverable(type(effect).__name__, effect.key, effect.target, str(answer.said))
    assert isinstance(answer.said, Delivered | Measured)
    return answer.said
