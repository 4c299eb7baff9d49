"""Files that are taken anew: probes go on meanwhile, and what stays as it is stays known."""

import asyncio
import sys

import pytest
from places import answering, certificate, listening, ok
from test_worker import FAST, Site, shop, told, until, value, working

from relay.clock import WallClock
from synthetic.checks import load
from synthetic.exposition import Exposition
from synthetic.run import Result
from synthetic.service import Service, Tokens
from synthetic.watch import Watch

pytestmark = pytest.mark.servers

NOON = WallClock().now()


async def test_others_get_their_turn_while_files_are_read_and_taken(tmp_path):
    def write(target):
        lines = (f"  - {{name: c{n}, kind: tcp, target: '{target}:1', interval: 1h}}" for n in range(1000))
        (tmp_path / "p.yaml").write_text("checks:\n" + "\n".join(lines) + "\n")

    write("127.0.0.1")
    service = Service(load(tmp_path), tmp_path, "fra", Tokens(), 10)
    write("127.0.0.2")
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    meanwhile = asyncio.get_running_loop().create_task(others())
    assert await service.reload() is None
    meanwhile.cancel()
    assert turns > 20
    assert {check.target for check, _ in service.worker.mine()} == {"127.0.0.2:1"}


async def test_two_reloads_at_once_come_one_after_the_other(tmp_path):
    (tmp_path / "p.yaml").write_text("checks: [{name: a, kind: tcp, target: '127.0.0.1:1'}]")
    service = Service(load(tmp_path), tmp_path, "fra", Tokens(), 10)
    (tmp_path / "p.yaml").write_text("checks: [{name: b, kind: tcp, target: '127.0.0.1:1'}]")
    assert await asyncio.gather(service.reload(), service.reload()) == [None, None]
    assert [check.name for check, _ in service.worker.mine()] == ["b"]


@pytest.mark.parametrize(("program", "said"), [("/bin/false", "ended with 1"), ("/nowhere", "cannot be started")])
async def test_files_that_nothing_could_read_change_nothing(tmp_path, monkeypatch, program, said):
    (tmp_path / "p.yaml").write_text("checks: [{name: a, kind: tcp, target: '127.0.0.1:1'}]")
    service = Service(load(tmp_path), tmp_path, "fra", Tokens(), 10)
    monkeypatch.setattr(sys, "executable", program)
    assert said in str(await service.reload())
    assert [check.name for check, _ in service.worker.mine()] == ["a"]


async def test_a_check_that_only_moved_in_its_file_stays_known(tmp_path):
    site = Site()
    site.answer = ok(status="500 No")
    async with listening(site.serve) as port, working(tmp_path, shop(port)) as (worker, client, url):

        async def failing():
            return await value(client, url, "probe_state", check="home") == 2

        await until(failing)
        [(check, watch)] = worker.mine()
        (tmp_path / "probes.yaml").write_text(f"# a remark\nlocations: [fra]\n{shop(port)}")
        async with client.post(f"{url}/-/reload") as answer:
            assert answer.status == 200
        assert worker.mine() == [(check, watch)]
        assert watch.state.name == "FAILING"


async def test_what_is_told_of_a_check_goes_when_it_becomes_another(tmp_path):
    context, trusted = certificate(tmp_path, "127.0.0.1")
    async with listening(answering(ok()), context) as secure, listening(answering(ok())) as plain:
        tls = f"tls: {{ca_file: {trusted}}}"
        text = f"checks:\n  - {{name: home, kind: http, target: 'https://127.0.0.1:{secure}/', {FAST}, {tls}}}\n"
        async with working(tmp_path, text) as (_, client, url):
            await until(lambda: value(client, url, "probe_ssl_earliest_cert_expiry"))
            changed = text.replace(f"https://127.0.0.1:{secure}", f"http://127.0.0.1:{plain}")
            (tmp_path / "probes.yaml").write_text(changed)
            async with client.post(f"{url}/-/reload"):
                pass
            await until(lambda: value(client, url, "probe_success", instance=f"http://127.0.0.1:{plain}/"))
            assert [
                name for name, labels in await told(client, url) if f"https://127.0.0.1:{secure}/" in str(labels)
            ] == []


def test_a_certificate_is_forgotten_with_the_tls_that_had_shown_it(tmp_path):
    def written(tls):
        (tmp_path / "p.yaml").write_text(
            f"checks:\n  - {{name: db, kind: tcp, target: '127.0.0.1:1'{tls}}}\n"
            "  - {name: other, kind: tls, target: '127.0.0.1:1'}\n"
        )
        return load(tmp_path)

    exposition = Exposition("fra")
    checks = written(", tls: {}")
    list(exposition.plan(checks, checks.checks.values()))
    samples = {("probe_ssl_earliest_cert_expiry", ""): 1.0}
    for check in checks.checks.values():
        exposition.take(check, Result(True, "", "", NOON, 0.1, samples, ()), Watch(check.confirm), 0.0, NOON)
    later = written("")
    kept = [later.checks["db"], checks.checks["other"]]
    list(exposition.plan(later, kept))

    async def lines():
        return b"".join([piece async for piece in exposition.write()]).decode().splitlines()

    expiries = [line for line in asyncio.run(lines()) if line.startswith("probe_ssl_earliest_cert_expiry{")]
    assert ['check="other"' in line for line in expiries] == [True]
