"""Metrics sent by remote write: to a real Prometheus, and to a receiver that is strict, or does not want them."""

import asyncio
import math
import struct
import sys
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from cramjam import snappy
from servers import running

from relay.clock import WallClock
from relay.demo.processes import free_port
from relay.demo.programs import need
from synthetic.checks import load
from synthetic.cli import main
from synthetic.exposition import Exposition
from synthetic.push import Receiver
from synthetic.remote_write import FORGOTTEN, WRITES, Writer, WriteRequest, follow
from synthetic.run import Result, label
from synthetic.watch import Watch

CHECKS = """
checks:
  - {name: way, kind: tcp, target: '127.0.0.1:1', service: 'a "b" \\c', interval: 200ms, timeout: 100ms}
"""
NOON = WallClock().now()
STRANGE = "CN=a\u2028b\x85c\rd\x1ce\nf # {} \\"
"""What a certificate may say: a text with characters that end lines elsewhere."""


class Strict:
    """A receiver by the letter of the specification. `answers` are the statuses of the next requests."""

    def __init__(self):
        self.answers, self.rounds, self.retry_after = [], [], None
        self.newest = {}
        """Series to its last sample: time and value."""

    async def take(self, request):
        assert request.headers["Content-Type"] == "application/x-protobuf"
        assert request.headers["Content-Encoding"] == "snappy"
        assert request.headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
        assert request.headers["Authorization"] == "Bearer of-ours"
        assert request.headers["X-Scope-OrgID"] == "shop"
        assert request.headers["User-Agent"]
        message = WriteRequest.FromString(bytes(snappy.decompress_raw(await request.read())))
        status = self.answers.pop(0) if self.answers else 204
        self.rounds.append((status, message))
        if status < 300:
            for series in message.timeseries:
                self._keep(series)
        more = {"Retry-After": self.retry_after} if self.retry_after else {}
        return web.Response(status=status, text="out of bounds", headers={"Location": "http://elsewhere/", **more})

    def _keep(self, series):
        names = [one.name for one in series.labels]
        assert names == sorted(set(names))
        assert all(one.value for one in series.labels)
        labels = {one.name: one.value for one in series.labels}
        assert {"__name__", "job", "location"} <= labels.keys()
        [sample] = series.samples
        key = tuple(sorted(labels.items()))
        assert sample.timestamp > self.newest.get(key, (0, 0))[0]
        self.newest[key] = sample.timestamp, sample.value

    def value(self, name, **labels):
        wanted = {"__name__": name, **labels}
        found = [value for key, (_, value) in self.newest.items() if wanted.items() <= dict(key).items()]
        return found[0] if found else None


def stale(value):
    return struct.pack(">d", value) == bytes.fromhex("7ff0000000000002")


@asynccontextmanager
async def writing(strict, every=60.0):
    """A writer to a strict receiver, and what it tells of: one check."""
    exposition = Exposition("eu")
    app = web.Application()
    app.router.add_post("/api/v1/write", strict.take)
    async with TestServer(app) as server:
        receiver = Receiver(str(server.make_url("/api/v1/write")), every, "of-ours", {"X-Scope-OrgID": "shop"})
        async with receiver.session() as session:
            yield Writer(exposition, "eu", receiver, WallClock(), session), exposition, receiver


def see(exposition, directory, reason="", name="way"):
    """Let the check have been run."""
    (directory / "probes.yaml").write_text(CHECKS.replace("name: way", f"name: {name}"))
    checks = load(directory)
    list(exposition.plan(checks, checks.checks.values()))
    samples = {
        ("probe_success", ""): float(not reason),
        ("probe_duration_seconds", ""): math.inf,
        ("probe_ssl_last_chain_info", label("subject", STRANGE)): 1.0,
    }
    result = Result(not reason, reason, "", NOON, 0.1, samples, ())
    for check in checks.checks.values():
        exposition.take(check, result, Watch(check.confirm), 0.0, NOON)


async def once(writer, until=60.0):
    await writer._round(asyncio.get_running_loop().time() + until)


def counted(result):
    return WRITES.labels(result)._value.get()


async def test_a_round_tells_everything_and_marks_what_is_not_told_any_more(tmp_path):
    strict = Strict()
    async with writing(strict) as (writer, exposition, _):
        see(exposition, tmp_path, "connect_refused")
        await once(writer)
        assert strict.value("probe_success", check="way", service='a "b" \\c', location="eu") == 0
        assert strict.value("probe_duration_seconds") == math.inf
        assert strict.value("probe_ssl_last_chain_info", subject=STRANGE) == 1
        assert strict.value("probe_failure_info", reason="connect_refused") == 1
        assert strict.value("python_info", job="relay-synthetic", location="eu") == 1
        see(exposition, tmp_path)
        await once(writer)
        assert strict.value("probe_success", check="way") == 1
        assert stale(strict.value("probe_failure_info"))
        await once(writer)
        before = len(strict.rounds)
        await writer.end()
        assert all(stale(value) for _, value in strict.newest.values())
        assert len(strict.rounds) == before + 1


async def test_what_is_refused_is_counted_said_and_not_tried_again(tmp_path, capfd):
    strict = Strict()
    strict.answers = [400]
    refused = counted("refused")
    async with writing(strict, every=0.01) as (writer, exposition, _):
        see(exposition, tmp_path)
        await writer.write()
        assert [status for status, _ in strict.rounds] == [400]
        assert counted("refused") == refused + 1
        assert "the receiver answers 400: out of bounds" in capfd.readouterr().err
        strict.answers = [302]
        await writer.write()
        await writer.write()
        assert [status for status, _ in strict.rounds] == [400, 302, 204]
        assert strict.value("probe_success") == 1


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_what_is_not_taken_now_is_tried_again(tmp_path, status):
    strict = Strict()
    strict.answers, strict.retry_after = [status, status], "0"
    before = counted("failure"), counted("success")
    async with writing(strict) as (writer, exposition, _):
        writer._first = 0.01
        see(exposition, tmp_path)
        await once(writer)
    (_, first), (_, second), (_, third) = strict.rounds
    assert first == second == third
    assert (counted("failure"), counted("success")) == (before[0] + 2, before[1] + 1)


async def test_newer_samples_take_the_place_of_those_that_could_not_be_written(tmp_path, capfd):
    strict = Strict()
    strict.answers = [503]
    async with writing(strict, every=0.01) as (writer, exposition, _):
        writer._first = 0.02
        see(exposition, tmp_path, "connect_refused")
        began = asyncio.get_running_loop().time()
        await writer.write()
        assert asyncio.get_running_loop().time() - began >= 0.02  # it is not asked sooner than it may be
        assert "the receiver answers 503" in capfd.readouterr().err
        see(exposition, tmp_path)
        await writer.write()
        assert strict.value("probe_success") == 1
        (_, first), *_ = strict.rounds
        told = {sample.timestamp for series in first.timeseries for sample in series.samples}
        assert told.isdisjoint({at for at, _ in strict.newest.values()})


async def test_the_wait_grows_and_a_receiver_may_name_a_longer_one(tmp_path):
    strict = Strict()
    strict.answers = [503] * 4
    async with writing(strict) as (writer, exposition, _):
        see(exposition, tmp_path)
        waits = []
        for after in (None, None, "7", None):
            strict.retry_after = after
            with pytest.raises(Exception, match="503"):
                await once(writer, 0.0)
            waits.append(writer._pause)
        assert waits == [1, 2, 7, 14]
        await once(writer)
        assert writer._pause == 0


async def test_a_receiver_that_stays_away_costs_no_memory_for_what_is_gone(tmp_path):
    async with writing(Strict()) as (writer, exposition, _):
        see(exposition, tmp_path, name="old")
        await once(writer)
        for series in writer._live:
            writer._live[series] -= FORGOTTEN
        writer._receiver = Receiver(f"http://127.0.0.1:{free_port()}/", 0.01)
        writer._first = 0.01
        see(exposition, tmp_path, name="new")
        await writer.write()
        assert [series for series in writer._live if 'check="old"' in series] == []


async def test_a_clean_end_marks_everything_as_stale(tmp_path):
    strict = Strict()
    async with writing(strict) as (_, exposition, receiver):
        see(exposition, tmp_path)
        writing_on = asyncio.get_running_loop().create_task(follow(exposition, "eu", receiver, WallClock()))
        async with asyncio.timeout(5):
            while strict.value("python_info") is None:
                await asyncio.sleep(0.01)
        writing_on.cancel()
        with suppress(asyncio.CancelledError):
            await writing_on
        assert all(stale(value) for _, value in strict.newest.values())


def test_a_header_that_is_none_is_refused():
    found = CliRunner().invoke(main, ["--location", "eu", "--remote-write-header", "shop"])
    assert (found.exit_code, '"shop" is no header: write "X-Scope-OrgID: shop"' in found.output) == (2, True)


@pytest.mark.servers
async def test_prometheus_has_what_a_worker_sees_until_it_ends(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "probes.yaml").write_text(CHECKS)
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    port, own = free_port(), free_port()
    program = need(["prometheus"], print)["prometheus"]
    command = [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
               f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]  # fmt: skip

    async def ask(query):
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}) as answer,
            ):
                return (await answer.json())["data"]["result"] if answer.status == 200 else []
        except aiohttp.ClientError:
            return []

    async def until(query, good):
        async with asyncio.timeout(30):
            while not good(found := await ask(query)):
                await asyncio.sleep(0.1)
        return found

    with running(command, lambda: None):
        where = ["--location", "eu-west", "--rules", str(tmp_path / "rules"), "--listen", f"127.0.0.1:{own}"]
        write = ["--remote-write-to", f"http://127.0.0.1:{port}/api/v1/write", "--push-every", "1"]
        worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "synthetic", *where, *write)
        try:
            [found] = await until('probe_failure_info{reason="connect_refused"}', len)
            assert found["metric"]["service"] == 'a "b" \\c'
            assert (found["metric"]["job"], found["metric"]["location"]) == ("relay-synthetic", "eu-west")
            assert (found["metric"]["instance"], found["value"][1]) == ("127.0.0.1:1", "1")
            counted = 'relay_synthetic_remote_writes_total{result="success",location="eu-west"}'
            await until(counted, lambda found: found and float(found[0]["value"][1]) >= 2)
            assert await ask('relay_synthetic_remote_writes_total{result!="success"} > 0') == []
        finally:
            worker.terminate()
            assert await worker.wait() == 0
        assert await ask('{__name__=~".+", job="relay-synthetic"}') == []
