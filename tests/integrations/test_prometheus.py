"""What Prometheus knows for certain is a value; everything else is unknown, and says why. It never fails a severity."""

import asyncio
import json
import math
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from rigs import PAGE

from relay.clock import ManualClock
from relay.incident.effects import Measure, Page
from relay.incident.events import Measured
from relay.integrations.courier import Never
from relay.integrations.prometheus import AT_ONCE, MOST_REMEMBERED, Prometheus, read_answer
from relay.store.encoding import write_event

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
TOKEN = "prom-token-1234567890"


def success(kind: str, result: Any, **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}, **more}


def vector(*values: str, **more: Any) -> dict[str, Any]:
    return success("vector", [{"metric": {}, "value": [1767787200.0, value]} for value in values], **more)


class Standing:
    """A Prometheus that answers what a test writes down; `answers` maps a query to a body, or a status and a body."""

    def __init__(self, courier: Prometheus, session: aiohttp.ClientSession, clock: ManualClock) -> None:
        self.courier = courier
        self.clock = clock
        self.session = session
        self.answers: dict[str, Any] = {}
        self.delay = 0.0
        self.asked: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(await request.post())
        assert (request.method, request.path) == ("POST", "/prom/api/v1/query")
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        query = str(form["query"])
        self.forms.append({name: str(value) for name, value in form.items()})
        self.asked[query] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay)
        self.at_once -= 1
        answer = self.answers.get(query, vector("1"))
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        if status == 302:
            return web.Response(status=302, headers={"Location": f"/login?token={TOKEN}"})
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type="text/html" if body is text else "application/json")

    async def measure(self, **queries: str) -> Measured:
        return await self.courier.carry_out(Measure(queries), self.session)

    async def reason(self, answer: Any) -> str:
        """Why an answer makes a fact unknown."""
        query = f"q{len(self.answers)}"
        self.answers[query] = answer
        measured = await self.measure(fact=query)
        assert measured.values == {}
        return measured.unknown["fact"]


@asynccontextmanager
async def standing(**settings: Any) -> AsyncIterator[Standing]:
    clock = ManualClock(NOON)
    holder: list[Standing] = []
    runner = web.ServerRunner(web.Server(lambda request: holder[0].handle(request)), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/prom/"
        async with aiohttp.ClientSession() as session:
            holder.append(Standing(Prometheus(url, TOKEN, clock=clock, **settings), session, clock))
            yield holder[0]
    finally:
        await runner.cleanup()


@pytest.fixture
async def it() -> AsyncIterator[Standing]:
    async with standing() as it:
        yield it


async def test_one_sample_or_a_scalar_is_a_value(it: Standing) -> None:
    it.answers = {
        "errors": vector("0.07"),
        "nothing": vector("0"),
        "exact": vector("1e-05"),
        "scalar": success("scalar", [1767787200.0, "42"]),
    }

    measured = await it.measure(errors="errors", nothing="nothing", exact="exact", scalar="scalar")

    assert measured == Measured({"errors": 0.07, "nothing": 0.0, "exact": 1e-05, "scalar": 42.0}, {})
    assert all(form["timeout"] == "1800ms" for form in it.forms), "Prometheus gives up before we do"


async def test_a_value_that_cannot_be_is_unknown_with_the_reason(it: Standing) -> None:
    matrix = [{"metric": {}, "values": [[1767787200.0, "1"]]}]
    assert "nothing for it (empty result)" in await it.reason(vector())
    assert "answered NaN" in await it.reason(vector("NaN"))
    assert "answered NaN" in await it.reason(success("scalar", [1767787200.0, "NaN"]))
    assert "answered +Inf" in await it.reason(vector("+Inf"))
    assert "answered -Inf" in await it.reason(vector("-Inf"))
    assert "3 series" in await it.reason(vector("1", "2", "3"))
    assert "with a string" in await it.reason(success("string", [1767787200.0, "5"]))
    assert "with a matrix" in await it.reason(success("matrix", matrix))
    assert "'many', which is not a number" in await it.reason(vector("many"))
    assert "histogram" in await it.reason(success("vector", [{"metric": {}, "histogram": [0, {"count": "1"}]}]))
    assert "not a number" in await it.reason(success("vector", [{"metric": {}, "value": [0, 5]}]))
    assert "no result" in await it.reason({"status": "success", "data": None})


async def test_a_refusal_or_failure_is_unknown_with_the_reason(it: Standing) -> None:
    wrong = {"status": "error", "errorType": "bad_data", "error": f"parse error near {TOKEN}"}
    slow = {"status": "error", "errorType": "timeout", "error": "query timed out"}
    assert await it.reason((400, wrong)) == "Prometheus refused it (HTTP 400): parse error near [secret]"
    assert await it.reason((503, slow)) == "Prometheus failed at it (HTTP 503): query timed out"
    assert "(HTTP 401)" in await it.reason((401, "no"))
    assert "not as its API does" in await it.reason((200, "<html>Sign in</html>"))
    assert "not as its API does" in await it.reason((200, {"status": "error"}))
    assert "(HTTP 502)" in await it.reason((502, "<html>Bad gateway</html>"))
    assert "check the address" in await it.reason((302, ""))
    assert "more than 64 KiB" in await it.reason((200, vector(*["1"] * 5_000)))
    assert TOKEN not in str(it.courier._memory)


async def test_missing_data_is_unknown_and_a_hint_about_the_query_is_not(it: Standing) -> None:
    it.answers["hinted"] = vector("5", warnings=["PromQL warning: bucket label is missing"], infos=["PromQL info: x"])
    assert (await it.measure(fact="hinted")).values == {"fact": 5.0}

    for warning in ("partial response: store sidecar-2 timed out", "results truncated due to limit", {"odd": 1}):
        assert "data is missing" in await it.reason(vector("5", warnings=["PromQL warning: x", warning]))


@pytest.mark.parametrize(
    "answer", [vector("5", warnings=["store \ud800\x00 failed"]), success("\ud800\x00", []), vector("\ud800")]
)
async def test_a_reason_can_be_kept_whatever_prometheus_says(it: Standing, answer: dict[str, Any]) -> None:
    assert write_event(Measured({}, {"fact": await it.reason(answer)}))


async def test_one_that_is_slow_is_unknown_and_holds_nobody_up() -> None:
    async with standing(timeout=0.2) as it:
        it.delay = 30
        began = time.monotonic()

        measured = await it.measure(**{f"fact{number}": f"q{number}" for number in range(AT_ONCE * 3)})

        assert set(measured.unknown.values()) == {"Prometheus did not answer within 0.2 s"}
        assert time.monotonic() - began < 1.5, "the queries that wait for a free place give up as well"
        it.delay = 0


async def test_one_that_is_down_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with aiohttp.ClientSession() as session:
        measured = await Prometheus(f"http://127.0.0.1:{port}").carry_out(Measure({"fact": "up"}), session)

    assert measured.values == {}
    assert "cannot connect" in measured.unknown["fact"]


async def test_what_cannot_be_asked_stays_unknown(it: Standing) -> None:
    measured = await it.courier.carry_out(
        Measure({"errors": "errors"}, {"lost": "alerts do not share the label service"}), it.session
    )

    assert measured == Measured({"errors": 1.0}, {"lost": "alerts do not share the label service"})


async def test_it_is_asked_facts_and_nothing_else(it: Standing) -> None:
    assert isinstance(PAGE, Page)
    with pytest.raises(Never):
        await it.courier.carry_out(PAGE, it.session)


async def test_the_same_question_is_asked_once_while_it_is_under_way(it: Standing) -> None:
    it.delay = 0.05

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(it.measure(one="same", two="same", own=f"q{n}")) for n in range(3)]

    assert it.asked == {"same": 1, "q0": 1, "q1": 1, "q2": 1}
    assert all(task.result().values == {"one": 1.0, "two": 1.0, "own": 1.0} for task in asking)


async def test_who_gives_up_waiting_does_not_spoil_the_answer_for_others(it: Standing) -> None:
    it.delay = 0.1
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(it.measure(fact="same"))
        await asyncio.sleep(0.02)
        impatient, patient = (tasks.create_task(it.measure(fact="same")) for _ in range(2))
        await asyncio.sleep(0.02)
        impatient.cancel()

    assert (first.result().values, patient.result().values) == ({"fact": 1.0}, {"fact": 1.0})


async def test_who_waits_for_a_question_that_is_broken_off_is_told(it: Standing) -> None:
    it.delay = 0.1
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(it.measure(fact="same"))
        await asyncio.sleep(0.02)
        second = tasks.create_task(it.measure(fact="same"))
        await asyncio.sleep(0.02)
        first.cancel()

    assert second.result().unknown == {"fact": "the question was broken off"}
    assert (await it.measure(fact="same")).values == {"fact": 1.0}, "and it is asked anew"


async def test_no_more_than_a_few_are_asked_at_once(it: Standing) -> None:
    it.delay = 0.01

    measured = await it.measure(**{f"fact{number}": f"q{number}" for number in range(30)})

    assert len(measured.values) == 30
    assert it.most_at_once == AT_ONCE


async def test_a_value_is_believed_for_30_seconds_and_a_failure_for_5(it: Standing) -> None:
    it.answers["bad"] = vector("NaN")

    for seconds, good, bad in ((0, 1, 1), (4, 1, 1), (2, 1, 2), (23, 1, 3), (1, 2, 3)):
        it.clock.advance(timedelta(seconds=seconds))
        await it.measure(good="good", bad="bad")
        assert it.asked == {"good": good, "bad": bad}

    it.clock.advance(timedelta(hours=-1))
    await it.measure(good="good")
    assert it.asked["good"] == 3, "a clock that was set back makes nothing believed for longer"


async def test_what_is_remembered_is_bounded(it: Standing) -> None:
    for number in range(MOST_REMEMBERED + 10):
        it.courier._remember(f"q{number}", 1.0)

    assert len(it.courier._memory) == MOST_REMEMBERED
    assert "q9" not in it.courier._memory


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@given(
    st.fixed_dictionaries(
        {"data": st.fixed_dictionaries({"resultType": st.sampled_from(["vector", "scalar", "matrix"]), "result": JSON})}
    )
    | st.dictionaries(st.sampled_from(["data", "warnings", "status"]), JSON)
)
def test_no_answer_is_more_than_a_number_or_a_reason(told: dict[str, Any]) -> None:
    found = read_answer(told)

    assert math.isfinite(found) if isinstance(found, float) else found
