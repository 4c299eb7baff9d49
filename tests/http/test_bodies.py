"""Bodies that are cut short, wrongly packed, too large or too slow, at every door that takes one."""

import asyncio
import gzip
import json
import zlib

import pytest
from aiohttp import http_parser, web
from aiohttp.test_utils import TestClient, TestServer
from hostile import FINE, webhook
from service import HOOK, TOKENS, service

from relay.config.settings import PagerSettings
from relay.http.body import read_body

DOORS = {
    "/api/v1/webhooks/alertmanager/prod": HOOK,
    "/api/v1/incidents/INC-1/note": TOKENS["responder"],
    "/api/v1/webhooks/opsgenie/main": HOOK,
}
PACKED = gzip.compress(webhook(FINE))


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


UNREADABLE = {
    "not gzip": ("gzip", webhook(FINE)),
    "corrupt gzip": ("gzip", PACKED[:30] + b"\0" * 20 + PACKED[50:]),
    "gzip called deflate": ("deflate", PACKED),
}


@pytest.fixture
async def relay(tmp_path):
    pager = PagerSettings(type="opsgenie", webhook_secret_file=str(tmp_path / "hook"))
    async with service(tmp_path, pagers={"main": pager}) as running:
        yield running


async def say(relay, head, body=b"", hang_up=False):
    """Send bytes as they are; what is answered up to the end of its JSON, or nothing where the sender hangs up."""
    reader, writer = await asyncio.open_connection(*relay.running.address)
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()
    if hang_up:
        writer.close()
        return b""
    answer = await reader.readuntil(b"}")
    writer.close()
    return answer


def keys(secret):
    """The headers in which a secret is shown, at one door or the other."""
    return {"Authorization": f"Bearer {secret}", "X-Relay-Secret": secret}


def post(path, secret, *headers):
    shown = [f"{name}: {value}" for name, value in keys(secret).items()]
    return [f"POST {path} HTTP/1.1", "Host: relay", *shown, *headers]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_body_that_cannot_be_unpacked_is_refused_in_words(relay, door, name):
    encoding, body = UNREADABLE[name]
    headers = {**keys(DOORS[door]), "Content-Encoding": encoding}
    status, said = await relay.ask("POST", door, body, headers=headers)
    assert status == 400
    assert said["error"].startswith("the body is not what Content-Encoding or Transfer-Encoding says: ")


async def test_gzip_is_read_where_it_is_whole(relay):
    path, secret = next(iter(DOORS.items()))
    headers = {"Authorization": f"Bearer {secret}", "Content-Encoding": "gzip"}
    assert (await relay.ask("POST", path, PACKED, headers=headers))[0] == 200
    assert (await relay.ask("POST", path, PACKED[:-20], headers=headers))[0] == 400


@pytest.mark.parametrize(
    ("coding", "pack"), [("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]
)
async def test_what_senders_call_gzip_and_deflate_is_read(relay, coding, pack):
    path, secret = next(iter(DOORS.items()))
    headers = {"Authorization": f"Bearer {secret}", "Content-Encoding": coding}
    assert (await relay.ask("POST", path, pack(webhook(FINE)), headers=headers))[0] == 200


async def test_a_coding_that_is_not_known_is_refused_in_words(relay):
    path, secret = next(iter(DOORS.items()))
    headers = {"Authorization": f"Bearer {secret}", "Content-Encoding": "br"}
    status, said = await relay.ask("POST", path, webhook(FINE), headers=headers)
    assert (status, "send gzip, deflate, or it plain" in said["error"]) == (400, True)


async def test_nothing_is_unpacked_for_who_may_not_post(relay, monkeypatch):
    monkeypatch.setattr("relay.http.body._unpack", pytest.fail)
    bomb = gzip.compress(b"0" * 50_000_000)
    headers = {**keys("wrong"), "X-PagerDuty-Signature": "v1=00", "Content-Encoding": "gzip"}
    for path in (*DOORS, "/api/v1/webhooks/pagerduty/main"):
        assert (await relay.ask("POST", path, bomb, headers=headers))[0] == 401


async def test_the_server_itself_unpacks_nothing(relay, monkeypatch):
    """It would do so even for who was refused, up to ten seconds long."""
    unpacked = []
    monkeypatch.setattr(http_parser.DeflateBuffer, "feed_data", lambda self, *data: unpacked.append(data))
    path, secret = next(iter(DOORS.items()))
    headers = {"Authorization": f"Bearer {secret}", "Content-Encoding": "gzip"}
    assert (await relay.ask("POST", path, PACKED, headers=headers))[0] == 200
    assert unpacked == []


async def test_a_connection_that_says_nothing_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("relay.http.service.SILENT", 0.1)
    async with service(tmp_path) as relay:
        for said in (b"", b"POST / HTTP/1.1\r\nHost: relay\r\n", b"GET /-/healthy HTTP/1.1\r\nHost: relay\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*relay.running.address)
            writer.write(said)
            async with asyncio.timeout(5):
                await reader.read()
            writer.close()


async def test_what_a_person_asks_for_is_small(relay):
    status, said = await relay.ask("POST", "/api/v1/windows", b" " * 300_000, role="responder")
    assert (status, said["error"]) == (413, "the body is larger than 256 KiB")


async def test_what_is_far_too_large_is_not_to_be_sent_again(relay):
    path, secret = next(iter(DOORS.items()))
    answer = await say(relay, post(path, secret, f"Content-Length: {10**12}"))
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_sender_that_hangs_up_is_no_failure_of_ours(relay, capfd):
    path, secret = next(iter(DOORS.items()))
    await say(relay, post(path, secret, "Content-Length: 1000"), b"{", hang_up=True)

    async with asyncio.timeout(5):
        while 'status="400"} 1.0' not in (metrics := (await relay.ask("GET", "/metrics"))[1]):
            await asyncio.sleep(0.01)
    assert 'status="500"' not in metrics
    said = "".join(capfd.readouterr())
    assert "a sender hung up before its body was whole" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("pager", ["opsgenie/main", "opsgenie/other", "pagerduty/other", "pagerduty/main"])
async def test_a_stranger_who_calls_himself_a_pager_is_refused_before_he_has_sent_anything(relay, pager):
    head = ("X-PagerDuty-Signature: v1=00", "Content-Length: 1000000")
    answer = await say(relay, post(f"/api/v1/webhooks/{pager}", "wrong", *head))
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_webhook_of_a_pager_for_which_there_is_no_memory_is_503(relay, monkeypatch):
    monkeypatch.setattr("relay.engine.intake.Intake.most", 1000)
    path = "/api/v1/webhooks/opsgenie/main"
    assert (await relay.ask("POST", path, b"{}", headers=keys(HOOK)))[0] == 202
    assert (await relay.ask("POST", path, b"x" * 1001, headers=keys(HOOK)))[0] == 503
    assert (await say(relay, post(path, HOOK, "Content-Length: 1001"))).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)])
async def test_what_is_too_large_is_refused_before_it_is_sent(relay, expect):
    path, secret = next(iter(DOORS.items()))
    answer = await say(relay, post(path, secret, f"Content-Length: {64 * 1024 * 1024 + 1}", *expect))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "the body is larger than 64 MiB"


async def test_only_who_may_post_is_told_to_go_on(relay):
    path, secret = next(iter(DOORS.items()))
    body = webhook(FINE)
    head = (f"Content-Length: {len(body)}", "Expect: 100-continue")
    assert (await say(relay, post(path, "wrong", *head))).startswith(b"HTTP/1.1 401 ")
    assert (await say(relay, post(path, secret, *head), body)).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01" + b"\0" * 500,
        b"GARBAGE " * 2500 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"x" * 20_000,
    ],
)
async def test_what_is_no_http_is_told_to_nobody_but_who_debugs(relay, capfd, sent):
    reader, writer = await asyncio.open_connection(*relay.running.address)
    writer.write(sent)
    await reader.read()
    writer.close()
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert all("[debug" in line for line in said.splitlines() if line.startswith("20"))


async def test_a_body_that_does_not_come_is_not_waited_for_without_end():
    async def take(request):
        return web.Response(body=await read_body(request, within=0.05))

    async def slow():
        yield b"a"
        await asyncio.Event().wait()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestClient(TestServer(app)) as client, client.post("/", data=slow()) as answer:
        assert (answer.status, await answer.text()) == (503, "the body did not come within 0.05 s: send it again")
