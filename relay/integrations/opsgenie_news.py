"""What Opsgenie and Jira Service Management tell: by their webhooks, and when they are asked for an alert by its alias.

Contract: Opsgenie's documentation, "Webhook integration" (no signature: a secret header) and "Alert API".
"""

import json
from collections.abc import Mapping
from typing import Any

from relay.integrations.news import News, What, spell_who

_ITSELF = ("", "system", "opsgenie")
"""Users under whose name an alert is closed by a policy, and not by a person."""


def read_news(body: bytes) -> News | None:
    """Read a webhook whose secret was right; None when it tells nothing that moves an incident of Relay."""
    try:
        told = json.loads(body)
        alert, action = told["alert"], told["action"]
        alias, user = alert["alias"], str(alert.get("username") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(alias, str):
        return None
    match action:
        case "Acknowledge":
            return News(alias, "acknowledged", _who(user))
        case "Close":
            return News(alias, _closed(user), _who(user))
    return None


def read_alert(alias: str, told: Mapping[str, Any]) -> News | None:
    """Read an alert as the API shows it."""
    data = told.get("data")
    if not isinstance(data, dict):
        return None
    report = data.get("report")
    told_by = report if isinstance(report, dict) else {}
    if data.get("status") == "closed":
        by = str(told_by.get("closedBy") or "")
        return News(alias, _closed(by), _who(by))
    if data.get("acknowledged") is True:
        return News(alias, "acknowledged", _who(str(told_by.get("acknowledgedBy") or "")))
    return None


def _closed(user: str) -> What:
    return "timed_out" if user.lower() in _ITSELF else "closed"


def _who(user: str) -> str:
    return spell_who(user, "Opsgenie")
