"""Workers that pull their files from Relay."""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from service import TOKENS, service

from relay.demo.processes import free_port
from synthetic.checks import load
from synthetic.pull import MOST_BYTES, NotPulled, Unusable, pull

pytestmark = pytest.mark.servers

CHECK = "checks:\n  - {name: %s, kind: tcp, target: '127.0.0.1:1'}\n"


def address(relay):
    return f"http://127.0.0.1:{relay.running.address[1]}"


async def test_files_come_once_and_again_when_they_change(tmp_path):
    there, here = tmp_path / "rules" / "probes", tmp_path / "here"
    (there / "eu").mkdir(parents=True)
    (there / "a.yaml").write_text(CHECK % "a")
    (there / "eu" / "b.yml").write_text(f"# Störung\n{CHECK % 'b'}")
    async with service(tmp_path) as relay, aiohttp.ClientSession() as session:

        async def ask(etag):
            return await pull(address(relay), TOKENS["viewer"], etag, here, session)

        first = await ask("")
        assert (here / "eu" / "b.yml").read_text() == f"# Störung\n{CHECK % 'b'}"
        (here / "a.yaml").write_text("touched")
        assert await ask(first) == first
        assert (here / "a.yaml").read_text() == "touched"  # nothing was sent
        (there / "a.yaml").unlink()
        assert await ask(first) != first
        assert sorted(str(path.relative_to(here)) for path in here.rglob("*.y*ml")) == ["eu/b.yml"]
        with pytest.raises(NotPulled, match="Relay answers 401"):
            await pull(address(relay), "wrong", "", here, session)
        assert (await relay.ask("GET", "/api/v1/probes"))[0] == 401


@asynccontextmanager
async def relay_that_answers(*answers):
    """Something at the address of a Relay, which answers with these in turn."""
    left = list(answers)

    async def answer(request):
        return web.Response(body=left.pop(0) if left else b"", headers={"ETag": f'"{len(left)}"'})

    app = web.Application()
    app.router.add_get("/api/v1/probes", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        '{"files": {"../out.yaml": ""}}',
        '{"files": {"/out.yaml": ""}}',
        '{"files": {"a.sh": ""}}',
        "[" * 200_000,
    ],
)
async def test_what_is_no_set_of_files_changes_nothing(tmp_path, body):
    (tmp_path / "a.yaml").write_text("kept")
    async with relay_that_answers(body.encode()) as url, aiohttp.ClientSession() as session:
        with pytest.raises(NotPulled, match="no probe files"):
            await pull(url, "t", "", tmp_path, session)
    assert [path.name for path in tmp_path.parent.rglob("out.yaml")] == []
    assert (tmp_path / "a.yaml").read_text() == "kept"


async def test_an_answer_that_does_not_end_is_not_read_to_its_end(tmp_path):
    sent = 0

    async def much():
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024 * 1024

    async with relay_that_answers(much()) as url, aiohttp.ClientSession() as session:
        with pytest.raises(NotPulled, match=f"more than {MOST_BYTES} bytes"):
            await pull(url, "t", "", tmp_path / "here", session)
    assert sent < 2 * MOST_BYTES // 1024 // 1024


async def test_files_that_cannot_be_used_do_not_take_the_place_of_good_ones(tmp_path):
    good = json.dumps({"files": {"a.yaml": CHECK % "a", "eu/b.yaml": CHECK % "b"}})
    bad = json.dumps({"files": {"a.yaml": "checks:\n  - {name: a, kind: gopher}\n", "c.yaml": CHECK % "c"}})
    async with relay_that_answers(good.encode(), bad.encode()) as url, aiohttp.ClientSession() as session:
        assert await pull(url, "t", "", tmp_path / "here", session) == "1"
        with pytest.raises(Unusable, match=r"cannot be used:\na.yaml:2:") as refused:
            await pull(url, "t", "1", tmp_path / "here", session)
    assert refused.value.etag == "0"  # and so they are not asked for again
    assert load(tmp_path / "here").checks.keys() == {"a", "b"}
    left = [str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert sorted(left) == [".pulled-from-relay", "a.yaml", "eu/b.yaml"]


async def test_files_of_somebody_are_not_overwritten(tmp_path):
    (tmp_path / "rules" / "probes").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.yaml").write_text("mine")
    async with service(tmp_path) as relay, aiohttp.ClientSession() as session:
        with pytest.raises(NotPulled, match="name an empty directory with --rules"):
            await pull(address(relay), TOKENS["viewer"], "", tmp_path / "mine", session)
    assert (tmp_path / "mine" / "a.yaml").read_text() == "mine"


async def test_a_worker_starts_with_relay_and_again_without_it(tmp_path):
    (tmp_path / "rules" / "probes").mkdir(parents=True)
    (tmp_path / "rules" / "probes" / "a.yaml").write_text(CHECK % "pulled")
    port = free_port()

    async def metrics(url):
        where = ["--location", "eu", "--rules", str(tmp_path / "kept"), "--listen", f"127.0.0.1:{port}"]
        command = [
            sys.executable,
            "-m",
            "synthetic",
            *where,
            "--token-file",
            str(tmp_path / "viewer"),
            "--from-relay",
            url,
        ]
        child = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        try:
            async with aiohttp.ClientSession() as client, asyncio.timeout(20):
                while child.returncode is None:
                    try:
                        async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
                            return await answer.text()
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.05)
            return (await child.communicate())[1].decode()
        finally:
            if child.returncode is None:
                child.terminate()
                await child.wait()

    (tmp_path / "viewer").write_text(TOKENS["viewer"])
    assert "Relay cannot be asked" in await metrics("http://127.0.0.1:9")
    async with service(tmp_path) as relay:
        assert 'check="pulled"' in await metrics(address(relay))
    assert 'check="pulled"' in await metrics("http://127.0.0.1:9")


async def test_many_files_come_whole(tmp_path):
    there, here = tmp_path / "rules" / "probes", tmp_path / "here"
    there.mkdir(parents=True)
    for i in range(40):
        (there / f"{i}.yaml").write_text(CHECK % f"c{i}" + "#" * 100_000)
    async with service(tmp_path) as relay, aiohttp.ClientSession() as session:
        await pull(address(relay), TOKENS["viewer"], "", here, session)
    assert sum(len(path.read_text()) for path in here.rglob("*.yaml")) > 4_000_000
