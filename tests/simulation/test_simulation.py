"""Stories by seed. `make simulate SEEDS=20000` tells more of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from e2e.ledger import record

from relay.engine.settle import Answer
from relay.incident.effects import Page, ResolvePage
from simulation.invariants import Broken
from simulation.simulation import Simulation, simulate


@pytest.mark.parametrize("seed", range(12))
def test_a_story_keeps_every_promise(seed):
    simulate(seed)


def test_the_same_seed_tells_the_same_story():
    first, second = simulate(3), simulate(3)
    assert first.trace == second.trace
    assert first.digest == second.digest
    assert simulate(4).digest != first.digest


class Forgetful(Simulation):
    """Says that pages were closed, and closes none."""

    def _carry_out(self, *, patient):
        for errand in [errand for errand in self.under_way if isinstance(errand.effect, ResolvePage)]:
            self.under_way.remove(errand)
            self.answers.append(Answer(errand, None))
        super()._carry_out(patient=patient)


class Careless(Simulation):
    """A pager is rung again for what is over."""

    def _rest(self):
        super()._rest()
        for key in list(self.pager.closed)[:1]:
            self.pager.answer(Page("pd-ada", key, None))


@pytest.mark.parametrize("kind", [Forgetful, Careless])
def test_what_breaks_a_promise_is_caught(kind):
    with pytest.raises(Broken):
        _tell_many(kind)


def _tell_many(kind):
    for seed in range(20):
        simulate(seed, kind=kind)


@pytest.mark.servers
def test_two_thousand_stories():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.simulation", "--seeds", "2000", "--steps", "25"]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    wrong = told.stdout.count("again: python")
    record("anything, by seed", "simulated: see contributing.md (stories, not alerts)", 2000, wrong, 0)
    assert told.returncode == 0, told.stdout[-5000:]
