"""Synthetic probes beside Debian's blackbox_exporter, against a local nginx: CPU, punctuality, truth, memory.

blackbox_exporter has no schedule of its own: an asker in a process of its own asks it for as many probes a second, and
only the exporter's CPU counts. The worker is asked for its metrics every second meanwhile. How long its loop is held up
is what a heartbeat in the worker itself says (`heart`).
"""

import asyncio
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import trustme

from relay.demo.processes import free_port
from relay.demo.programs import need
from tests.bench.bench import ROOT, Bench, Row
from tests.bench.heart import read_beats
from tests.bench.load import at
from tests.bench.peers import Peer

SECONDS = 12
TAKEN = "probe files taken into use"
"""What a worker's log says after a reload."""
DELAY = 0.05
"""Seconds that the slow target takes to answer."""


class Nginx(Peer):
    """The target: plain on `port`, encrypted on `secure`."""

    name = "nginx"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, 0)
        self.secure = free_port()

    def prepare(self) -> None:
        made = trustme.CA().issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
        made.private_key_and_cert_chain_pem.write_to_path(str(self.directory / "pem"))
        (self.directory / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; error_log stderr; pid {self.directory}/pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {self.directory}; proxy_temp_path {self.directory};
  fastcgi_temp_path {self.directory}; uwsgi_temp_path {self.directory}; scgi_temp_path {self.directory};
  server {{
    listen 127.0.0.1:{self.port}; listen 127.0.0.1:{self.secure} ssl;
    ssl_certificate {self.directory}/pem; ssl_certificate_key {self.directory}/pem;
    location / {{ return 200 '{{"status": "ok", "text": "all is well with the shop and its ledger"}}'; }}
  }}
}}
""")

    def command(self) -> list[str]:
        program = str(need(["nginx"], print)["nginx"])
        return [program, "-c", str(self.directory / "nginx.conf"), "-p", str(self.directory)]


class Blackbox(Peer):
    """Debian's blackbox_exporter."""

    name = "blackbox"
    ready = "/-/healthy"

    def prepare(self) -> None:
        module = "{{prober: http, timeout: 5s, http: {{preferred_ip_protocol: ip4, {more}}}}}"
        tls = "tls_config: {insecure_skip_verify: true}"
        (self.directory / "blackbox.yml").write_text(
            f"modules: {{plain: {module.format(more='method: GET')}, secure: {module.format(more=tls)}}}"
        )

    def command(self) -> list[str]:
        program = need(["prometheus-blackbox-exporter"], print)["prometheus-blackbox-exporter"]
        listen = [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"]
        return [str(program), "--config.file=blackbox.yml", *listen]


class Worker(Peer):
    """relay-synthetic with so many checks of one target."""

    name = "worker"
    ready = "/-/ready"

    def __init__(self, directory: Path, target: str, count: int, interval: str) -> None:
        super().__init__(directory, 0)
        self._target, self._count, self._interval = target, count, interval

    def prepare(self, more: str = "") -> None:
        check = f"kind: http, target: '{self._target}', interval: {self._interval}, timeout: 5s, tls: {{verify: false}}"
        lines = (f"  - {{name: c{n}, {check}, service: s{n % 50}{more}}}" for n in range(self._count))
        (self.directory / "probes.yaml").write_text("checks:\n" + "\n".join(lines) + "\n")

    def command(self) -> list[str]:
        where = ["--location", "here", "--rules", "probes.yaml", "--listen", f"127.0.0.1:{self.port}"]
        return [sys.executable, "-m", "synthetic", *where]

    def scrape(self) -> str:
        """All metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def told(self) -> dict[str, list[float]]:
        """All values of each metric."""
        found: dict[str, list[float]] = {}
        for line in self.scrape().splitlines():
            name, _, rest = line.partition("{")
            if rest and not line.startswith("#"):
                found.setdefault(name, []).append(float(rest.rpartition(" ")[2]))
        return found

    def reload(self, more: str) -> None:
        """Change every check, and let the worker take that."""
        self.prepare(more)
        log = self.directory / f"{self.name}.log"
        before = log.read_text().count(TAKEN)
        self.child.send_signal(signal.SIGHUP)
        until = time.monotonic() + 120
        while log.read_text().count(TAKEN) == before:
            assert time.monotonic() < until, "the files were not taken"
            time.sleep(0.1)


class Beating(Worker):
    """A worker with a heartbeat, told when it has stopped."""

    def command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("heart.py")), "probes.yaml", str(self.port)]

    def late(self, windows: list[tuple[float, float]]) -> list[float]:
        """Milliseconds by which beats within these times were late, in order."""
        return sorted(
            late for at_, late in read_beats(self.directory) if any(begin <= at_ <= end for begin, end in windows)
        )


@contextmanager
def up(peer: Peer) -> Iterator[Peer]:
    """Run a peer."""
    peer.directory.mkdir(parents=True, exist_ok=True)
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


def _worker_cost(bench: Bench, target: str, rate: int) -> float:
    """CPU seconds for 1,000 probes at a rate, with a scrape a second."""
    with up(Worker(_place(bench), target, rate * 10, "10s")) as worker:
        time.sleep(3)
        runs, before, until = _runs(worker), worker.cpu(), time.monotonic() + SECONDS
        while time.monotonic() < until:
            worker.told()
            time.sleep(1)
        return 1000 * (worker.cpu() - before) / (_runs(worker) - runs)


def _blackbox_cost(bench: Bench, target: str, module: str, rate: int) -> float:
    with up(Blackbox(_place(bench), 0)) as blackbox:
        url = f"http://127.0.0.1:{blackbox.port}/probe?module={module}&target={target}"
        asker = [sys.executable, "-m", "tests.bench.probes", url, str(rate)]
        subprocess.run([*asker, "2"], check=True, cwd=ROOT, capture_output=True)
        before = blackbox.cpu()
        done = subprocess.run([*asker, str(SECONDS)], check=True, cwd=ROOT, capture_output=True, text=True)
        return 1000 * (blackbox.cpu() - before) / int(done.stdout)


def _runs(worker: Peer) -> float:
    assert isinstance(worker, Worker)
    return sum(worker.told()["probe_runs_total"])


def _place(bench: Bench) -> Path:
    bench.count += 1
    return bench.directory / f"probes-{bench.count}"


def cost(bench: Bench, rounds: int) -> list[Row]:
    """CPU of 1,000 probes at 100 a second, in the order A B B A."""
    rows = []
    with up(Nginx(_place(bench))) as nginx:
        assert isinstance(nginx, Nginx)
        plain, secure = f"http://127.0.0.1:{nginx.port}/", f"https://127.0.0.1:{nginx.secure}/"
        for what, target, module, aim in (("HTTP", plain, "plain", "<= 0.8"), ("HTTPS", secure, "secure", "<= 1.3")):
            ratios = []
            for _ in range(rounds):
                mine = _worker_cost(bench, target, 100)
                theirs = _blackbox_cost(bench, target, module, 100) + _blackbox_cost(bench, target, module, 100)
                ratios.append((mine + _worker_cost(bench, target, 100)) / theirs)
            rows.append(Row(f"CPU per {what} probe at 100/s: worker / blackbox_exporter", ratios, aim))
    return rows


def punctual(bench: Bench, rounds: int) -> list[Row]:
    """300 probes a second of a target with a known delay: how late they begin, and how true what they measure is.

    A plain client, one request at a time, asks the same target meanwhile: what it is off by is the machine's.
    """
    port = free_port()
    slow = subprocess.Popen([sys.executable, "-m", "tests.bench.probes", "serve", str(port)], cwd=ROOT)
    lags, errors, floors = [], [], []
    try:
        for _ in range(rounds):
            with up(Worker(_place(bench), f"http://127.0.0.1:{port}/", 3000, "10s")) as worker:
                assert isinstance(worker, Worker)
                time.sleep(SECONDS)
                plain = subprocess.Popen(
                    [sys.executable, "-m", "tests.bench.probes", "measure", str(port), str(SECONDS)],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                )
                while plain.poll() is None:
                    worker.scrape()
                    time.sleep(1)
                told = worker.told()
                lags.append(at(sorted(told["probe_start_lag_seconds"]), 0.99) * 1000)
                errors.append(at(sorted(abs(took - DELAY) for took in told["probe_duration_seconds"]), 0.99) * 1000)
                floors.append(float(plain.communicate()[0]))
    finally:
        slow.terminate()
        slow.wait()
    beyond = [error - floor for error, floor in zip(errors, floors, strict=True)]
    return [
        Row("300 probes/s, scraped each second: start lag p99", lags, "<= 50", "ms"),
        Row("300 probes/s, scraped each second: p99 error of what is measured", errors, "", "ms"),
        Row("300 probes/s: p99 error of a plain client at the same time", floors, "", "ms"),
        Row(
            "300 probes/s: error beyond the plain client's",
            beyond,
            "<= 2",
            "ms",
        ),
    ]


def many(bench: Bench, rounds: int) -> list[Row]:
    """10,000 checks: memory, also after reloads; how late the loop is at rest, while scraped, and while it reloads."""
    with ExitStack() as stack:
        nginx = stack.enter_context(up(Nginx(_place(bench))))
        worker = stack.enter_context(up(Beating(_place(bench), f"http://127.0.0.1:{nginx.port}/", 10_000, "60s")))
        assert isinstance(worker, Beating)
        time.sleep(62)
        memory = worker.memory()
        rest = [_during(lambda: time.sleep(10))]
        scrapes = [_during(worker.scrape) for _ in range(5)]
        series = sum(map(len, worker.told().values()))
        lag = at(sorted(worker.told()["probe_start_lag_seconds"]), 0.99) * 1000
        scraped = worker.memory()
        reloads = [_during(lambda more=more: worker.reload(more)) for more in (", tags: [a]", ", layer: network")]
        time.sleep(62)
        reloaded = worker.memory()
    took = [end - begin for begin, end in scrapes]
    rows = [
        Row(f"10,000 checks, {series} series: memory", [memory], "<= 250", "MiB"),
        Row("10,000 checks: memory, once scraped", [scraped], "<= 250", "MiB"),
        Row("10,000 checks: memory, after two reloads that change them all", [reloaded], "<= 250", "MiB"),
        Row("10,000 checks: a scrape takes", took, "", "s"),
        Row("10,000 checks: a reload takes", [end - begin for begin, end in reloads], "", "s"),
        Row("10,000 checks: start lag p99", [lag], "", "ms"),
    ]
    for what, windows, most in (
        ("at rest", rest, ""),
        ("while scraped", scrapes, "<= 10"),
        ("while it reloads", reloads, ""),
    ):
        late = worker.late(windows)
        rows.append(Row(f"10,000 checks, {what}: the loop is late, p99", [at(late, 0.99)], most, "ms"))
        rows.append(Row(f"10,000 checks, {what}: the loop is late, at most", [late[-1]], "", "ms"))
    return rows


def _during(what: Callable[[], object]) -> tuple[float, float]:
    """Do something; gives when it began and ended, by the machine's monotonic clock."""
    began = time.monotonic()
    what()
    return began, time.monotonic()


# ---- processes of their own -------------------------------------------------------------------------------------


async def ask(url: str, rate: int, seconds: float) -> int:
    """Ask for so many a second; gives how many were answered."""
    port, path = int(url.split(":")[2].split("/")[0]), "/" + url.split("/", 3)[3]
    done = 0

    async def one() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        done += b"probe_success 1" in await reader.read()
        writer.close()

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for count in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + (count + random.random()) / rate - time.monotonic()))
            tasks.create_task(one())
    return done


def measure(port: int, seconds: float) -> float:
    """Milliseconds that a plain client is off by, at the 99th percentile."""
    errors, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(4096)
        errors.append(abs(time.perf_counter() - began - DELAY))
    return at(sorted(errors), 0.99) * 1000


async def serve(port: int) -> None:
    """Answer after the known delay."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = time.perf_counter()
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(max(0.0, began + DELAY - 0.0005 - time.perf_counter()))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(one, "127.0.0.1", port, backlog=2048) as server:
        await server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", port]:
            asyncio.run(serve(int(port)))
        case ["measure", port, seconds]:
            print(measure(int(port), float(seconds)))
        case [url, rate, seconds]:
            print(asyncio.run(ask(url, int(rate), float(seconds))))
