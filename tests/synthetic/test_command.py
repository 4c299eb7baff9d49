"""`relay-synthetic` and `relay probe` on the command line, as processes and against real sockets."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner
from places import answering, listening, ok

from relay.cli import main as relay
from relay.clock import WallClock
from relay.demo.processes import free_port
from relay.demo.programs import need
from synthetic.cli import main
from synthetic.execute import execute
from synthetic.kinds import TcpKeys
from synthetic.probes import EXTRAS

pytestmark = pytest.mark.servers

PROBES = Path(__file__).parents[2] / "rules" / "probes"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "say where it probes from: --location eu-west"),
        (["--location", "a/b"], 2, '"a/b" is no name of a place'),
        (["--location", "eu", "--listen", "here"], 2, '"here" is not an address and a port'),
        (["--location", "eu", "--token-file", "/nowhere"], 3, "the secret file /nowhere cannot be read"),
        (["--location", "eu", "--rules", "/nowhere"], 1, "/nowhere"),
        (["--help"], 0, "Probe services from one location"),
    ],
)
def test_what_is_wrong_is_said(arguments, code, said, monkeypatch):
    monkeypatch.chdir(PROBES.parents[1])
    found = CliRunner().invoke(main, arguments)
    assert (found.exit_code, said in found.output) == (code, True), found.output


def test_the_example_is_sound_and_listed():
    listed = CliRunner().invoke(relay, ["probe", "list", "--rules", str(PROBES)])
    assert listed.exit_code == 0
    assert "page  http https://shop.example.com/checkout  every 15s from everywhere  [smoke]" in listed.output
    rows = json.loads(CliRunner().invoke(relay, ["probe", "list", "--rules", str(PROBES), "-o", "json"]).output)
    assert {row["kind"] for row in rows} == {*EXTRAS, "http", "tcp", "tls", "dns", "journey"} - {"mysql"}


async def probe(directory, *arguments):
    command = ["probe", "run", *arguments, "--rules", str(directory)]
    return await asyncio.to_thread(CliRunner().invoke, relay, command)


async def test_a_check_is_run_once_and_told(tmp_path):
    async with listening(answering(ok(b"well"), ok(status="500 No"))) as port:
        (tmp_path / "p.yaml").write_text(f"checks:\n  - {{name: home, kind: http, target: 'http://127.0.0.1:{port}/'}}")
        good = await probe(tmp_path, "home")
        assert good.exit_code == 0
        assert f"home http://127.0.0.1:{port}/ from here: succeeded" in good.output
        assert 'probe_http_duration_seconds{phase="connect"}' in good.output
        bad = await probe(tmp_path, "home", "-o", "json")
        assert bad.exit_code == 1
        assert json.loads(bad.output)["text"] == "answers 500, and not 2xx"
    assert (await probe(tmp_path, "hime")).exit_code == 2
    elsewhere = await probe(tmp_path, "home", "--from", "us")
    assert (elsewhere.exit_code, '"peers" names no worker of "us"' in elsewhere.output) == (2, True)


async def test_a_worker_runs_answers_takes_files_anew_and_ends(tmp_path):
    port, token = free_port(), tmp_path / "token"
    token.write_text("worker-token")
    (tmp_path / "rules").mkdir()
    written = tmp_path / "rules" / "p.yaml"
    async with listening(answering(ok(b"well"))) as there:
        text = f"peers: {{us: 'http://127.0.0.1:{port}'}}\nchecks:\n  - {{name: home, kind: http, target: 'http://127.0.0.1:{there}/'}}\n"
        written.write_text(text)
        where = ["--location", "us", "--rules", str(tmp_path / "rules"), "--listen", f"127.0.0.1:{port}"]
        command = [sys.executable, "-m", "synthetic", *where, "--token-file", str(token)]
        log = (tmp_path / "log").open("wb")
        child = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            async with aiohttp.ClientSession() as client:

                async def ask(path):
                    async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                        return await answer.text()

                async with asyncio.timeout(20):
                    while True:
                        try:
                            await ask("/-/ready")
                            break
                        except aiohttp.ClientError:
                            await asyncio.sleep(0.05)
                found = await probe(tmp_path / "rules", "home", "--from", "us", "--token-file", str(token))
                assert (found.exit_code, "from us: succeeded" in found.output) == (0, True), found.output
                wrong = tmp_path / "wrong"
                wrong.write_text("another")
                refused = await probe(tmp_path / "rules", "home", "--from", "us", "--token-file", str(wrong))
                assert refused.exit_code == 3
                written.write_text(text.replace("name: home", "name: house"))
                child.send_signal(signal.SIGHUP)
                async with asyncio.timeout(10):
                    while 'check="house"' not in await ask("/metrics"):
                        await asyncio.sleep(0.05)
                written.write_text("checks: 3")
                child.send_signal(signal.SIGHUP)
                async with asyncio.timeout(10):
                    while "relay_synthetic_config_last_reload_successful 0.0" not in await ask("/metrics"):
                        await asyncio.sleep(0.05)
                assert 'check="house"' in await ask("/metrics")
        finally:
            child.terminate()
            assert await asyncio.wait_for(child.wait(), 10) == 0
            log.close()


async def test_what_a_kind_imports_is_not_what_a_run_takes(monkeypatch):
    at = []

    async def quick(keys, target, run):
        at.append(run.began)

    def load(kind):
        at.append(time.perf_counter())
        return quick

    monkeypatch.setattr("synthetic.execute.probe_of", cache(load))
    assert (await execute(TcpKeys(kind="tcp"), "127.0.0.1:1", WallClock())).success
    loaded, began = at
    assert loaded < began


BROKEN = """
import sys
import synthetic.execute, synthetic.cli, relay.cli
from synthetic.databases import password_of

async def broken(keys, target, run):
    password = password_of(keys, run)
    raise RuntimeError(f"cannot use {password}")

synthetic.execute.probe_of = lambda kind: broken
(relay.cli if sys.argv[1] == "probe" else synthetic.cli).main()
"""


async def test_a_mistake_of_our_own_is_logged_without_the_secret(tmp_path):
    (tmp_path / "password").write_text("s3cret/of us")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "p.yaml").write_text(
        "checks:\n  - {name: carts, kind: redis, target: 127.0.0.1, interval: 100ms, timeout: 100ms, "
        f"password_file: {tmp_path}/password}}"
    )
    rules = ["--rules", str(tmp_path / "rules")]
    for arguments in (["probe", "run", "carts", *rules], ["--location", "us", "--listen", "127.0.0.1:0", *rules]):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", BROKEN, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        said = b""
        async with asyncio.timeout(20):
            async for line in child.stderr:
                said += line
                if b"cannot use" in line:
                    break
        if arguments[0] != "probe":
            child.terminate()
        out, more = await child.communicate()
        assert (b"cannot use ${password}" in said, b"s3cret" in said + out + more) == (True, False)


@pytest.mark.servers
async def test_promtool_finds_nothing_wrong_with_the_metrics(tmp_path):
    need(["prometheus"], print)
    port = free_port()
    (tmp_path / "p.yaml").write_text(
        f"checks:\n  - {{name: home, kind: tcp, target: '127.0.0.1:{port}', interval: 200ms, timeout: 200ms}}"
    )
    where = ["--location", "us", "--rules", str(tmp_path), "--listen", f"127.0.0.1:{port}"]
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "synthetic", *where, stderr=subprocess.DEVNULL)
    try:
        async with aiohttp.ClientSession() as client, asyncio.timeout(20):
            text = b""
            while b"probe_success{" not in text:
                try:
                    async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        text = await answer.read()
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
    finally:
        child.terminate()
        await child.wait()
    text = b"\n".join(line for line in text.splitlines() if b"python_" not in line and b"process_" not in line) + b"\n"
    promtool = ["promtool", "check", "metrics"]
    checked = await asyncio.to_thread(subprocess.run, promtool, input=text, capture_output=True, check=False)
    known = ("probe_ssl_earliest_cert_expiry", "probe_failed_due_to_regex")  # blackbox_exporter's own names
    wrong = [line for line in checked.stderr.decode().splitlines() if line and not line.startswith(known)]
    assert wrong == []


BLACKBOX = """
modules:
  http_2xx:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      ip_protocol_fallback: false
      valid_status_codes: [200, 204]
      fail_if_not_ssl: true
      fail_if_body_not_matches_regexp: ["well"]
      fail_if_header_matches: [{header: X-A, regexp: b}]
      basic_auth: {username: me, password_file: /p}
      tls_config: {insecure_skip_verify: true, min_version: TLS12}
      no_follow_redirects: true
  smtp:
    prober: tcp
    tcp: {query_response: [{expect: "^220"}, {send: "EHLO x"}, {starttls: true}]}
  ping: {prober: icmp, icmp: {payload_size: 64, ttl: 3}}
  names: {prober: dns, dns: {query_name: a.example, query_type: AAAA, validate_answer_rrs: {fail_if_x: [x]}}}
  rpc: {prober: grpc, grpc: {service: shop.Cart, tls: true, tls_config: {ca_file: /ca.pem}}}
  pop: {prober: gopher}
  regex: {prober: http, http: {fail_if_body_matches_regexp: ["("]}}
"""


def test_a_configuration_of_blackbox_exporter_becomes_modules(tmp_path):
    (tmp_path / "blackbox.yml").write_text(BLACKBOX)
    done = CliRunner().invoke(main, ["convert", str(tmp_path / "blackbox.yml")])
    assert done.exit_code == 1
    left = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in left] == ["http_2xx", "ping", "names", "pop", "regex"]
    assert "tls_config.min_version has no counterpart" in left[0]
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "modules.yaml").write_text(done.stdout)
    listed = CliRunner().invoke(relay, ["probe", "list", "--rules", str(tmp_path / "rules")])
    assert listed.exit_code == 0
    assert "status:\n    - '200'\n    - '204'" in done.stdout
    assert "encrypted: true" in done.stdout
    assert "redirects: 0" in done.stdout
    assert "kind: grpc\n    timeout: 120s\n    health_of: shop.Cart\n    tls:\n      ca_file: /ca.pem" in done.stdout
    assert "ip_protocol: ip4" in done.stdout


@pytest.mark.parametrize(("text", "said"), [("a: [", "cannot be read as YAML"), ("a: b", 'has no "modules"')])
def test_what_is_no_configuration_is_said(tmp_path, text, said):
    (tmp_path / "blackbox.yml").write_text(text)
    done = CliRunner().invoke(main, ["convert", str(tmp_path / "blackbox.yml")])
    assert (done.exit_code, said in done.stderr) == (1, True)
