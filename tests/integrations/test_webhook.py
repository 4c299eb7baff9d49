"""A webhook of one's own, over a real socket."""

import hashlib
import hmac
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError
from rigs import KEY, NOON, NOTICE, PAGE

from relay.clock import ManualClock
from relay.config.secrets import SecretMissing
from relay.incident.effects import AcknowledgePage, Measure, ResolvePage, UpdatePage
from relay.incident.events import Delivered
from relay.integrations.courier import Again, Never
from relay.integrations.webhook import WebhookTarget


@pytest.fixture
async def listener(tmp_path):
    """Takes what is posted, with a status."""

    class Listener:
        def __init__(self):
            self.status, self.heard, self.said = 200, [], None

        async def hear(self, request):
            self.heard.append((await request.read(), request.headers))
            headers = {"Location": "http://elsewhere"} if self.status == 302 else {}
            if self.said:
                return web.json_response(self.said, status=self.status)
            return web.Response(status=self.status, headers=headers, text="hunter2 in /k3y")

        async def send(self, effect=PAGE, **more):
            target = WebhookTarget.model_validate({"type": "webhook", "url_file": str(tmp_path / "url"), **more})
            async with aiohttp.ClientSession() as session:
                return await target.courier(ManualClock(NOON), 2.0).carry_out(effect, session)

    made = Listener()
    app = web.Application()
    app.router.add_post("/k3y{more:.*}", made.hear)
    server = TestServer(app)
    await server.start_server()
    (tmp_path / "url").write_text(str(server.make_url("/k3y")))
    yield made
    await server.close()


async def test_what_happens_to_a_page_is_posted(listener):
    assert await listener.send() == Delivered(KEY, "pay")
    for effect in (
        UpdatePage("pay", KEY, NOTICE, "raised"),
        AcknowledgePage("pay", KEY, "Ada"),
        ResolvePage("pay", KEY, "every alert ended"),
    ):
        assert await listener.send(effect) is None
    page, update, acknowledged, resolved = (json.loads(body) for body, _ in listener.heard)
    assert {body["key"] for body in (page, update, acknowledged, resolved)} == {KEY}
    assert (page["event"], page["severity"], page["started_at"]) == ("page", "SEV-2", "2026-01-07T12:00:00+00:00")
    assert (page["incident"], page["firing"], page["labels"]) == ("PAY-12", 2, dict(NOTICE.labels))
    assert (update["event"], update["what"], update["title"]) == ("update", "raised", NOTICE.title)
    assert acknowledged == {"version": 1, "key": KEY, "event": "acknowledge", "by": "Ada"}
    assert resolved == {"version": 1, "key": KEY, "event": "resolve", "because": "every alert ended"}
    keys = [headers["Idempotency-Key"] for _, headers in listener.heard]
    assert len(set(keys)) == 4
    await listener.send()
    assert listener.heard[-1][1]["Idempotency-Key"] == keys[0]


async def test_each_update_is_a_message_of_its_own_and_the_same_when_it_is_sent_again(listener):
    first, second = (UpdatePage("pay", KEY, NOTICE, f"raised to SEV-{level}") for level in (2, 1))
    for effect in (first, second, first):
        await listener.send(effect)
    one, other, again = (headers["Idempotency-Key"] for _, headers in listener.heard)
    assert (one == other, one == again) == (False, True)


async def test_what_the_other_side_quotes_of_the_address_is_told_to_nobody(listener, tmp_path):
    listener.status, listener.said = 404, {"message": "Cannot POST /k3y/s%20ret-key?token=t0pk3y: s ret-key, t0pk3y"}
    (tmp_path / "url").write_text((tmp_path / "url").read_text() + "/s%20ret-key?token=t0pk3y")
    with pytest.raises(Never) as refusal:
        await listener.send()
    assert not [part for part in ("k3y", "ret-key") if part in str(refusal.value)]
    assert "Cannot POST [secret]" in str(refusal.value)


async def test_a_body_is_signed_so_that_the_other_side_can_tell(listener, tmp_path):
    (tmp_path / "secret").write_text("s1gn")
    await listener.send(secret_file=str(tmp_path / "secret"))
    body, headers = listener.heard[0]
    at = int(NOON.timestamp())
    right = hmac.new(b"s1gn", b"%d." % at + body, hashlib.sha256).hexdigest()
    assert headers["X-Relay-Signature"] == f"t={at},v1={right}"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, Never), (401, Never), (302, Never), (429, Again), (408, Again), (500, Again), (503, Again)],
)
async def test_what_is_no_success_is_again_or_never_and_tells_no_address(listener, status, kind):
    listener.status = status
    with pytest.raises(kind) as refusal:
        await listener.send()
    assert "k3y" not in str(refusal.value)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_success(listener, status):
    listener.status = status
    assert await listener.send() == Delivered(KEY, "pay")


async def test_what_is_no_page_is_refused(listener):
    with pytest.raises(Never, match="cannot carry out Measure"):
        await listener.send(Measure({}))


async def test_an_address_that_is_none_is_refused_without_telling_it(listener, tmp_path):
    (tmp_path / "url").write_text("ftp://k3y")
    with pytest.raises(SecretMissing) as refused:
        await listener.send()
    assert "k3y" not in str(refused.value)
    with pytest.raises(ValidationError):
        WebhookTarget.model_validate({"type": "webhook"})
