"""Workers that pull their files from Relay."""

import asyncio
import sys

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from service import TOKENS, service

from relay.demo.processes import free_port
from synthetic.pull import NotPulled, pull

pytestmark = pytest.mark.servers

CHECK = "checks:\n  - {name: %s, kind: tcp, target: '127.0.0.1:1'}\n"


def address(relay):
    return f"http://127.0.0.1:{relay.running.address[1]}"


async def test_files_come_once_and_again_when_they_change(tmp_path):
    there, here = tmp_path / "rules" / "probes", tmp_path / "here"
    (there / "eu").mkdir(parents=True)
    (there / "a.yaml").write_text(CHECK % "a")
    (there / "eu" / "b.yml").write_text(CHECK % "Störung")
    async with service(tmp_path) as relay, aiohttp.ClientSession() as session:

        async def ask(etag):
            return await pull(address(relay), TOKENS["viewer"], etag, here, session)

        first = await ask("")
        assert (here / "eu" / "b.yml").read_text() == CHECK % "Störung"
        (here / "a.yaml").write_text("touched")
        assert await ask(first) == first
        assert (here / "a.yaml").read_text() == "touched"  # nothing was sent
        (there / "a.yaml").unlink()
        assert await ask(first) != first
        assert sorted(str(path.relative_to(here)) for path in here.rglob("*.y*ml")) == ["eu/b.yml"]
        with pytest.raises(NotPulled, match="Relay answers 401"):
            await pull(address(relay), "wrong", "", here, session)
        assert (await relay.ask("GET", "/api/v1/probes"))[0] == 401


@pytest.mark.parametrize(
    "body",
    ["<html>", "[]", '{"files": {"../out.yaml": ""}}', '{"files": {"/out.yaml": ""}}', '{"files": {"a.sh": ""}}'],
)
async def test_what_is_no_set_of_files_changes_nothing(tmp_path, body):
    app = web.Application()

    async def answer(request):
        return web.Response(text=body)

    app.router.add_get("/api/v1/probes", answer)
    (tmp_path / "a.yaml").write_text("kept")
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        with pytest.raises(NotPulled, match="no probe files"):
            await pull(str(server.make_url("/")), "t", "", tmp_path, session)
    assert [path.name for path in tmp_path.parent.rglob("out.yaml")] == []
    assert (tmp_path / "a.yaml").read_text() == "kept"


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
