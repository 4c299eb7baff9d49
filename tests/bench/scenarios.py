"""What is measured. Each scenario gives rows: a figure, its ratios (one a round), and what it should reach."""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.demo.processes import free_port
from tests.bench import windows
from tests.bench.ledger import delays, judge, read_accepted, read_arrivals
from tests.bench.load import at
from tests.bench.peers import Alertmanager, Bare, Peer, Relay, Yardstick

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Row:
    """A figure of one scenario."""

    figure: str
    rounds: list[float]
    target: str
    unit: str = "x"

    def __str__(self) -> str:
        middle = statistics.median(self.rounds)
        spread = f"{min(self.rounds):.2f} … {max(self.rounds):.2f}" if len(self.rounds) > 1 else ""
        return f"{self.figure:<66} {middle:>8.2f} {self.unit:<4} {spread:<16} {self.target}"


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
        try:
            peer.start()
            yield peer, journal
        finally:
            peer.stop()
            pager.terminate()
            pager.wait()

    def load(self, peer: Peer, settle: float = 1.0, **options: float) -> Run:
        """Load a peer, and let it finish what follows."""
        log = peer.directory / f"accepted-{time.monotonic_ns()}.log"
        before = peer.cpu()
        result = subprocess.run(self.sender(peer, log, **options), capture_output=True, text=True, check=True, cwd=ROOT)
        until = time.monotonic() + 60
        while isinstance(peer, Relay) and peer.waiting() and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(settle)
        return Run(json.loads(result.stdout), peer.cpu() - before, peer.memory(), log, peer)

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


def _rounds(bench: Bench, rounds: int, kinds: list[type[Peer]], one: Callable[[type[Peer]], float]) -> list[dict]:
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


def intake(bench: Bench, rounds: int, alerts: int, target: str) -> list[Row]:
    """Webhooks a second, closed loop of 8: durable, decided and paged in Relay's case."""
    cpu: dict[type[Peer], list[float]] = {}

    def one(kind: type[Peer]) -> float:
        with bench.up(kind) as (peer, journal):
            run = bench.load(peer, seconds=5, alerts=alerts, settle=6 if kind is Alertmanager else 0.5)
            if kind is Relay:
                bench.check(f"intake of {alerts}", run, journal)
            cpu.setdefault(kind, []).append(run.cpu_per_webhook)
            return run.load["per_second"]

    kept = _rounds(bench, rounds, [Bare, Relay, Alertmanager, Yardstick], one)
    each = f"{alerts} alert{'s' if alerts > 1 else ''} a webhook"
    return [
        Row(f"intake, {each}: webhooks/s, Relay / Alertmanager", [r[Relay] / r[Alertmanager] for r in kept], target),
        Row(f"intake, {each}: webhooks/s, Relay / yardstick", [r[Relay] / r[Yardstick] for r in kept], ""),
        Row(f"intake, {each}: webhooks/s, Relay / bare handler", [r[Relay] / r[Bare] for r in kept], ""),
        Row(
            f"intake, {each}: CPU per webhook, Relay / Alertmanager",
            [statistics.median(cpu[Relay]) / statistics.median(cpu[Alertmanager])],
            "<= 1.5",
        ),
    ]


def receiving(bench: Bench, rounds: int) -> list[Row]:
    """How fast webhooks are made durable while deciding lags behind: 2,000 at once over 200 connections."""

    def one(kind: type[Peer]) -> float:
        with bench.up(kind) as (peer, _):
            return bench.load(peer, seconds=20, connections=200, most=2_000).load["per_second"]

    kept = _rounds(bench, rounds, [Bare, Relay], one)
    return [Row("a burst of 2,000 webhooks: answers/s, Relay / bare", [r[Relay] / r[Bare] for r in kept], ">= 0.5")]


def steady(bench: Bench, rounds: int) -> list[Row]:
    """50 webhooks a second, open loop."""
    rows: dict[str, list[float]] = {name: [] for name in ("p99", "cpu", "p50 ms", "p99 ms")}
    for _ in range(rounds):
        figures: dict[type[Peer], list[Run]] = {}
        for kind in (Relay, Alertmanager, Alertmanager, Relay):
            with bench.up(kind) as (peer, journal):
                run = bench.load(peer, seconds=8, rate=50, connections=20, settle=7 if kind is Alertmanager else 1)
                figures.setdefault(kind, []).append(run)
                if kind is Relay:
                    bench.check("steady", run, journal)
                    waits = delays(read_accepted(run.log), read_arrivals(journal))
                    rows["p50 ms"].append(at(waits, 0.5) * 1000)
                    rows["p99 ms"].append(at(waits, 0.99) * 1000)
        for name, of in (("p99", lambda run: run.load["p99"]), ("cpu", lambda run: run.cpu_per_webhook)):
            mine, theirs = (statistics.mean(map(of, figures[kind])) for kind in (Relay, Alertmanager))
            rows[name].append(mine / theirs)
    return [
        Row("50/s: accept p99, Relay / Alertmanager", rows["p99"], "<= 2"),
        Row("50/s: CPU per alert, all in, Relay / Alertmanager", rows["cpu"], "<= 1.5"),
        Row("50/s: from the answer to the page at the pager, p50", rows["p50 ms"], "<= 10", "ms"),
        Row("50/s: from the answer to the page at the pager, p99", rows["p99 ms"], "<= 30", "ms"),
    ]


def many_open(bench: Bench, rounds: int) -> list[Row]:
    """CPU per alert with 10,000 incidents open, beside that with 10."""
    ratios = []
    for _ in range(rounds):
        with bench.up(Relay) as (few, _):
            bench.load(few, seconds=30, most=10)
            small = bench.load(few, seconds=6, rate=50, connections=20, first=20_000, first_group=20_000)
        with bench.up(Relay) as (many, _):
            bench.load(many, seconds=120, most=10_000, connections=32)
            large = bench.load(many, seconds=6, rate=50, connections=20, first=20_000, first_group=20_000)
        ratios.append(large.cpu_per_webhook / small.cpu_per_webhook)
    return [Row("CPU per alert: 10,000 incidents open / 10", ratios, "<= 1.2")]


def hundred_thousand(bench: Bench, rounds: int) -> list[Row]:
    """100,000 open alerts in 2,000 groups of 50: memory, and the time to be ready again with all of them known."""
    shape = {"seconds": 600, "alerts": 50, "connections": 8, "most": 100_000}
    with bench.up(Relay) as (peer, _):
        idle = peer.memory()
        mine = bench.load(peer, **shape).memory
        peer.stop()
        restart = peer.start()
        known = len(peer.known())
    with bench.up(Alertmanager) as (peer, _):
        theirs = bench.load(peer, settle=8, **shape).memory
    if known != 100_000:
        bench.broken.append(f"100,000 open alerts: {known} known after the restart")
    return [
        Row("idle: memory", [idle], "<= 80", "MiB"),
        Row("100,000 open alerts: memory, Relay / Alertmanager", [mine / theirs], "<= 0.4"),
        Row("100,000 open alerts: memory", [mine], "", "MiB"),
        Row("100,000 open alerts: stopped to ready", [restart], "<= 3", "s"),
    ]


def pager_down(bench: Bench, rounds: int) -> list[Row]:
    """50 webhooks a second while the pager is well, answers 503, or does not answer: how long webhooks wait."""

    def accept(mood: str) -> float:
        with bench.up(Relay, mood) as (peer, _):
            run = bench.load(peer, seconds=8, rate=50, connections=20)
            if run.load["refused"]:
                bench.broken.append(f"the pager is {mood}: {run.load['refused']} webhooks were refused")
            return run.load["p99"]

    rows = []
    for mood in ("down", "hang"):
        ratios = []
        for _ in range(rounds):
            well, bad, again, well_again = accept("well"), accept(mood), accept(mood), accept("well")
            ratios.append((bad + again) / (well + well_again))
        rows.append(Row(f"accept p99 while the pager is in the mood {mood!r} / well", ratios, "<= 1.2"))
    return rows


def storm(bench: Bench, rounds: int) -> list[Row]:
    """20,000 alerts in 10 seconds: 2,000 webhooks of 10 over 400 connections."""
    with bench.up(Relay) as (peer, journal):
        run = bench.load(peer, seconds=10, rate=200, alerts=10, connections=400, most=20_000)
        bench.check("storm", run, journal)
        accepted = read_accepted(run.log)
        last = max(arrival.at for arrival in read_arrivals(journal)) - max(accepted.values())
    return [
        Row("storm of 20,000: p99 of the answers", [run.load["p99"] * 1000], "<= 250", "ms"),
        Row("storm of 20,000: last page after the last answer", [last], "<= 2", "s"),
        Row("storm of 20,000: memory", [run.memory], "<= 140", "MiB"),
        Row("storm of 20,000: answered other than 200", [float(run.load["refused"])], "0", ""),
    ]


def killed(bench: Bench, rounds: int) -> list[Row]:
    """kill -9 in a storm, at seeded moments; restarted at once; the ledger judges."""
    seeds = rounds * 4
    for seed in range(seeds):
        with bench.up(Relay) as (peer, journal):
            log = peer.directory / "accepted.log"
            command = bench.sender(peer, log, seconds=4, rate=150, alerts=5, connections=50)
            sender = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1 + random.Random(seed).uniform(0, 2))
            assert isinstance(peer, Relay)
            peer.kill()
            sender.wait()
            peer.start()
            until = time.monotonic() + 60
            while peer.waiting() and time.monotonic() < until:
                time.sleep(0.1)
            bench.check(f"kill -9, seed {seed}", Run({}, 0, 0, log, peer), journal)
    return [
        Row(f"kill -9 in a storm: accepted and lost, or doubled, in {seeds} tries", [float(len(bench.broken))], "0", "")
    ]


def run(depth: str, only: str) -> tuple[list[Row], list[str]]:
    """Run scenarios; gives their rows, and what broke."""
    rounds = {"smoke": 1, "full": 3}[depth]
    scenarios: dict[str, Callable[[Bench], list[Row]]] = {
        "intake1": lambda bench: intake(bench, rounds, 1, ">= 1.0"),
        "intake10": lambda bench: intake(bench, rounds, 10, ">= 0.5"),
        "receiving": lambda bench: receiving(bench, rounds),
        "steady": lambda bench: steady(bench, rounds),
        "open": lambda bench: many_open(bench, rounds),
        "memory": lambda bench: hundred_thousand(bench, rounds),
        "pager": lambda bench: pager_down(bench, rounds),
        "storm": lambda bench: storm(bench, rounds),
        "windows": lambda bench: [
            Row("CPU per alert: 10,000 maintenance windows / 10", windows.ratios(rounds), "<= 1.3")
        ],
        "kill": lambda bench: killed(bench, rounds),
    }
    rows = []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as directory:
        bench = Bench(Path(directory))
        print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors", flush=True)
        for name, scenario in scenarios.items():
            if not only or name in only.split(","):
                for row in scenario(bench):
                    print(row, flush=True)
                    rows.append(row)
        return rows, bench.broken
