"""The bench: starts peers, loads them, and holds logs against each other. Figures are ratios within one round."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.demo.processes import free_port
from tests.bench.ledger import judge, read_accepted, read_arrivals
from tests.bench.peers import Peer, Relay

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Row:
    """A figure of one scenario."""

    figure: str
    rounds: list[float]
    target: str
    unit: str = "x"

    @property
    def middle(self) -> float:
        return statistics.median(self.rounds)

    @property
    def missed(self) -> bool:
        """Whether it has a target, and does not reach it; one that cannot be measured does not."""
        relation, _, bound = self.target.rpartition(" ")
        match relation:
            case "":
                return bool(bound) and self.middle != float(bound)
            case "<=":
                return not self.middle <= float(bound)
            case _:
                return not self.middle >= float(bound)

    def __str__(self) -> str:
        spread = f"{min(self.rounds):.2f} … {max(self.rounds):.2f}" if len(self.rounds) > 1 else ""
        missed = "missed" if self.missed else ""
        return f"{self.figure:<66} {self.middle:>8.2f} {self.unit:<4} {spread:<16} {self.target:<8} {missed}".rstrip()


@dataclass
class Run:
    """What one load on one peer gave."""

    load: dict
    cpu: float
    memory: float
    log: Path
    peer: Peer

    @property
    def alerts(self) -> int:
        return max(1, self.load["next"])

    @property
    def cpu_per_webhook(self) -> float:
        return self.cpu / max(1, self.load["webhooks"])


class Bench:
    """Starts peers and loads them, a fresh directory each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.count = 0
        self.broken: list[str] = []

    @contextmanager
    def up(self, kind: type[Peer], mood: str = "well") -> Iterator[tuple[Peer, Path]]:
        """Run a peer beside a pager in some mood; gives it and the pager's journal."""
        self.count += 1
        where = self.directory / f"{self.count:03d}-{kind.name}"
        where.mkdir()
        port, journal = free_port(), where / "pager.log"
        journal.touch()
        sink = str(Path(__file__).with_name("sink.py"))
        pager = subprocess.Popen([sys.executable, sink, str(port), str(journal), mood])
        peer = kind(where, port)
        peer.pager = pager
        try:
            peer.start()
            yield peer, journal
        finally:
            peer.stop()
            pager.terminate()
            pager.wait()

    def load(self, peer: Peer, settle: float = 1.0, *, pages: bool = True, **options: float) -> Run:
        """Load a peer, and let it finish what follows: with the pages, unless those cannot leave now."""
        log = peer.directory / f"accepted-{time.monotonic_ns()}.log"
        before = peer.cpu()
        result = subprocess.run(self.sender(peer, log, **options), capture_output=True, text=True, check=True, cwd=ROOT)
        self.wait(peer, 60, pages=pages)
        time.sleep(settle)
        return Run(json.loads(result.stdout), peer.cpu() - before, peer.memory(), log, peer)

    def wait(self, peer: Peer, seconds: float, *, pages: bool = True) -> None:
        """Let a Relay decide what waits, and carry out what follows."""
        until = time.monotonic() + seconds
        while isinstance(peer, Relay) and (peer.waiting() if pages else peer.undecided()) and time.monotonic() < until:
            time.sleep(0.1)

    def sender(self, peer: Peer, log: Path, **options: float) -> list[str]:
        more = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        where = ["--port", str(peer.port), "--path", peer.path, "--format", peer.format, "--log", str(log)]
        return [
            sys.executable,
            "-m",
            "tests.bench.load",
            *where,
            *(["--token", peer.token] if peer.token else []),
            *more,
        ]

    def check(self, what: str, run: Run, journal: Path) -> None:
        """Hold Relay's logs against each other; what is lost or doubled breaks the run."""
        assert isinstance(run.peer, Relay)
        time.sleep(0.5)
        verdict = judge(set(read_accepted(run.log)), read_arrivals(journal), run.peer.known())
        if not verdict.right:
            counts = f"{len(verdict.lost)} lost, {len(verdict.unpaged)} unpaged, {len(verdict.doubled)} doubled"
            self.broken.append(f"{what}: {counts}")


def rounds_of(bench: Bench, rounds: int, kinds: list[type[Peer]], one: Callable[[type[Peer]], float]) -> list[dict]:
    """Measure in the order A B C C B A; a round whose two figures of A differ by a quarter does not count."""
    kept: list[dict] = []
    noisy: list[dict] = []
    for _ in range(rounds * 2):
        there = [(kind, one(kind)) for kind in kinds]
        back = [(kind, one(kind)) for kind in reversed(kinds)]
        ends = there[0][1], back[-1][1]
        figures: dict[type[Peer], list[float]] = {}
        for kind, figure in (*there, *back):
            figures.setdefault(kind, []).append(figure)
        means = {kind: statistics.mean(values) for kind, values in figures.items()}
        (kept if max(ends) <= 1.25 * min(ends) else noisy).append(means)
        if len(kept) == rounds:
            return kept
    print("(this machine is noisy: no more quiet rounds were to be had)", flush=True)
    return kept or noisy
