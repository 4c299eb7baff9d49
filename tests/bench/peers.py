"""Those who are compared: each started fresh in a directory of its own, measured from outside, and stopped."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from relay.demo.processes import free_port
from relay.demo.programs import need
from tests.databases import Postgresql, postgresql

TOKEN = "bench-token"
HERTZ = os.sysconf("SC_CLK_TCK")


@dataclass
class Peer:
    """A process that takes alerts."""

    directory: Path
    pager_port: int
    port: int = field(default_factory=free_port)
    child: subprocess.Popen | None = None
    pager: subprocess.Popen | None = None

    name = ""
    format = "webhook"
    path = "/"
    ready = "/"
    token = ""

    def command(self) -> list[str]:
        raise NotImplementedError

    def prepare(self) -> None:
        """Write what it needs."""

    def start(self) -> float:
        """Start it; gives the seconds until it was ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.prepare()
        began = time.monotonic()
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.child = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory)
        while time.monotonic() < began + 30:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready}", timeout=2) as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except OSError:
                if self.child.poll() is not None:
                    break
            time.sleep(0.01)
        raise RuntimeError((self.directory / f"{self.name}.log").read_text()[-2000:])

    def stop(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(30)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def cpu(self) -> float:
        """CPU seconds so far, of all its threads."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / HERTZ

    def memory(self) -> float:
        """Proportional memory in MiB."""
        rollup = Path(f"/proc/{self.child.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


class Bare(Peer):
    """The floor of cost: reads, parses, answers, keeps nothing."""

    name = "bare"

    def command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("bare.py")), str(self.port)]


class Yardstick(Peer):
    """A minimal durable service: SQLite, group commit, an outbox, one page a group; no rules, no ends, no waiting."""

    name = "yardstick"

    def command(self) -> list[str]:
        where = [str(self.port), str(self.directory / "yardstick.db"), str(self.pager_port)]
        return [sys.executable, str(Path(__file__).with_name("yardstick.py")), *where]


class Relay(Peer):
    name = "relay"
    wait = 7200
    """Seconds that the first level has to answer."""
    path = "/api/v1/webhooks/alertmanager/bench"
    ready = "/-/ready"
    token = TOKEN

    def prepare(self) -> None:
        (self.directory / "rules").mkdir(exist_ok=True)
        (self.directory / "key").write_text("0" * 32)
        (self.directory / "token").write_text(TOKEN)
        (self.directory / "relay.yaml").write_text(f"sources: {{bench: {{token_file: {self.directory}/token}}}}\n")
        (self.directory / "rules" / "bench.yaml").write_text(f"""
targets:
  pager: {{type: pagerduty, routing_key_file: {self.directory}/key, per_minute: 0, url: "http://127.0.0.1:{self.pager_port}"}}
people: {{ada: {{via: pager}}}}
rotations: {{first: {{zone: Europe/Berlin, starts: 2026-01-05, people: [ada]}}}}
policies:
  bench: {{levels: [{{name: L1, page: [{{rotation: first}}], wait: {self.wait}s}}], last_resort: [{{target: pager}}]}}
route:
  policy: bench
  group_by: [alertname, cluster, namespace]
  routes: [{{matchers: ['team=~"nobody-.*"'], policy: bench}}, {{matchers: ['cluster="none"'], policy: bench}}]
severity:
  default: SEV-3
  rules:
    - {{severity: SEV-2, matchers: ['severity="critical"']}}
    - {{severity: SEV-4, matchers: ['severity="info"']}}
windows:
  - name: w
    reason: r
    owner: o
    zone: UTC
    weekly: {{days: [mon], from: "01:00", to: "02:00"}}
    matchers: ['job="x"']
""")

    def command(self) -> list[str]:
        where = ["--config", "relay.yaml", "--rules", "rules", "--data", "data", "--listen", f"127.0.0.1:{self.port}"]
        return [sys.executable, "-m", "relay", "serve", *where]

    def known(self) -> dict[str, str]:
        """Each alert that it knows, by bench id, and its incident. Read from its database, with it stopped or not."""
        database = sqlite3.connect(f"file:{self.directory / 'data' / 'relay.db'}?mode=ro", uri=True)
        rows = database.execute("select json_extract(labels, '$.bench_id'), incident from alert").fetchall()
        database.close()
        return dict(rows)

    def undecided(self) -> int:
        """Webhooks to decide."""
        return self.count("select count(*) from inbox where waiting = 1")

    def waiting(self) -> int:
        """Webhooks to decide and errands to carry out."""
        return self.undecided() + self.count("select count(*) from outbox")

    def count(self, query: str) -> int:
        database = sqlite3.connect(f"file:{self.directory / 'data' / 'relay.db'}?mode=ro", uri=True)
        [count] = database.execute(query).fetchone()
        database.close()
        return count


class SlowToAnswer(Relay):
    """Nobody answers, and the next level is due before long."""

    wait = 150


class RelayOnPostgresql(Relay):
    """With a PostgreSQL of its own, or that of another replica."""

    name = "relay-postgresql"

    def __init__(self, directory: Path, pager_port: int, database: Postgresql | None = None) -> None:
        super().__init__(directory, pager_port)
        self._stack = ExitStack()
        self.database = database or self._stack.enter_context(postgresql())

    def command(self) -> list[str]:
        return [*super().command(), "--database", self.database.url]

    def stop(self) -> None:
        super().stop()
        self._stack.close()

    def known(self) -> dict[str, str]:
        rows = self._ask("select labels::json ->> 'bench_id', incident from alert")
        return {str(id_): str(incident) for id_, incident in rows}

    def undecided(self) -> int:
        return self.count("select count(*) from inbox where waiting")

    def count(self, query: str) -> int:
        [(count,)] = self._ask(query)
        return int(count)

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.url) as connection:
            return connection.execute(query).fetchall()


class Alertmanager(Peer):
    """Debian's Alertmanager, grouped as people run it. It keeps alerts in memory only."""

    name = "alertmanager"
    format = "list"
    path = "/api/v2/alerts"
    ready = "/-/ready"

    def prepare(self) -> None:
        pager = f"{{routing_key: '{'0' * 32}', url: 'http://127.0.0.1:{self.pager_port}/v2/enqueue'}}"
        (self.directory / "am.yml").write_text(
            "route: {receiver: pager, group_by: [alertname, cluster, namespace], group_wait: 1s, group_interval: 5s, "
            f"repeat_interval: 4h}}\nreceivers: [{{name: pager, pagerduty_configs: [{pager}]}}]\n"
        )

    def command(self) -> list[str]:
        program = need(["prometheus-alertmanager"], print)["prometheus-alertmanager"]
        shutil.rmtree(self.directory / "am-data", ignore_errors=True)
        listen = [f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=error"]
        return [str(program), "--config.file=am.yml", "--storage.path=am-data", *listen]
