"""The probe `journey`, against a small shop that remembers who is who, and breaks when a test says so."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from places import answering, listening, ok
from pydantic import TypeAdapter, ValidationError

from relay.clock import WallClock
from synthetic.checks import Module
from synthetic.execute import execute
from synthetic.run import REASONS

MODULE = TypeAdapter(Module)
PASSWORD = 'pa"ss &wörd'
LOG_IN = {
    "name": "log-in",
    "method": "POST",
    "path": "/login",
    "body_form": {"user": "${user}", "password": "${password}"},
    "capture": {"csrf": {"body": 'csrf" value="([^"]+)"'}},
}
ORDER = {
    "name": "order",
    "method": "POST",
    "path": "/orders",
    "headers": {"X-Csrf": "${csrf}"},
    "body_json": {"sku": "${sku}", "tags": ["probe"], "count": 1},
    "status": [201],
    "capture": {"order": {"json": "order.id"}, "where": {"header": "Location"}},
}
LOOK = {"name": "look", "path": "${where}", "json": [{"path": "id", "equals": "${order}"}]}
CANCEL = {"name": "cancel", "method": "DELETE", "path": "/orders/${order}", "status": [204]}


class Shop:
    """Orders can be made by who has logged in, and they stay until they are cancelled."""

    def __init__(self):
        self.orders, self.asked, self.slow, self.location = {}, [], set(), "/orders/{}"

    async def log_in(self, request):
        form = await request.post()
        if (form["user"], form["password"]) != ("probe", PASSWORD):
            return web.Response(status=401, text=f"not {form['password']}")
        answer = web.Response(text='<input name="csrf" value="c5/rf&token">')
        answer.set_cookie("session", "s3ssion", httponly=True)
        return answer

    async def order(self, request):
        if request.cookies.get("session") != "s3ssion" or request.headers["X-Csrf"] != "c5/rf&token":
            return web.Response(status=403)
        if "order" in self.slow:
            await asyncio.sleep(5)
        number = len(self.orders) + 7
        self.orders[number] = await request.json()
        return web.json_response(
            {"order": {"id": number}}, status=201, headers={"Location": self.location.format(number)}
        )

    async def half(self, request):
        return web.Response(text='{"a": ["\\ud800"]}')

    async def away(self, request):
        status, place = self.leads_to
        return web.Response(status=status, headers={"Location": place})

    async def one(self, request):
        if "look" in self.slow:
            await asyncio.sleep(5)
        number = int(request.match_info["id"])
        if request.method == "DELETE":
            del self.orders[number]
            return web.Response(status=204)
        return web.json_response({"id": number, **self.orders[number]})

    @web.middleware
    async def _listen(self, request, handler):
        self.asked.append(f"{request.method} {request.raw_path}")
        return await handler(request)

    @asynccontextmanager
    async def open(self):
        app = web.Application(middlewares=[self._listen])
        app.add_routes(
            [
                web.post("/login", self.log_in),
                web.post("/orders", self.order),
                web.route("*", "/orders/{id}", self.one),
                web.post("/away", self.away),
                web.get("/half", self.half),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/shop?a=1"
        finally:
            await runner.cleanup()


@pytest.fixture
async def shop():
    shop = Shop()
    async with shop.open() as shop.url:
        yield shop


@pytest.fixture
def journey(shop, tmp_path):
    (tmp_path / "password").write_text(PASSWORD + "\n")
    given = {
        "kind": "journey",
        "timeout": "3s",
        "clean_up_timeout": "1s",
        "variables": {"user": "probe", "sku": "shoe"},
        "secrets": {"password": str(tmp_path / "password")},
        "steps": [LOG_IN, ORDER, LOOK],
        "clean_up": [CANCEL],
    }

    async def run(**more):
        keys = MODULE.validate_python({**given, **more})
        result = await execute(keys, shop.url, WallClock())
        assert result.reason in ("", *REASONS)
        told = "\n".join([*result.log, result.text])
        assert not [part for part in (PASSWORD, "pa%22ss", "c5/rf&token") if part in told], told
        return result

    return run


async def test_what_one_step_captures_the_next_one_uses(shop, journey):
    result = await journey()
    assert (result.text, result.success) == ("", True)
    assert shop.asked == ["POST /login", "POST /orders", "GET /orders/7", "DELETE /orders/7"]
    assert shop.orders == {}
    steps = {labels: value for (name, labels), value in result.samples.items() if name == "probe_step_success"}
    assert steps == {f'step="{name}"': 1 for name in ("log-in", "order", "look", "cancel")}
    assert result.samples["probe_step_http_status_code", 'step="order"'] == 201
    spent = sum(value for (name, _), value in result.samples.items() if name == "probe_http_duration_seconds")
    assert 0 < spent <= result.seconds


async def test_a_failure_names_its_step_and_what_was_begun_is_cleaned_up(shop, journey):
    wrong = {**LOOK, "json": [{"path": "sku", "equals": "boot"}]}
    result = await journey(steps=[LOG_IN, ORDER, wrong, {"name": "never", "path": "/never"}])
    assert (result.reason, result.text) == ("assertion", 'in the step look: sku is "shoe", and not "boot"')
    assert shop.asked[-1] == "DELETE /orders/7"
    assert shop.orders == {}
    assert result.samples["probe_step_success", 'step="look"'] == 0
    assert ("probe_step_success", 'step="never"') not in result.samples


async def test_a_log_in_that_is_refused_orders_nothing_and_has_nothing_to_clean_up(shop, journey):
    result = await journey(variables={"user": "stranger", "sku": "shoe"})
    assert (result.reason, result.text) == ("http_status", "in the step log-in: answers 401, and not 2xx")
    assert shop.asked == ["POST /login"]
    assert any("cancel: left out" in line for line in result.log)


@pytest.mark.parametrize("limits", [{"timeout": "1500ms"}, {"steps": [LOG_IN, ORDER, {**LOOK, "timeout": "300ms"}]}])
async def test_it_cleans_up_when_time_is_over(shop, journey, limits):
    shop.slow = {"look"}
    started = asyncio.get_running_loop().time()
    result = await journey(**limits)
    assert (result.reason, result.text.startswith("in the step look: no end after")) == ("http_timeout", True)
    assert asyncio.get_running_loop().time() - started < 1.6
    assert shop.asked[-1] == "DELETE /orders/7"  # nobody waits for it: it is slow as well


async def test_it_cleans_up_when_the_worker_ends(shop, journey):
    shop.slow = {"look"}
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(journey())
        while len(shop.asked) < 3:
            await asyncio.sleep(0.01)
        shop.slow = set()
        running.cancel()
    assert (running.cancelled(), shop.asked[-1], shop.orders) == (True, "DELETE /orders/7", {})


async def test_a_clean_up_that_fails_is_told_of_and_is_no_failure_of_the_journey(shop, journey):
    result = await journey(clean_up=[{**CANCEL, "status": [200]}])
    assert result.success
    assert any("the clean-up failed: in the step cancel: answers 204" in line for line in result.log)
    assert result.samples["probe_step_success", 'step="cancel"'] == 0


async def test_what_was_captured_leads_to_no_other_host(shop, journey):
    shop.location = "http://169.254.169.254/latest/meta-data?{}"
    result = await journey()
    assert (result.reason, "another host" in result.text) == ("http_redirect", True)


@pytest.mark.parametrize("status", [302, 307])
async def test_what_holds_a_secret_is_for_the_targets_own_origin_alone(shop, journey, status):
    asked = []
    async with listening(answering(ok(), asked=asked)) as elsewhere:
        shop.leads_to = (status, f"http://127.0.0.1:{elsewhere}/")
        headers = {"X-Token": "Bearer ${csrf}", "X-User": "${user}"}
        move = {"name": "move", "path": "/away", "method": "POST", "headers": headers}
        for body, told in [
            ({"body_form": {"again": "${password}"}}, status == 302),
            ({"body_json": {"again": ["${csrf}"]}}, status == 302),
            ({"body_form": {"again": "${user}"}}, True),
            ({}, True),
        ]:
            asked.clear()
            result = await journey(steps=[LOG_IN, {**move, **body}], clean_up=[])
            assert (result.reason, len(asked)) == (("", 1) if told else ("http_redirect", 0)), result.text
            assert told or result.text.endswith("what it is to be told is for the target alone")
            assert b"c5/rf" not in b"".join(asked)
            assert not told or b"X-User: probe" in asked[0]


async def test_what_is_put_into_a_path_stays_where_it_is_put(shop, journey):
    step = {"name": "a", "path": "/a/${sku}/b"}
    await journey(variables={"user": "probe", "sku": "../../x?y#z"}, steps=[step], clean_up=[])
    assert shop.asked == ["GET /a/..%2F..%2Fx%3Fy%23z/b"]


@pytest.mark.parametrize(
    ("capture", "text"),
    [
        ({"json": "order.ref"}, "the body has no order.ref, to capture a from"),
        ({"header": "X-None"}, "there is no header X-None to capture a from"),
        ({"body": "ref=(.*)"}, "the body has nothing that matches ref=(.*), to capture a from"),
    ],
)
async def test_what_is_not_there_cannot_be_captured(shop, journey, capture, text):
    result = await journey(steps=[LOG_IN, {**ORDER, "capture": {"a": capture}}], clean_up=[])
    assert (result.reason, result.text) == ("assertion", f"in the step order: {text}")


@pytest.mark.parametrize("value", ["AAA\nBBB", "€€€"])
async def test_a_value_that_cannot_be_a_header_is_not_told(shop, journey, tmp_path, value):
    (tmp_path / "token").write_text(value)
    step = {"name": "a", "headers": {"Authorization": "Bearer ${token}"}}
    result = await journey(steps=[step], clean_up=[], secrets={"token": str(tmp_path / "token")})
    assert result.reason == "http_protocol"
    assert result.text == "in the step a: this request cannot be sent: HTTP/1.1 does not allow its headers"
    assert (shop.asked, value[:3] in f"{result}") == ([], False)


async def test_half_a_letter_cannot_be_captured(shop, journey):
    half = {"name": "half", "path": "/half", "capture": {"a": {"json": "a"}}}
    result = await journey(steps=[half, {"name": "b", "path": "/b/${a}"}], clean_up=[])
    assert (result.reason, result.text) == ("assertion", "in the step half: what is there to capture a from is no text")


async def test_a_secret_that_is_not_there(shop, journey):
    result = await journey(secrets={"password": "/nowhere/password"})
    assert (result.reason, shop.asked) == ("credentials", [])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"steps": [LOG_IN, LOG_IN]}, "two steps have the name log-in"),
        ({"steps": [ORDER]}, "in the step order: nothing is called ${csrf} by then; there is: password, sku, user"),
        ({"steps": [LOG_IN, LOG_IN | {"name": "again"}]}, "the step again captures csrf, which is there already"),
        ({"steps": [{"name": "a", "path": "/$(x)"}]}, "and $$ for a dollar sign"),
        ({"steps": [{"name": "a", "body": "x", "body_json": {}}]}, "write one of body, body_json and body_form"),
        ({"steps": [{"name": "a", "capture": {"x": {"json": "a", "body": "b"}}}]}, "write one of json, body and"),
        ({"steps": []}, "at least 1 item"),
        ({"clean_up_timeout": "3s"}, "write a timeout of more than clean_up_timeout (3s), which is a part of it"),
        ({"variables": {"password": "x"}}, "password is a variable and a secret"),
    ],
)
async def test_what_cannot_be_a_journey_is_refused_when_it_is_read(journey, more, said):
    with pytest.raises(ValidationError) as refused:
        await journey(**more)
    assert said in str(refused.value)
