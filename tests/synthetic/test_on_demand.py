"""What is asked of a worker from outside: `/probe`, suites on demand, and what is remembered of them."""

import asyncio

import pytest
from places import answering, listening, ok
from pydantic import TypeAdapter
from test_worker import FAST, TOKEN, Site, until, working

from relay.clock import WallClock
from relay.demo.processes import free_port
from synthetic.always import ALWAYS
from synthetic.checks import Module
from synthetic.execute import execute
from synthetic.exposition import HELP
from synthetic.history import KEPT, MOST, OF_EACH, History
from synthetic.inquiry import Inquiry, read_inquiry
from synthetic.run import Result

MODULE = TypeAdapter(Module)
STEP = {"name": "in", "body": "x"}


def module(kind, **more):
    return MODULE.validate_python({"kind": kind, **more})


def read(keys, target="192.0.2.1:1", patience="", **more):
    return read_inquiry({"module": "m", "target": target, **more}, patience, {"m": keys})


# ---- secrets are for nobody but whom they are meant for ---------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "more", "secret"),
    [
        ("http", {}, False),
        ("http", {"headers": {"X-Probe": "1"}, "tls": {"ca_file": "/ca"}, "json": [{"path": "a", "equals": 1}]}, False),
        ("http", {"bearer_token_file": "/t"}, True),
        ("http", {"basic_auth": {"username": "me", "password_file": "/p"}}, True),
        ("http", {"tls": {"cert_file": "/c", "key_file": "/k"}}, True),
        ("http", {"headers": {"cookie": "a=b"}}, True),
        ("tcp", {"tls": {}}, False),
        ("tcp", {"tls": {"cert_file": "/c"}}, True),
        ("postgres", {"username": "prober"}, False),
        ("redis", {"password_file": "/p"}, True),
        ("journey", {"steps": [STEP]}, False),
        ("journey", {"steps": [{**STEP, "bearer_token_file": "/t"}]}, True),
        ("journey", {"steps": [STEP], "secrets": {"password": "/p"}}, True),
        ("browser", {"secrets": {"password": "/p"}}, True),
    ],
)
def test_a_module_that_shows_secrets_is_known(kind, more, secret):
    assert Inquiry("m", module(kind, **more), "x").shows_secrets == secret


async def test_a_stranger_cannot_have_secrets_sent_to_himself(tmp_path):
    (tmp_path / "token").write_text("for-the-shop-alone")
    asked = []
    modules = f"modules:\n  shop: {{kind: http, bearer_token_file: {tmp_path}/token}}\n  plain: {{kind: http}}\n"
    async with listening(answering(ok(), asked=asked)) as port, working(tmp_path, modules) as (_, client, url):

        async def probe(name, headers):
            path = f"{url}/probe?module={name}&target=127.0.0.1:{port}"
            async with client.get(path, headers=headers) as answer:
                return answer.status, await answer.text()

        status, said = await probe("shop", {"Authorization": ""})
        assert (status, said) == (
            401,
            'the module "shop" shows secrets to its target: the token is missing, or another one',
        )
        assert asked == []
        assert (await probe("plain", {"Authorization": ""}))[0] == 200
        assert (await probe("shop", {"Authorization": f"Bearer {TOKEN}"}))[0] == 200
        assert b"for-the-shop-alone" in asked[1]


# ---- targets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "more", "target", "right"),
    [
        ("http", {}, "shop.example", "http://shop.example"),
        ("http", {}, "ftp://shop.example", None),
        ("http", {}, "http://a b/", None),
        ("journey", {"steps": [STEP]}, "https://me:secret@shop.example", None),
        ("tcp", {}, "garbage", None),
        ("tls", {}, "shop.example:443", "shop.example:443"),
        ("icmp", {}, "a b", None),
        ("icmp", {}, "shop.example", "shop.example"),
        ("dns", {"query": "a.example"}, "192.0.2.1", "192.0.2.1"),
        ("postgres", {"username": "me"}, ":::", None),
        ("redis", {}, "carts.example", "carts.example"),
        ("grpc", {}, "cart.example", "cart.example:80"),
        ("grpc", {"tls": {}}, "https://[2001:db8::1]", "[2001:db8::1]:443"),
        ("grpc", {}, "cart.example:99999", None),
    ],
)
def test_a_target_is_read_before_anything_is_asked(kind, more, target, right):
    keys = module(kind, **more)
    if right is None:
        with pytest.raises(ValueError, match=f"the target of {kind} is wrong: write "):
            read(keys, target)
    else:
        assert read(keys, target).target == right


async def test_a_wrong_target_is_answered_in_words(tmp_path):
    async with working(tmp_path, "modules: {ping: {kind: icmp}}") as (worker, client, url):
        async with client.get(f"{url}/probe?module=ping&target=a%20b") as answer:
            assert answer.status == 400
            assert (await answer.text()).startswith("the target of icmp is wrong: write a host's name or address")
        assert worker.history.all() == []


# ---- what is always told ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "more"),
    [("http", {}), ("tcp", {}), ("tls", {}), ("dns", {"query": "a.example"}), ("icmp", {}), ("grpc", {})],
)
async def test_a_run_that_ends_at_once_tells_what_rules_stand_on(kind, more):
    host = "127.0.0.1" if kind == "icmp" else f"127.0.0.1:{free_port()}"
    target = f"http://{host}" if kind == "http" else host
    nowhere = await execute(module(kind, ip_protocol="ip6", **more), target, WallClock())
    assert nowhere.reason == "dns_failed"
    assert ALWAYS[kind].items() <= nowhere.samples.items()
    assert {name for name, _ in ALWAYS[kind]} <= HELP.keys()
    assert nowhere.samples["probe_ip_protocol", ""] == 0
    if kind != "icmp":
        refused = await execute(module(kind, **more), target, WallClock())
        assert refused.reason == "connect_refused"
        assert ALWAYS[kind].keys() <= refused.samples.keys()
        assert refused.samples["probe_ip_protocol", ""] == 4


async def test_the_rule_that_everybody_copies_fires(tmp_path):
    async with (
        working(tmp_path, "modules: {http_2xx: {kind: http}}") as (_, client, url),
        client.get(f"{url}/probe?target=127.0.0.1:{free_port()}") as answer,
    ):
        assert "\nprobe_http_status_code 0.0\n" in await answer.text()  # probe_http_status_code <= 199 or >= 400


# ---- another host's name ----------------------------------------------------------------------------------------


async def test_a_host_can_be_asked_for_by_another_name(tmp_path):
    asked = []
    async with (
        listening(answering(ok(), asked=asked)) as port,
        working(tmp_path, "modules: {http_2xx: {kind: http, headers: {X-Probe: '1'}}, ping: {kind: icmp}}") as (
            _,
            client,
            url,
        ),
    ):
        async with client.get(f"{url}/probe?target=127.0.0.1:{port}&hostname=shop.example") as answer:
            assert answer.status == 200
        assert b"\r\nHost: shop.example\r\n" in asked[0]
        assert b"\r\nX-Probe: 1\r\n" in asked[0]
        async with client.get(f"{url}/probe?target=x&module=ping&hostname=shop.example") as answer:
            assert (answer.status, "has no use for a hostname" in await answer.text()) == (400, True)


def test_the_name_is_the_certificates_too_unless_the_module_has_one():
    assert read(module("tcp", tls={}), hostname="shop.example").keys.tls.server_name == "shop.example"
    named = module("tls", tls={"server_name": "other.example"})
    assert read(named, hostname="shop.example").keys.tls.server_name == "other.example"
    assert read(module("http", headers={"host": "a.example"}), hostname="a.example").keys.headers == {
        "Host": "a.example"
    }
    for keys, name in (
        (module("http", headers={"host": "a.example"}), "b.example"),
        (module("http"), "a\r\nb"),
        (module("tcp"), "a.example"),
    ):
        with pytest.raises(ValueError, match="host"):
            read(keys, hostname=name)


# ---- how many at once -------------------------------------------------------------------------------------------


async def test_too_many_are_refused_and_keep_no_check_from_running(tmp_path):
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def waiting(reader, writer):
        arrived.set()
        await go_on.wait()

    site = Site()
    async with listening(waiting) as port, listening(site.serve) as well:
        modules = "modules: {tcp: {kind: tcp, conversation: [{expect: x}]}}\n"
        text = f"{modules}checks:\n  - {{name: home, kind: http, target: 'http://127.0.0.1:{well}/', {FAST}}}\n"
        async with working(tmp_path, text, at_once=1) as (_, client, url):

            async def probe():
                async with client.get(f"{url}/probe?module=tcp&target=127.0.0.1:{port}") as answer:
                    return answer.status

            first = asyncio.get_running_loop().create_task(probe())
            await arrived.wait()
            assert await probe() == 503
            seen = site.asked

            async def probed():
                return site.asked > seen + 1

            await until(probed)
            go_on.set()
            assert await first == 200


# ---- what is remembered -----------------------------------------------------------------------------------------


def result(success):
    return Result(success, "" if success else "connect_refused", "no", WallClock().now(), 0.1, {}, ())


def test_what_fails_often_pushes_out_no_other_failure():
    history = History()
    first = history.add("quiet", "x", result(False))
    for _ in range(KEPT + 10):
        history.add("flapping", "y", result(False))
        history.add("well", "z", result(True))
        asked = history.add_asked("http_2xx", "nowhere", result(False))
    names = [one.name for one in history.all()]
    assert history.find(first.id) == first
    assert (names.count("flapping"), names.count("well"), names.count("http_2xx")) == (OF_EACH, KEPT, KEPT)
    assert history.find(asked.id) == asked


def test_the_memory_of_failures_has_an_end():
    history = History()
    for number in range(MOST + 50):
        history.add(f"check-{number % (MOST + 10)}", "x", result(False))
    names = {one.name for one in history.all()}
    assert len(history.all()) == MOST
    assert "check-0" in names
    assert "check-45" not in names
    assert len(history._of) == len(names)


# ---- suites on demand -------------------------------------------------------------------------------------------


async def test_a_suite_that_runs_nothing_is_no_success(tmp_path):
    site = Site()
    async with listening(site.serve) as port:
        text = (
            f"checks:\n  - {{name: buy, kind: http, target: 'http://127.0.0.1:{port}/', tags: [smoke], interval: 1h}}\n"
        )
        async with working(tmp_path, text) as (_, client, url):

            async def run(**body):
                async with client.post(f"{url}/api/v1/run", json=body) as answer:
                    return answer.status, (await answer.json()).get("error")

            assert await run() == (422, "name checks or tags: that nothing ran must not look like success")
            assert await run(tags=["smkoe"]) == (404, "there is no such check or tag here: smkoe")
            assert (await run(tags=["smoke"], checks=["nothing"]))[0] == 404
            assert (await run(tags=["smoke", "smkoe"]))[0] == 404
            assert site.asked == 0
            assert await run(tags=["smoke"]) == (200, None)


async def test_what_had_begun_before_is_no_answer(tmp_path):
    arrived, go_on, asked = asyncio.Event(), asyncio.Event(), []

    async def old_then_new(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if len(asked) == 1:
            arrived.set()
            await go_on.wait()
        writer.write(ok(status="200 OK" if len(asked) == 1 else "503 No"))

    async with listening(old_then_new) as port:
        text = f"checks:\n  - {{name: buy, kind: http, target: 'http://127.0.0.1:{port}/', interval: 1h}}\n"
        async with working(tmp_path, text) as (worker, _, _):
            loop = asyncio.get_running_loop()
            before = loop.create_task(worker.run_now(["buy"]))
            await arrived.wait()
            after = [loop.create_task(worker.run_now(["buy"])) for _ in range(3)]
            await asyncio.sleep(0)
            go_on.set()
            assert [one.success for _, one in await before] == [True]
            assert [one.success for results in await asyncio.gather(*after) for _, one in results] == [False] * 3
    assert len(asked) == 2  # those who had waited together share a run
