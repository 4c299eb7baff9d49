"""`relay backtest`: what it asks of Prometheus, what people read, and what it says when it cannot be done."""

import asyncio
import json
import math
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import requests
from click.testing import CliRunner
from service import TOKENS, service
from world import told

from relay.cli import main
from relay.cli.history import History as Past
from relay.clock import WallClock
from relay.config.promql import comparison, read_query
from relay.demo.standins import pagerduty
from relay.reports.backtest import Grid, firings, runs

END = datetime(2026, 1, 8, tzinfo=UTC)


def relay(*words, columns=80, **environment):
    env = {"COLUMNS": str(columns), **environment}
    return CliRunner().invoke(main, ["backtest", *map(str, words)], env=env, catch_exceptions=False)


# ---- a Prometheus that is a function of time --------------------------------------------------------------------


def told_as(**answer) -> bytes:
    return json.dumps(answer).encode()


def matrix(*series, **more) -> bytes:
    return told_as(status="success", data={"resultType": "matrix", "result": series}, **more)


@dataclass
class History:
    """A stand-in that evaluates `series` (a name to a function of POSIX seconds) and refuses what Prometheus does."""

    series: dict[str, Callable[[float], float | None]]
    token: str = ""
    answer: tuple[int, bytes] | None = None
    warnings: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def range(self, form: dict[str, str]) -> tuple[int, bytes]:
        start, end, step = (float(form[name]) for name in ("start", "end", "step"))
        if (end - start) / step > 11_000:
            return 400, json.dumps(
                {"status": "error", "error": "exceeded maximum resolution of 11,000 points"}
            ).encode()
        times = [start + step * i for i in range(int((end - start) / step) + 1)]
        result = []
        for name, value in self.series.items():
            values = [[t, str(v).replace("nan", "NaN")] for t in times if (v := value(t)) is not None]
            if values:
                result.append({"metric": {"__name__": "x", "service": name}, "values": values})
        return 200, matrix(*result, warnings=self.warnings)


@contextmanager
def prometheus(series: dict[str, Callable[[float], float | None]] | None = None, **more) -> Iterator[History]:
    history = History(series or {}, **more)

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            history.asked.append(form)
            if history.token and self.headers.get("Authorization") != f"Bearer {history.token}":
                status, answer = 401, b"who are you?"
            elif self.path != "/api/v1/query_range":
                status, answer = 404, b"404 page not found"
            else:
                status, answer = history.answer or history.range(form)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    history.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield history
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def minute(at: float) -> int:
    """Minutes before END."""
    return round((END.timestamp() - at) / 60)


def between(*spans: tuple[int, int], low: float = 1.0, high: float = 10.0) -> Callable[[float], float]:
    """High from one minute before END to another, both included; else low."""
    return lambda at: high if any(first >= minute(at) >= last for first, last in spans) else low


# ---- what is told -----------------------------------------------------------------------------------------------


def test_people_read_how_often_it_fires_and_what_else_could_be_asked_for():
    with prometheus({"web": between((300, 281), (200, 197)), "api": between((250, 241))}) as history:
        said = relay("x > 5", "--for", "5m", "--since", "1d", "--until", END, "--prometheus", history.url)
    assert (said.exit_code, said.stderr) == (0, "")
    assert [form["query"] for form in history.asked] == ["x"]
    lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
    assert lines[0] == "x > 5 for 5m"
    assert lines[1] == "2026-01-07 00:00 to 2026-01-08 00:00 UTC, evaluated every 1m; 2 series"
    assert "It would have fired 2 times; 1 ended by themselves within 5m." in lines
    assert "for 20m in all: 1.39% of the time." in lines
    assert 'service="web" 1 0 15m 15m 15m 1.04%' in lines
    assert 'service="api" 1 1 5m 5m 5m 0.35%' in lines
    assert "0s 3 1 34m 2.36%" in lines
    assert "5m (asked) 2 1 20m 1.39%" in lines
    assert "15m 1 1 5m 0.35%" in lines
    assert "5 (asked) 2 1 20m 1.39%" in lines
    assert "10 0 0 0s 0.00%" in lines


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_everything_fits_the_terminal_and_nothing_is_coloured_outside_of_one(columns):
    with prometheus({"a-service-with-quite-a-long-name" * 3: between((300, 281)), "b": between((90, 2))}) as history:
        said = relay("x > 5", "--since", "1d", "--until", END, "--prometheus", history.url, columns=columns)
    lines = said.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert max(len(line) for line in lines if "│" in line) == columns
    assert "\x1b" not in said.stdout


def test_machines_get_the_same():
    with prometheus({"web": between((300, 281), (10, 0)), "api": between((250, 241))}) as history:
        words = ("x > 5", "--for", "5m", "--since", "1d", "--until", END, "--prometheus", history.url)
        said = json.loads(relay(*words, "-o", "json").stdout)
    assert (said["threshold"], said["for"], said["step"]) == (5, 300, 60)
    assert (said["start"], said["end"]) == ("2026-01-07T00:00:00+00:00", "2026-01-08T00:00:00+00:00")
    assert (said["whole"]["firings"], said["whole"]["short"], said["whole"]["unended"]) == (3, 1, 1)
    assert said["whole"]["firing"] == (15 + 5 + 6) * 60
    assert [one["labels"]["service"] for one in said["series"]] == ["web", "api"]
    assert {row["for"]: row["firings"] for row in said["by_for"]} == {
        0: 3, 60: 3, 120: 3, 300: 3, 600: 2, 900: 1, 1800: 0
    }  # fmt: skip
    assert [row["threshold"] for row in said["by_threshold"]] == [2.5, 3.75, 4.5, 5, 5.5, 6.25, 7.5, 10]


def test_a_long_time_is_asked_for_in_parts_and_put_together_again():
    spans = [(end + 25_000, end) for end in (3_000,)]
    with prometheus({"web": between(*spans)}) as history:
        words = ("x > 5", "--since", "30d", "--until", END, "--prometheus", history.url, "-o", "json")
        said = json.loads(relay(*words).stdout)
    assert len(history.asked) == 5
    assert (said["whole"]["firings"], said["whole"]["firing"]) == (1, 25_001 * 60)


def test_an_expression_that_compares_nothing_is_asked_for_as_it_is():
    with prometheus({"web": lambda at: 0.0 if 30 >= minute(at) >= 21 else None}) as history:
        words = ("x > bool 5", "--since", "1h", "--until", END, "--prometheus", history.url)
        said = relay(*words)
        plain = json.loads(relay(*words, "-o", "json").stdout)
    assert history.asked[0]["query"] == "x > bool 5"
    assert "for how many series it is true" in said.stdout
    assert "threshold" not in said.stdout
    assert (plain["whole"]["firing"], plain["threshold"], plain["by_threshold"]) == (600, None, [])


def test_gaps_and_what_is_no_number_end_a_firing():
    holes = {40: None, 30: math.nan}
    with prometheus({"web": lambda at: holes.get(minute(at), 10.0)}) as history:
        words = ("x > 5", "--since", "1h", "--until", END, "--prometheus", history.url)
        said = relay(*words)
        plain = json.loads(relay(*words, "-o", "json").stdout)
    assert "1 of 61 evaluations have no sample" in said.stdout
    assert "It still fired at the end (1)." in said.stdout
    assert (plain["whole"]["firings"], plain["whole"]["firing"]) == (3, 59 * 60)


def test_nothing_there_is_told_as_that():
    with prometheus() as history:
        assert "has no sample" in relay("x > 5", "--prometheus", history.url).stdout
        assert "It was never true." in relay("x > y", "--prometheus", history.url).stdout
    with prometheus({"web": lambda at: 1.0}) as history:
        assert "It would not have fired." in relay("x > 5", "--since", "1h", "--prometheus", history.url).stdout


def test_warnings_and_the_token_pass(tmp_path):
    (tmp_path / "token").write_text("hunter2\n")
    with prometheus({"web": lambda at: 1.0}, token="hunter2", warnings=["a store is away"]) as history:
        words = ("x > 5", "--since", "1h", "--prometheus", history.url)
        said = relay(*words, "--prometheus-token-file", tmp_path / "token")
        refused = relay(*words)
    assert said.stdout.count("Prometheus warns: a store is away") == 1
    assert refused.exit_code == 3
    assert refused.stderr == "Prometheus: answered HTTP 401: give --prometheus-token-file\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, told_as(status="error", error="1:1: parse error")), "refused it (HTTP 400): 1:1: parse error"),
        ((422, told_as(status="error", error="query processing would load too many samples")), "a larger --step"),
        ((503, b"down"), "answered HTTP 503: check --prometheus"),
        ((302, b""), "answered HTTP 302: check --prometheus"),
        ((200, b"<html>"), "the answer is not Prometheus'"),
        ((200, b"[]"), "the answer is not Prometheus'"),
        ((200, told_as(status="success", data={"resultType": "vector", "result": []})), "is not Prometheus'"),
        ((200, matrix({"metric": {}, "histograms": []})), "native histograms"),
    ],
)  # fmt: skip
def test_what_prometheus_cannot_answer_is_told(answer, words):
    with prometheus(answer=answer) as history:
        said = relay("x > 5", "--prometheus", history.url)
    assert said.exit_code == 3
    assert said.stderr.startswith("Prometheus: ")
    assert words in said.stderr


def test_more_samples_than_can_be_held_are_refused():
    with prometheus({str(n): lambda at: 1.0 for n in range(10)}) as history:
        said = relay("x > 5", "--since", "300d", "--until", END, "--prometheus", history.url)
    assert len(history.asked) == 1
    assert said.exit_code == 3
    assert "aggregate the expression, take a larger --step or a shorter --since" in said.stderr


def test_a_prometheus_that_is_not_there():
    said = relay("x > 5", "--prometheus", "http://user:hunter2@127.0.0.1:9")
    assert said.exit_code == 3
    assert said.stderr == "Prometheus: cannot be reached (ConnectionError): check --prometheus\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["sum("], "write PromQL: unclosed left parenthesis"),
        (["x > 5", "--for", "soon"], "write a duration such as"),
        (["x > 5", "--until", "soon"], '"soon" is not a time'),
        (["x > 5", "--step", "0s"], "write a --step of at least 1s"),
        (["x > 5", "--step", "1h", "--since", "1m"], "and a --since that is longer"),
        (["x > 5", "--step", "1s", "--since", "300d"], "25,920,001 evaluations are too many"),
        (["x > 5", "--match", "service=a"], "give --url too"),
        (["x > 5", "--match", "service", "--url", "http://x"], "write a matcher as Alertmanager does"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage(words, complaint):
    said = relay(*words)
    assert said.exit_code == 2
    assert complaint in " ".join(said.stderr.split())


# ---- the incidents that were ------------------------------------------------------------------------------------


async def test_the_firings_are_held_against_the_incidents_of_a_running_relay(tmp_path):
    now = WallClock().now().replace(second=0, microsecond=0)
    began = (now - timedelta(minutes=30)).isoformat()

    def high(at: float) -> float:
        return 10.0 if (now - timedelta(minutes=28)).timestamp() <= at else 1.0

    async with pagerduty.stand_in() as vendor, service(tmp_path, vendor.url) as running:
        for name in ("checkout", "search"):
            alert = told(service=name, starts=began)
            await running.post({"version": "4", "groupKey": "{}:{}", "alerts": [alert]})
        async with asyncio.timeout(5):
            while len((await running.ask("GET", "/api/v1/incidents", role="viewer"))[1]["incidents"]) < 2:
                await asyncio.sleep(0.01)
        with prometheus({"web": high}) as history:
            words = ("x > 5", "--since", "2h", "--prometheus", history.url, "--until", now.isoformat())
            at = f"http://127.0.0.1:{running.running.address[1]}"
            ask = {"RELAY_URL": at, "RELAY_TOKEN": TOKENS["viewer"]}
            said = await asyncio.to_thread(relay, *words, "--match", "service=checkout", **ask)
            plain = await asyncio.to_thread(relay, *words, "-o", "json", **ask)
            missed = await asyncio.to_thread(relay, "x > 50", *words[1:], **ask)
            short = ("x > 5", "--since", "10m", *words[3:])
            amid = await asyncio.to_thread(relay, *short, **ask)
            alone = await asyncio.to_thread(relay, *short, "--match", "service=other", **ask)
    assert said.exit_code == 0, said.output
    assert "It catches 1 of 1 incidents, a median of 2m after they began." in said.stdout
    assert "caught" in said.stdout
    assert [one["caught"] for one in json.loads(plain.stdout)["incidents"]] == [True, True]
    assert "It catches 0 of 2 incidents." in missed.stdout
    assert missed.stdout.count("  missed  INC-") == 2
    # incidents that had begun before are neither caught nor missed, and a firing amid them is not alone
    assert "Relay has recorded no such incident that began in that time." in amid.stdout
    assert "while there is none" not in amid.stdout
    assert "while there is none" not in alone.stdout, "nothing is known to be alone where no incident is known"


# ---- the real one -----------------------------------------------------------------------------------------------


@contextmanager
def real_prometheus(directory: Path, config: str, *options: str) -> Iterator[str]:
    """Run Prometheus in a directory; gives its address."""
    (directory / "prometheus.yml").write_text(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address={address}",
            *options,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(400):
            try:
                if requests.get(f"http://{address}/-/ready", timeout=1).status_code == 200:
                    break
            except requests.ConnectionError:
                pass
            time.sleep(0.05)
        else:
            raise AssertionError(f"Prometheus did not start in {directory}")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def backfilled(tmp_path):
    """A Prometheus that remembers ten days: two series, with spans above 5 and a day that is missing."""

    def lines() -> Iterator[str]:
        yield "# TYPE x gauge"
        for name, value in SERIES.items():
            for at in range(int(END.timestamp()) - 14_400 * 60, int(END.timestamp()) + 60, 60):
                if (number := value(at)) is not None:
                    yield f'x{{service="{name}"}} {number} {at}'
        yield "# EOF\n"

    (tmp_path / "x.txt").write_text("\n".join(lines()))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "x.txt"), str(tmp_path / "data")],
        check=True,
        capture_output=True,
    )
    with real_prometheus(tmp_path, "{}", "--storage.tsdb.retention.time=100y") as address:
        yield address


SERIES = {
    "web": between((13_000, 12_000), (9_999, 9_990), (100, 96)),
    "api": lambda at: None if 8_000 >= minute(at) > 6_560 else between((8_010, 6_500))(at),
}
LOOKBACK = 5
"""Minutes for which Prometheus takes the last sample for the present one."""


@pytest.mark.servers
def test_the_real_prometheus_remembers_what_was_put_into_it(backfilled):
    words = ("x > 5", "--for", "5m", "--since", "10d", "--until", END, "--prometheus", backfilled, "-o", "json")
    said = json.loads(relay(*words).stdout)
    web, api = (next(s for s in said["series"] if s["labels"]["service"] == name) for name in ("web", "api"))
    assert (web["firings"], web["firing"]) == (2, (1_001 - 5 + 10 - 5) * 60)
    # what is missing is missing from the end of the look-back on, and comes back pending
    assert api["firings"] == 2
    before, after = 8_010 - 8_000 + (LOOKBACK - 1) - 5, 6_560 - 6_500 + 1 - 5
    assert api["firing"] in ((before + after) * 60, (before + 1 + after) * 60)  # the border belongs to it up to 2.x
    assert said["whole"]["firings"] == 4
    assert said["whole"]["unended"] == 0

    as_written = json.loads(relay("(x > 5) or (x > 5)", *words[1:]).stdout)
    assert as_written["by_for"] == said["by_for"]


ALERTING = """\
groups:
  - name: g
    interval: 1s
    rules:
      - {record: tick, expr: vector(1)}
      - {alert: A, expr: vector((time() - time() % 1) % 7) > 2, for: 2s}
"""


def seconds(address: str, query: str) -> list[int]:
    """The seconds in which samples were written, in their order."""
    answer = requests.get(f"{address}/api/v1/query", params={"query": f"{query}[2m]"}, timeout=5).json()
    return [int(float(at)) for one in answer["data"]["result"] for at, _ in one["values"]]


@pytest.mark.servers
def test_it_fires_in_the_very_seconds_in_which_the_real_alert_did(tmp_path):
    """The rule runs in Prometheus, which writes ALERTS; afterwards the backtest says when it must have fired."""
    (tmp_path / "a.rules.yml").write_text(ALERTING)
    with real_prometheus(tmp_path, f"rule_files: [{tmp_path}/a.rules.yml]\n") as address:
        ticks: list[int] = []
        for _ in range(60):  # on a busy machine an evaluation may be missed: wait for a stretch in which none is
            time.sleep(1)
            ticks = seconds(address, "tick")[-17:]
            if len(ticks) == 17 and ticks[-1] - ticks[0] == 16:
                break
        assert ticks[-1] - ticks[0] == 16
        fired = set(seconds(address, 'ALERTS{alertname="A", alertstate="firing"}'))
        grid = Grid(datetime.fromtimestamp(ticks[0], UTC), timedelta(seconds=1), len(ticks))
        compared = comparison(read_query("vector((time() - time() % 1) % 7) > 2"))
        [series] = Past(address, "").fetch(compared.operand, grid)
    ours = firings(runs(series.samples, compared.holds), grid.steps(timedelta(seconds=2)))
    expected = {ticks[0] + i for first, behind in ours for i in range(first, behind)}
    since = ticks[0] + 7  # a run under way at the first tick has a past that the backtest does not see
    assert {at for at in fired if since <= at <= ticks[-1]} == {at for at in expected if at >= since} != set()
