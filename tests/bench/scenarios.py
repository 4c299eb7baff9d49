"""What is measured. Each scenario gives rows: a figure, its ratios (one a round), and what it should reach."""

import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import probes, windows
from tests.bench.bench import Bench, Row, Run, rounds_of
from tests.bench.ledger import delays, read_accepted, read_arrivals
from tests.bench.load import at
from tests.bench.peers import Alertmanager, Bare, Peer, Relay, Yardstick
from tests.bench.trouble import killed, overdue, pager_down, postgresql, storm


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

    kept = rounds_of(bench, rounds, [Bare, Relay, Alertmanager, Yardstick], one)
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

    kept = rounds_of(bench, rounds, [Bare, Relay], one)
    return [Row("a burst of 2,000 webhooks: answers/s, Relay / bare", [r[Relay] / r[Bare] for r in kept], ">= 0.5")]


def steady(bench: Bench, rounds: int) -> list[Row]:
    """50 webhooks a second, open loop, after a second of it that warms a peer up."""
    rows: dict[str, list[float]] = {name: [] for name in ("p99", "cpu", "p50 ms", "p99 ms")}
    for _ in range(rounds):
        figures: dict[type[Peer], list[Run]] = {}
        for kind in (Relay, Alertmanager, Alertmanager, Relay):
            with bench.up(kind) as (peer, journal):
                settle = 7 if kind is Alertmanager else 1
                bench.load(peer, seconds=1, rate=50, connections=20, settle=settle, first=20_000, first_group=20_000)
                run = bench.load(peer, seconds=8, rate=50, connections=20, settle=settle)
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
        first = peer.memory()
        peer.stop()
        peer.start()
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
        Row("idle: memory, after the start that makes the tables", [first], "", "MiB"),
        Row("idle: memory, after any other start", [idle], "<= 80", "MiB"),
        Row("100,000 open alerts: memory, Relay / Alertmanager", [mine / theirs], "<= 0.4"),
        Row("100,000 open alerts: memory", [mine], "", "MiB"),
        Row("100,000 open alerts: stopped to ready", [restart], "<= 3", "s"),
    ]


SCENARIOS: dict[str, Callable[[Bench, int], list[Row]]] = {
    "intake1": lambda bench, rounds: intake(bench, rounds, 1, ">= 1.0"),
    "intake10": lambda bench, rounds: intake(bench, rounds, 10, ">= 0.5"),
    "receiving": receiving,
    "steady": steady,
    "open": many_open,
    "memory": hundred_thousand,
    "pager": pager_down,
    "postgresql": postgresql,
    "overdue": overdue,
    "storm": storm,
    "windows": lambda bench, rounds: [
        Row("CPU per alert: 10,000 maintenance windows / 10", windows.ratios(rounds), "<= 1.3")
    ],
    "kill": killed,
    "probes": probes.cost,
    "punctual": probes.punctual,
    "checks": probes.many,
}


def run(depth: str, only: str) -> tuple[list[Row], list[str]]:
    """Run scenarios; gives their rows, and what broke."""
    rounds = {"smoke": 1, "full": 3}[depth]
    rows = []
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as directory:
        bench = Bench(Path(directory))
        Path(directory).chmod(0o755)  # PostgreSQL runs as somebody else
        python = f"Python {platform.python_version()} of {sys.base_prefix}"
        print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {python}", flush=True)
        for name, scenario in SCENARIOS.items():
            if not only or name in only.split(","):
                for row in scenario(bench, rounds):
                    print(row, flush=True)
                    rows.append(row)
        return rows, bench.broken
