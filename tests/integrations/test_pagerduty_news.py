"""What PagerDuty tells: signatures, webhooks as it documents them, and its REST API."""

import hashlib
import hmac
import json

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from relay.integrations.courier import Again, Never
from relay.integrations.news import News
from relay.integrations.pagerduty_news import PagerDutyApi, read_news, signed

BODY = '{"event": "Störung ☎"}'.encode()
OLD, NEW = "an old secret", "a new one"


def sign(secret, body=BODY):
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def test_a_signature_known_beforehand():
    """Computed with `printf … | openssl dgst -sha256 -hmac`."""
    right = "v1=8b5f48702995c1598c573db1e21866a9b825d4a794d169d7060a03605796360b"
    assert signed(b"message", right, ["secret"])


@pytest.mark.parametrize(
    ("header", "secrets", "right"),
    [
        (sign(NEW), [NEW], True),
        (f"{sign(OLD)},{sign(NEW)}", [NEW], True),
        (f"{sign('other')}, {sign(OLD)}", [OLD, NEW], True),
        (sign(NEW), [OLD], False),
        (sign(NEW, BODY + b" "), [NEW], False),
        (sign(NEW).removeprefix("v1="), [NEW], False),
        (sign(NEW).replace("v1", "v2"), [NEW], False),
        (sign(NEW)[:-1], [NEW], False),
        (sign(NEW).upper(), [NEW], False),
        ("v1=" + sign(NEW)[3:].upper(), [NEW], False),
        (sign(""), [], False),
        ("", [NEW], False),
    ],
)
def test_one_right_signature_of_this_very_body_is_needed(header, secrets, right):
    assert signed(BODY, header, secrets) is right


@given(st.text())
def test_no_header_breaks_it(header):
    assert not signed(BODY, header, [NEW])


def told(kind="incident.acknowledged", key="INC-1/1.0/L1/ada", agent=None, **data):
    agent = {"type": "user_reference", "summary": "Ada Lovelace"} if agent is None else agent
    return json.dumps(
        {"event": {"event_type": kind, "agent": agent, "data": {"id": "PGR0VU2", "incident_key": key, **data}}}
    ).encode()


def test_who_acknowledged_what():
    assert read_news(told()) == News("INC-1/1.0/L1/ada", "acknowledged", "Ada Lovelace (PagerDuty)", "PGR0VU2")


def test_an_incident_without_a_key_is_known_by_its_alerts():
    assert read_news(told(key=None)) == News("", "acknowledged", "Ada Lovelace (PagerDuty)", "PGR0VU2")
    assert read_news(told(key=None, id=None)) is None


@pytest.mark.parametrize("id_", ["../users", "a b", "", 5, "ü"])
def test_a_name_that_is_none_is_not_asked_for(id_):
    assert read_news(told(id=id_)).group == ""


@pytest.mark.parametrize(
    ("agent", "what"),
    [
        ({"type": "user_reference", "summary": "Ada"}, "closed"),
        ({"type": "user", "summary": "Ada"}, "closed"),
        ({"type": "service_reference", "summary": "Checkout"}, "timed_out"),
        ({"type": "inbound_integration_reference"}, "timed_out"),
        ({}, "timed_out"),
        ("x", "timed_out"),
    ],
)
def test_only_people_close_for_good(agent, what):
    assert read_news(told("incident.resolved", agent=agent)).what == what


@pytest.mark.parametrize(
    ("name", "by"),
    [
        (None, "somebody"),
        ("", "somebody"),
        (5, "somebody"),
        ("Ada\x00\n\ud800  L.", "Ada L."),
        ("‮evil", "evil"),
        ("é" * 300, "é" * 99 + "…"),
    ],
)
def test_a_name_is_one_line_that_can_be_kept(name, by):
    found = read_news(told(agent={"type": "user", "summary": name}))
    assert found.by == f"{by} (PagerDuty)"
    assert found.by.encode()


@pytest.mark.parametrize("kind", ["triggered", "unacknowledged", "escalated", "reopened", "annotated", "of the future"])
def test_other_events_move_nothing(kind):
    assert read_news(told(f"incident.{kind}")) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: (
        st.lists(v)
        | st.dictionaries(
            st.sampled_from(["event", "event_type", "data", "agent", "incident_key", "id", "type", "summary"]), v
        )
    ),
)


@given(
    json_values
    | st.fixed_dictionaries(
        {
            "event": st.fixed_dictionaries(
                {"event_type": st.just("incident.resolved"), "data": json_values, "agent": json_values}
            )
        }
    )
)
def test_no_body_breaks_it(body):
    read_news(json.dumps(body).encode())


# ---- asking ----


@pytest.fixture
async def rest():
    """Its REST API, which answers what a test says; and what it was asked."""
    answers, asked = [], []

    async def answer(request):
        asked.append(request.path_qs)
        assert request.headers["Authorization"] == "Token token=t0ken"
        assert request.headers["Accept"] == "application/vnd.pagerduty+json;version=2"
        status, body = answers.pop(0)
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield answers, asked, PagerDutyApi(str(server.make_url("")).rstrip("/"), "t0ken", 5.0, None), session


async def test_the_latest_incident_of_a_key_is_asked_for(rest):
    answers, asked, api, session = rest
    answers.append((200, {"incidents": [{"status": "resolved", "last_status_change_by": {"type": "user_reference"}}]}))
    assert await api.ask_about("INC-1/1.0/L 1/a&b", session) == News(
        "INC-1/1.0/L 1/a&b", "closed", "somebody (PagerDuty)"
    )
    assert "incident_key=INC-1/1.0/L+1/a%26b&" in asked[0]


@pytest.mark.parametrize("odd", [None, "x", 5, ["y"], {"type": 7, "summary": []}])
async def test_an_odd_answer_is_no_persons(rest, odd):
    answers, _, api, session = rest
    answers.append((200, {"incidents": [{"status": "resolved", "last_status_change_by": odd}]}))
    answers.append((200, {"incidents": [{"status": "acknowledged", "acknowledgements": [odd]}]}))
    assert (await api.ask_about("k", session)).what == "timed_out"
    assert (await api.ask_about("k", session)).by == "somebody (PagerDuty)"


@pytest.mark.parametrize("body", [{}, [], {"incidents": None}, "x"])
async def test_what_is_not_understood_is_no_news_of_nothing(rest, body):
    answers, _, api, session = rest
    answers.append((200, body))
    with pytest.raises(Again, match="not understood"):
        await api.ask_about("k", session)


async def test_all_alerts_of_an_incident_are_asked_for(rest):
    answers, asked, api, session = rest
    answers.append((200, {"alerts": [{"alert_key": "a"}, {"alert_key": None}, 5], "more": True}))
    answers.append((200, {"alerts": [{"alert_key": "b"}], "more": False}))
    assert await api.keys_of("PGR0VU2", session) == ["a", "b"]
    assert asked == [f"/incidents/PGR0VU2/alerts?limit=100&offset={n}" for n in (0, 100)]


async def test_a_list_without_an_end_is_left(rest):
    answers, asked, api, session = rest
    answers += [(200, {"alerts": [{"alert_key": "a"}], "more": True})] * 20
    assert len(await api.keys_of("PGR0VU2", session)) == len(asked) == 10


@pytest.mark.parametrize(("status", "trouble"), [(401, Never), (404, Never), (429, Again), (500, Again)])
async def test_a_refusal_is_told(rest, status, trouble):
    answers, _, api, session = rest
    answers += [(status, {"error": {"message": "no t0ken"}})] * 2
    for asking in (api.keys_of, api.ask_about):
        with pytest.raises(trouble) as told_:
            await asking("PGR0VU2", session)
        assert "t0ken" not in str(told_.value)
