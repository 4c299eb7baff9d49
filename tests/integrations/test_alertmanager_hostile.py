"""Whatever is posted: the alerts that can be used are read, the others are named, and nothing breaks."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hostile import FINE, HOSTILE, Hostile, amid_fine, webhook
from hypothesis import given
from hypothesis import strategies as st

from relay.integrations.alertmanager import (
    LONGEST_BROKEN,
    LONGEST_TEXT,
    MOST_ALERTS,
    MOST_BROKEN,
    Unusable,
    Webhook,
    read_webhook,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def read(body: bytes) -> Webhook:
    return read_webhook(body, "am", NOON)


def outcome(body: bytes) -> Webhook | str:
    """The webhook, or why there is none."""
    try:
        return read(body)
    except Unusable as refused:
        return str(refused)


def storable(text: str) -> bool:
    """Whether PostgreSQL takes it as text, and it is not endless."""
    return "\0" not in text and text == text.encode("utf-8", "replace").decode() and len(text) <= LONGEST_TEXT


def texts(found: Webhook | str) -> list[str]:
    """Every text in it."""
    if isinstance(found, str):
        return [found]
    group = [found.group_key, found.receiver, found.external_url, found.version, found.reason]
    broken = [text for broken in found.broken for text in (broken.reason, broken.body)]
    alerts = [text for a in found.alerts for text in (a.fingerprint, a.generator_url)]
    pairs = [pair for a in found.alerts for pair in (*a.labels.items(), *a.annotations.items())]
    return [*group, *broken, *alerts, *(text for pair in pairs for text in pair)]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_a_hostile_body_does_no_harm(hostile: Hostile) -> None:
    began = time.process_time()
    found = outcome(hostile.body)
    assert time.process_time() - began < 1

    if isinstance(found, str):
        assert hostile.expected == "unusable"
        assert len(found) < 300
    else:
        assert hostile.expected == (("partly" if found.alerts else "broken") if found.broken else "good")
    assert all(map(storable, texts(found)))


@pytest.mark.parametrize("hostile", [h for h in HOSTILE if h.expected == "partly"], ids=lambda hostile: hostile.name)
def test_a_broken_alert_loses_none_of_the_others_and_is_named(hostile: Hostile) -> None:
    found = read(hostile.body)

    assert [alert.fingerprint for alert in found.alerts] == ["00000000000000aa", "00000000000000ab"]
    (broken,) = found.broken
    assert broken.position == 1
    assert broken.reason.startswith("alerts[1]")
    assert len(broken.reason) < 200
    assert len(broken.body) <= LONGEST_BROKEN


def test_the_reason_says_what_is_wrong_and_where() -> None:
    found = read(webhook({**FINE, "status": "odd"}, FINE, {**FINE, "labels": None}, {**FINE, "startsAt": "soon"}))

    assert [broken.reason for broken in found.broken] == [
        'alerts[0].status: expected "firing" or "resolved", got "odd"',
        "alerts[2].labels: expected an object, got null",
        'alerts[3].startsAt: expected a time with its offset, such as 2026-01-31T09:00:00Z, got "soon"',
    ]
    assert json.loads(found.broken[1].body) == {**FINE, "labels": None}


def test_a_flood_of_broken_alerts_is_counted_rather_than_listed() -> None:
    found = read(webhook(FINE, *[None] * 5000))

    assert len(found.alerts) == 1
    assert len(found.broken) == MOST_BROKEN
    assert found.broken[-1].reason == "alerts[1000]: expected an object, got null (and 4,000 broken alerts after it)"


def test_more_alerts_than_anyone_sends_are_refused_at_once() -> None:
    assert outcome(webhook(*[0] * (MOST_ALERTS + 1))) == "expected at most 250,000 alerts, got 250,001"


def test_no_depth_is_too_much_to_be_read_or_refused() -> None:
    for depth in range(0, 1100):  # near the interpreter's limit a value may be read, and yet be too deep to be written
        nest = b"[" * depth + b"]" * depth
        assert outcome(amid_fine(0).replace(b",0,", b",[" + nest + b"],"))
        assert outcome(b'[{"labels":{"a":"b"},"annotations":{"x":[' + nest + b"]}}]")


def test_what_is_no_number_is_no_label() -> None:
    (alert,) = read(
        webhook({**FINE, "labels": {"alertname": "x", "a": float("nan"), "b": float("-inf"), "c": 1e3}})
    ).alerts

    assert alert.labels == {"alertname": "x", "c": "1000.0"}


def test_what_postgresql_cannot_store_is_replaced() -> None:
    alert = {**FINE, "labels": {"alert\0name": "a\ud800b", "ok": "ü"}, "annotations": {"s": "\0"}, "fingerprint": "\0f"}

    (found,) = read(webhook(alert)).alerts

    assert found.labels == {"alert\ufffdname": "a\ufffdb", "ok": "ü"}
    assert found.annotations == {"s": "\ufffd"}
    assert found.fingerprint == "\ufffdf"


def test_what_is_too_long_is_cut() -> None:
    (alert,) = read(webhook({**FINE, "labels": {"x": "y" * 100_000}, "annotations": {"s": "ü" * LONGEST_TEXT}})).alerts

    assert alert.labels["x"] == "y" * (LONGEST_TEXT - 1) + "…"
    assert alert.annotations["s"] == "ü" * LONGEST_TEXT


@pytest.mark.parametrize(
    ("told", "expected"), [(0, 0), (3, 3), (-3, 0), (None, 0), (10**30, 2**31 - 1), ("3", 1), ([1], 1), ("", 0)]
)
def test_a_count_of_missing_alerts_that_cannot_be_read_counts_as_one(told: Any, expected: int) -> None:
    assert read(webhook(FINE, truncatedAlerts=told)).truncated == expected


# ---- anything at all ---------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20)
FIELDS = st.sampled_from(["alerts", "text", "groupKey", "truncatedAlerts", "receiver", *FINE]) | st.text(max_size=5)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=5), max_leaves=20
)
ALERTS = st.fixed_dictionaries({}, optional={field: JSON | st.just(FINE[field]) for field in FINE})


@given(JSON | st.fixed_dictionaries({"alerts": JSON | st.lists(ALERTS, max_size=4)}) | st.lists(ALERTS, max_size=4))
def test_any_json_is_read_or_refused(told: Any) -> None:
    found = outcome(json.dumps(told).encode())

    assert all(map(storable, texts(found)))
    if isinstance(found, Webhook):
        assert all(alert.labels and alert.fingerprint for alert in found.alerts)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_are_read_or_refused(inserted: bytes, at: int) -> None:
    for body in (inserted, webhook(FINE)[:at] + inserted + webhook(FINE)[at:]):
        assert all(map(storable, texts(outcome(body))))


@given(
    JSON | ALERTS | st.tuples(st.sampled_from(sorted(FINE)), JSON).map(lambda change: {**FINE, change[0]: change[1]})
)
def test_whatever_one_alert_becomes_the_others_are_kept(alert: Any) -> None:
    found = read(amid_fine(alert))

    first, *middle, last = found.alerts
    assert (first.fingerprint, last.fingerprint) == ("00000000000000aa", "00000000000000ab")
    assert first.labels == last.labels == FINE["labels"]
    assert len(middle) + len(found.broken) == 1


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=6))
def test_labels_that_are_text_come_through_unchanged(labels: dict[str, str]) -> None:
    labels = {name.replace("\0", ""): value.replace("\0", "") for name, value in labels.items()} | {"alertname": "x"}

    (alert,) = read(webhook({**FINE, "labels": labels})).alerts

    assert alert.labels == {name: value for name, value in labels.items() if value}
