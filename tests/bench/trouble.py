"""What is measured while something is wrong: a pager that is down, storms, kills, long absences; and PostgreSQL."""

import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.bench import ROOT, Bench, Row, Run, rounds_of
from tests.bench.ledger import Arrival, delays, read_accepted, read_arrivals
from tests.bench.load import at
from tests.bench.peers import Alertmanager, Bare, Peer, Relay, RelayOnPostgresql, SlowToAnswer

BACKLOG = 20_000
"""Pages that wait: what comes in seven minutes at 50 a second."""
ENOUGH = 6
"""Processors for two replicas, their database, two senders and a pager."""


def _pace(number: int) -> dict[str, int]:
    """50 webhooks a second for a while, with alerts of their own for each number."""
    return {"seconds": 8, "rate": 50, "connections": 20, "first": number * 10**6, "first_group": number * 10**6}


THRICE = [_pace(number) for number in (1, 2, 3)]


def pager_down(bench: Bench, rounds: int) -> list[Row]:
    """50 webhooks a second while the pager is well, answers 503, or does not answer: how long webhooks wait."""

    def accept(mood: str) -> float:
        with bench.up(Relay, mood) as (peer, _):
            runs = [bench.load(peer, pages=mood == "well", **load) for load in THRICE]
            if refused := sum(run.load["refused"] for run in runs):
                bench.broken.append(f"the pager is {mood}: {refused} webhooks were refused")
            return _p99(runs)

    rows = []
    for mood in ("down", "hang"):
        ratios = []
        for _ in range(rounds):
            well, bad, again, well_again = accept("well"), accept(mood), accept(mood), accept("well")
            ratios.append((bad + again) / (well + well_again))
        rows.append(Row(f"accept p99 while the pager is in the mood {mood!r} / well", ratios, "<= 1.2"))
    return [*rows, *_long_down(bench)]


def _long_down(bench: Bench) -> list[Row]:
    """The pager is down until many pages wait, and then well again: how long webhooks wait, and the ledger."""
    with bench.up(Relay) as (peer, _):
        well = _p99(bench.load(peer, **load) for load in THRICE)
    with bench.up(Relay, "down") as (peer, journal):
        shape = {"seconds": 300, "alerts": 50, "spread": 1, "connections": 8, "most": BACKLOG}
        runs = [bench.load(peer, pages=False, **shape)]
        bench.wait(peer, 300, pages=False)
        runs += [bench.load(peer, pages=False, **load) for load in THRICE]
        down = _p99(runs[1:])
        peer.pager.send_signal(signal.SIGUSR1)
        began = time.monotonic()
        while not read_arrivals(journal) and time.monotonic() < began + 60:
            time.sleep(0.1)
        began = time.monotonic()
        runs.append(bench.load(peer, pages=False, **_pace(4)))
        bench.wait(peer, 300)
        took = time.monotonic() - began
        log = peer.directory / "all.log"
        log.write_text("\n".join(run.log.read_text() for run in runs))
        bench.check(f"{BACKLOG} pages waited for a pager that was down", Run({}, 0, 0, log, peer), journal)
    rows = [("that is down", down, "<= 1.2"), ("that is well again", _p99(runs[-1:]), "")]
    return [
        *(
            Row(f"{BACKLOG:,} pages wait for a pager {how}: accept p99 / well", [p99 / well], target)
            for how, p99, target in rows
        ),
        Row(f"{BACKLOG:,} pages wait for a pager that is well again: pages/s", [(BACKLOG + 1_600) / took], "", "/s"),
    ]


def _p99(runs: Iterable[Run]) -> float:
    """The median of several: the p99 of 400 answers is one of four."""
    return statistics.median(run.load["p99"] for run in runs)


def storm(bench: Bench, rounds: int) -> list[Row]:
    """20,000 alerts in 10 seconds: 2,000 webhooks of 10 over 400 connections; and the same for Alertmanager."""
    shape = {"seconds": 10, "rate": 200, "alerts": 10, "connections": 400, "most": 20_000}
    with bench.up(Alertmanager) as (peer, journal):
        theirs = bench.load(peer, settle=8, **shape)
        last_of_theirs = _last_page(theirs.log, journal)
    with bench.up(Relay) as (peer, journal):
        mine = bench.load(peer, **shape)
        bench.check("storm", mine, journal)
        arrivals = read_arrivals(journal)
        accepted = read_accepted(mine.log)
        pages = len({arrival.key for arrival in arrivals if arrival.action == "trigger"})
        incidents = len(set(peer.known().values()))
        severe, mild = (at(delays(accepted, _pages(arrivals, told)), 0.99) for told in ("critical", "warning"))
    return [
        Row("storm of 20,000: p99 of the answers", [mine.load["p99"] * 1000], "<= 250", "ms"),
        Row("storm of 20,000: p99 of the answers, Relay / Alertmanager", [mine.load["p99"] / theirs.load["p99"]], ""),
        Row("storm of 20,000: last page after the last answer", [_last_page(mine.log, journal)], "<= 2", "s"),
        Row("storm of 20,000: the same of Alertmanager (group_wait 1s)", [last_of_theirs], "", "s"),
        Row(
            "storm of 20,000: p99 until a page, SEV-2 / SEV-4",
            [severe / mild],
            "<= 1",
        ),
        Row("storm of 20,000: pages / incidents", [pages / incidents], "<= 1"),
        Row("storm of 20,000: memory", [mine.memory], "<= 140", "MiB"),
        Row("storm of 20,000: answered other than 200", [float(mine.load["refused"])], "0", ""),
    ]


def _last_page(log: Path, journal: Path) -> float:
    triggers = [arrival.at for arrival in read_arrivals(journal) if arrival.action == "trigger"]
    return max(triggers) - max(read_accepted(log).values())


def _pages(arrivals: list[Arrival], severity: str) -> list[Arrival]:
    return [arrival for arrival in arrivals if arrival.action == "trigger" and arrival.severity == severity]


def postgresql(bench: Bench, rounds: int) -> list[Row]:
    """The receiving path, with the state in PostgreSQL; all of the way, closed loop of 8; and with two replicas."""

    def burst(kind: type[Peer]) -> float:
        with bench.up(kind) as (peer, journal):
            run = bench.load(peer, seconds=20, connections=200, most=2_000)
            if kind is RelayOnPostgresql:
                bench.check("PostgreSQL", run, journal)
            return run.load["per_second"]

    def all_in(kind: type[Peer]) -> float:
        with bench.up(kind) as (peer, _):
            return bench.load(peer, seconds=5).load["per_second"]

    received = rounds_of(bench, rounds, [Bare, RelayOnPostgresql], burst)
    decided = rounds_of(bench, rounds, [Relay, RelayOnPostgresql], all_in)
    rows = [
        Row(
            "PostgreSQL: a burst of 2,000 webhooks: answers/s, Relay / bare",
            [r[RelayOnPostgresql] / r[Bare] for r in received],
            ">= 0.3",
        ),
        Row(
            "PostgreSQL: webhooks/s decided and paged, closed loop of 8, PostgreSQL / SQLite",
            [r[RelayOnPostgresql] / r[Relay] for r in decided],
            "",
        ),
    ]
    if (processors := os.cpu_count() or 1) < ENOUGH:
        print(f"(two replicas on PostgreSQL are not measured: they need {ENOUGH} processors, here are {processors})")
        return rows
    return [*rows, Row("PostgreSQL: webhooks/s, two replicas / one", [_two(bench) for _ in range(rounds)], ">= 1.6")]


def _two(bench: Bench) -> float:
    with bench.up(RelayOnPostgresql) as (first, _):
        alone = bench.load(first, seconds=5).load["per_second"]
        second = RelayOnPostgresql(first.directory / "second", first.pager_port, database=first.database)
        second.start()
        try:
            with ThreadPoolExecutor() as both:
                loads = [
                    both.submit(bench.load, peer, seconds=5, first=start, first_group=start)
                    for peer, start in ((first, 10**6), (second, 2 * 10**6))
                ]
                together = sum(load.result().load["per_second"] for load in loads)
        finally:
            second.stop()
    return together / alone


def overdue(bench: Bench, rounds: int) -> list[Row]:
    """100,000 open alerts, and their second level falls due while Relay is down: when does its first page leave?"""
    with bench.up(SlowToAnswer) as (peer, journal):
        began = time.monotonic()
        bench.load(peer, seconds=600, alerts=50, connections=8, most=100_000)
        peer.stop()
        time.sleep(max(0.0, began + SlowToAnswer.wait - time.monotonic()))
        known = {arrival.key for arrival in read_arrivals(journal)}
        started = time.monotonic()
        peer.start()
        while not (late := [one for one in read_arrivals(journal) if one.key not in known]):
            if time.monotonic() > started + 60:
                bench.broken.append("100,000 open alerts: no overdue page left within a minute")
                return []
            time.sleep(0.1)
    return [
        Row(
            "100,000 open alerts: first overdue page after a start",
            [min(one.at for one in late) - started],
            "<= 5",
            "s",
        )
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
