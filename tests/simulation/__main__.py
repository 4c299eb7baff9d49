"""`python -m tests.simulation --seeds 2000`: many stories. `--from SEED --seeds 1` tells one again, exactly."""

import argparse
import logging
import multiprocessing
import os
import sys
import time
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.simulation import STEPS, simulate


def tell(asked: tuple[int, int]) -> tuple[int, str]:
    """Tell one story; gives what is wrong, empty when nothing is."""
    seed, steps = asked
    try:
        simulate(seed, steps)
    except Exception as error:
        return seed, f"{type(error).__name__}: {error}"
    return seed, ""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=2_000)
    options.add_argument("--from", type=int, default=0, dest="first")
    options.add_argument("--steps", type=int, default=STEPS)
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    options.add_argument("--verbose", action="store_true", help="print the story, of one seed")
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if chosen.verbose:
        print("\n".join(simulate(chosen.first, chosen.steps).trace))
        return 0
    began = time.monotonic()
    seeds = [(seed, chosen.steps) for seed in range(chosen.first, chosen.first + chosen.seeds)]
    failed = 0
    with multiprocessing.Pool(chosen.jobs) as pool:
        for seed, wrong in pool.imap_unordered(tell, seeds, chunksize=8):
            if wrong:
                failed += 1
                print(f"{wrong}\n  again: python -m tests.simulation --from {seed} --seeds 1 --steps {chosen.steps}\n")
    print(f"{len(seeds)} stories in {time.monotonic() - began:.0f} s, {failed} of them wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
