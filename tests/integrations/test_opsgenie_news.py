"""What Opsgenie and Jira Service Management tell: webhooks, and an alert as the API shows it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.integrations.news import News
from relay.integrations.opsgenie_news import read_alert, read_news

KEY = "INC-1/1.0/L1/ada"


def told(action="Acknowledge", user="ada@example.com", alias=KEY):
    return json.dumps({"action": action, "alert": {"alertId": "1", "alias": alias, "username": user}}).encode()


def test_who_acknowledged_what():
    assert read_news(told()) == News(KEY, "acknowledged", "ada@example.com (Opsgenie)")


@pytest.mark.parametrize(
    ("user", "what"),
    [("ada@example.com", "closed"), ("System", "timed_out"), ("", "timed_out"), (None, "timed_out")],
)
def test_only_people_close_for_good(user, what):
    assert read_news(told("Close", user)).what == what


@pytest.mark.parametrize("action", ["Create", "AddNote", "UnAcknowledge", "Snooze", "of the future", None, 5])
def test_other_actions_move_nothing(action):
    assert read_news(told(action)) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.sampled_from(["action", "alert", "alias", "username"]), v),
)
alerts = st.fixed_dictionaries({"action": st.just("Close"), "alert": json_values})


@given(json_values | alerts)
def test_no_body_breaks_it(body):
    read_news(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("data", "news"),
    [
        ({"status": "open", "acknowledged": False}, None),
        (
            {"status": "open", "acknowledged": True, "report": {"acknowledgedBy": "ada"}},
            News(KEY, "acknowledged", "ada (Opsgenie)"),
        ),
        ({"status": "open", "acknowledged": True}, News(KEY, "acknowledged", "somebody (Opsgenie)")),
        (
            {"status": "closed", "acknowledged": True, "report": {"closedBy": "ada"}},
            News(KEY, "closed", "ada (Opsgenie)"),
        ),
        (
            {"status": "closed", "report": {"closedBy": "System"}},
            News(KEY, "timed_out", "System (Opsgenie)"),
        ),
        ({"status": "closed", "report": "x"}, News(KEY, "timed_out", "somebody (Opsgenie)")),
        ({}, None),
        ("x", None),
        (None, None),
    ],
)
def test_an_alert_as_the_api_shows_it(data, news):
    assert read_alert(KEY, {"data": data}) == news
