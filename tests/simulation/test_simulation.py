"""Stories by seed. `make simulate SEEDS=20000` tells more of them."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from e2e.ledger import record

from relay.engine.settle import Answer
from relay.incident.effects import Page, ResolvePage
from relay.incident.events import Delivered
from relay.store.outbox import Outbox
from simulation.invariants import Broken
from simulation.simulation import STEPS, Simulation, simulate

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", range(12))
def test_a_story_keeps_every_promise(seed):
    simulate(seed)


@pytest.mark.servers
def test_the_same_seed_tells_the_same_story_in_any_process():
    """What fails in one of many processes fails again in one alone, whatever the order of its sets."""
    told = [tell("--from", "5", "--seeds", "1", "--verbose", PYTHONHASHSEED=seed).stdout for seed in ("1", "2")]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) > STEPS / 2
    assert told[0].splitlines() == simulate(5).trace
    assert simulate(4).trace != simulate(5).trace


def tell(*options, **environment):
    command = [sys.executable, "-m", "tests.simulation", *options]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


class Forgetful(Simulation):
    """Says that pages were closed, and closes none."""

    def _carry_out(self, replica, *, patient):
        for errand in [errand for errand in replica.under_way if isinstance(errand.effect, ResolvePage)]:
            replica.under_way.remove(errand)
            replica.answers.append(Answer(errand, None))
        super()._carry_out(replica, patient=patient)


class Careless(Simulation):
    """A pager is rung again for what is over."""

    def _rest(self):
        super()._rest()
        for key in list(self.pager.closed)[:1]:
            self.pager.answer(Page("pd-ada", key, None))


class LosesWebhooks(Simulation):
    """What has been accepted is thrown away."""

    def _take_in(self, bodies):
        super()._take_in([])


class LosesPages(Simulation):
    """Pages are said to be delivered, and reach no pager."""

    def _carry_out(self, replica, *, patient):
        for errand in pages(replica):
            replica.answers.append(Answer(errand, Delivered(errand.effect.key, errand.effect.target)))
        super()._carry_out(replica, patient=patient)


class LosesErrands(Simulation):
    """Pages that are claimed vanish, and nobody says what became of them."""

    def _carry_out(self, replica, *, patient):
        for errand in pages(replica):
            self.database.transact(lambda connection, ref=errand.ref: Outbox(connection).done([ref]))
        super()._carry_out(replica, patient=patient)


class DoublesPages(Simulation):
    """A page that is tried again goes by a key of its own."""

    def _carry_out(self, replica, *, patient):
        for place, errand in enumerate(replica.under_way):
            if isinstance(errand.effect, Page) and errand.attempts:
                effect = replace(errand.effect, key=f"{errand.effect.key}/{errand.attempts}")
                replica.under_way[place] = replace(errand, effect=effect)
        super()._carry_out(replica, patient=patient)


class Believes(Simulation):
    """An alert that no message ends any more is never missed."""

    def _ask_the_source(self):
        pass


def pages(replica):
    """Take the pages from what a process is carrying out."""
    taken = [errand for errand in replica.under_way if isinstance(errand.effect, Page)]
    replica.under_way = [errand for errand in replica.under_way if errand not in taken]
    return taken


MUTANTS = (Forgetful, Careless, LosesWebhooks, LosesPages, LosesErrands, DoublesPages, Believes)


@pytest.mark.parametrize("kind", MUTANTS)
def test_what_breaks_a_promise_is_caught(kind):
    with pytest.raises(Broken):
        tell_many(kind)


def tell_many(kind):
    for seed in range(20):
        simulate(seed, 25, kind)


@pytest.mark.servers
def test_two_thousand_stories():
    told = tell("--seeds", "2000", "--steps", "25")
    wrong = told.stdout.count("again: python")
    record("anything, by seed", "simulated: see contributing.md (stories, not alerts)", 2000, wrong, 0)
    assert told.returncode == 0, told.stdout[-5000:] + told.stderr[-1000:]
