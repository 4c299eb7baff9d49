"""Workers that ask each other to look, too, and peers that are none."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from places import answering, listening, ok
from test_worker import TOKEN, until, working

from relay.demo.processes import free_port
from synthetic.checks import load
from synthetic.cli import _tokens
from synthetic.peers import MOST_BYTES, PeerFailed, ask_peer, second_opinion
from synthetic.service import Service, Tokens


def home(port):
    return (
        f"checks:\n  - {{name: home, kind: http, target: 'http://127.0.0.1:{port}/', interval: 1h,"
        " confirm: {after: [1h]}}\n"
    )


async def test_a_worker_that_is_asked_because_another_suspects_does_not_ask_back(tmp_path):
    asked_on = {"fra": [], "us": []}
    asked = []
    async with listening(answering(ok(status="500 No"), asked=asked)) as port, asyncio.TaskGroup() as tasks:
        (tmp_path / "fra").mkdir()
        (tmp_path / "us").mkdir()
        urls = {}

        def suspected(here, there):
            def suspect(check):
                asked_on[here].append(check.name)
                tasks.create_task(second_opinion({there: urls[there]}, TOKEN, check.name))

            return suspect

        async with (
            working(tmp_path / "fra", home(port), "fra", suspected=suspected("fra", "us")) as (fra, _, urls["fra"]),
            working(tmp_path / "us", home(port), "us", suspected=suspected("us", "fra")) as (us, _, urls["us"]),
        ):
            await fra.run_now(["home"])

            async def seen():
                return us.history.all()

            await until(seen)
            [(_, watch)] = us.mine()
            assert watch.state.name == "SUSPECT"
            assert (asked_on, len(asked)) == ({"fra": ["home"], "us": []}, 2)


async def test_what_fails_when_a_person_asks_is_asked_on(tmp_path):
    told = []
    async with (
        listening(answering(ok(), ok(status="500 No"))) as port,
        working(tmp_path, home(port), suspected=lambda check: told.append(check.name)) as (_, _, url),
    ):
        assert (await ask_peer(url, TOKEN, ["home"]))[0]["success"]
        assert not (await ask_peer(url, TOKEN, ["home"]))[0]["success"]
        assert told == ["home"]


async def strange(answer):
    app = web.Application()
    app.router.add_post("/api/v1/run", answer)
    return TestServer(app)


@pytest.mark.parametrize("body", ["[" * 200_000, "<html>", "[]", '{"results": 3}', "\udcff", '{"error": []}'])
async def test_a_strange_answer_of_a_peer_is_told_and_no_more(body):
    async def answer(request):
        return web.Response(body=body.encode("utf-8", "surrogateescape"))

    async with await strange(answer) as server:
        with pytest.raises(PeerFailed, match="is a worker there"):
            await ask_peer(str(server.make_url("/")), TOKEN, ["home"])
        await second_opinion({"us": str(server.make_url("/"))}, TOKEN, "home")


async def test_an_answer_that_does_not_end_is_not_read_to_its_end():
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 1024 * 1024)

    async with await strange(answer) as server:
        with pytest.raises(PeerFailed, match=f"more than {MOST_BYTES} bytes"):
            await ask_peer(str(server.make_url("/")), TOKEN, ["home"])


async def test_the_next_peer_is_asked_when_one_cannot_look(tmp_path):
    async with listening(answering(ok())) as port, working(tmp_path, home(port)) as (worker, _, url):
        nobody = f"http://127.0.0.1:{free_port()}"
        await second_opinion({"ap": nobody, "fra": url, "us": nobody}, TOKEN, "home")
        assert [one.name for one in worker.history.all()] == ["home"]


async def test_peers_see_the_token_for_peers(tmp_path):
    seen = asyncio.Event()

    async def answer(request):
        assert request.headers["Authorization"] == "Bearer for-peers"
        seen.set()
        return web.json_response({"results": []})

    async with await strange(answer) as peer, listening(answering(ok(status="500 No"))) as port:
        peers = f"peers: {{eu: 'http://127.0.0.1:1', us: '{peer.make_url('/')}'}}\n"
        (tmp_path / "p.yaml").write_text(peers + home(port))
        one = Service(load(tmp_path), tmp_path, "eu", Tokens("own", "for-peers", "for-relay"), 10)
        ready = asyncio.Event()
        running = asyncio.get_running_loop().create_task(one.run(("127.0.0.1", 0), lambda bound: ready.set()))
        try:
            await ready.wait()
            await one.worker.run_now(["home"])
            async with asyncio.timeout(5):
                await seen.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_the_token_of_peers_lets_them_run_checks_and_nothing_else(tmp_path):
    async with listening(answering(ok())) as port:
        (tmp_path / "p.yaml").write_text(home(port))
        bound = asyncio.get_running_loop().create_future()
        one = Service(load(tmp_path), tmp_path, "eu", Tokens("own", "for-peers"), 10)
        running = asyncio.get_running_loop().create_task(one.run(("127.0.0.1", 0), bound.set_result))
        try:
            url = f"http://127.0.0.1:{await bound}"
            assert (await ask_peer(url, "for-peers", ["home"]))[0]["success"]
            assert (await ask_peer(url, "own", ["home"]))[0]["success"]
            with pytest.raises(PeerFailed):
                await ask_peer(url, "", ["home"])
            async with aiohttp.ClientSession(headers={"Authorization": "Bearer for-peers"}) as client:
                for method, path in (("POST", "/-/reload"), ("GET", "/api/v1/checks"), ("GET", "/screenshot")):
                    async with client.request(method, f"{url}{path}") as answer:
                        assert answer.status == 401
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ((), Tokens()),
        (("token",), Tokens("token", "token", "token")),
        (("token", "peer", "relay"), Tokens("token", "peer", "relay")),
        (("relay",), Tokens("", "", "relay")),
    ],
)
def test_one_token_is_for_everything_unless_others_are_named(tmp_path, given, tokens):
    for name in given:
        (tmp_path / name).write_text(name)
    names = {"token_file": "token", "peer_token_file": "peer", "relay_token_file": "relay"}
    assert _tokens({o: str(tmp_path / name) if name in given else None for o, name in names.items()}) == tokens
