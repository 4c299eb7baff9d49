"""What Alertmanager and its imitators post is read; what cannot be read is named and costs nothing else."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hostile import FINE, webhook
from hypothesis import given
from hypothesis import strategies as st

from relay.incident.alert import Alert
from relay.integrations.alertmanager import (
    Unusable,
    Webhook,
    fingerprint,
    read_webhook,
)

PAYLOADS = Path(__file__).parent.parent / "payloads"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def read(body: bytes, received_at: datetime = NOON) -> Webhook:
    return read_webhook(body, "am", received_at)


def read_file(name: str) -> Webhook:
    return read((PAYLOADS / name).read_bytes())


def states(found: Webhook) -> str:
    """f for each firing alert, r for each resolved one, in the body's order."""
    return "".join("f" if alert.firing else "r" for alert in found.alerts)


# ---- real bodies -------------------------------------------------------------------------------------------------

REAL = {  # alerts, truncated, receiver, reason
    "am033-1-firing": ("f", 0, "ok", "first notification"),
    "am033-2-two-firing": ("ff", 0, "ok", "new alerts added"),
    "am033-3-mixed": ("rf", 0, "ok", "some alerts resolved"),
    "am033-4-all-resolved": ("r", 0, "ok", "all alerts resolved"),
    "am033-annotation-changed-on-repeat": ("f", 0, "ok", "repeat interval elapsed"),
    "am033-bare-firing": ("f", 0, "ok", "first notification"),
    "am033-bare-resolve-timeout": ("r", 0, "ok", "all alerts resolved"),
    "am033-flap-1": ("f", 0, "ok", "first notification"),
    "am033-flap-2-startsat-moved": ("f", 0, "ok", "repeat interval elapsed"),
    "am033-groupby-all": ("f", 0, "ok", "first notification"),
    "am033-groupby-empty-child": ("ff", 0, "ok", "first notification"),
    "am033-ha-duplicate-1": ("f", 0, "slow", "first notification"),
    "am033-ha-duplicate-2": ("f", 0, "slow", "first notification"),
    "am033-late-firing-then-resolved-1": ("f", 0, "neverseen", "first notification"),
    "am033-late-firing-then-resolved-2": ("r", 0, "neverseen", "all alerts resolved"),
    "am033-no-alertname-no-annotations": ("f", 0, "ok", "first notification"),
    "am033-partial-silence-1": ("ff", 0, "partial", "first notification"),
    "am033-partial-silence-2": ("ff", 0, "partial", "new alerts added"),
    "am033-reload-1-before": ("f", 0, "reload", "first notification"),
    "am033-reload-2-after-new-groupkey": ("f", 0, "reload", "first notification"),
    "am033-reload-3-resolve-new-groupkey": ("r", 0, "reload", "all alerts resolved"),
    "am033-sendresolved-false-shrunk": ("f", 0, "noresolve", "repeat interval elapsed"),
    "am033-truncated-LIES-resolved": ("rr", 3, "trunc", "some alerts resolved"),
    "am033-truncated-firing": ("ff", 3, "trunc", "first notification"),
    "am033-unicode-regexmeta-receiver": ("f", 0, "team (a.b)/pager", "first notification"),
    "prom242-am033-seq1-1f": ("f", 0, "main", "first notification"),
    "prom242-am033-seq2-1f-2f": ("ff", 0, "main", "new alerts added"),
    "prom242-am033-seq3-1r-2f": ("rf", 0, "main", "some alerts resolved"),
    "prom242-am033-seq4-1r-2f-3f": ("rff", 0, "main", "new alerts added"),
    "prom242-am033-seq5-1r-2r-3f": ("rrf", 0, "main", "some alerts resolved"),
    "prom242-am033-seq6-1r-2r-3r": ("rrr", 0, "main", "all alerts resolved"),
    "prom242-am033-seq7-1f-2r-3r": ("frr", 0, "main", "first notification"),
    "prom242-am033-seq8-1r-2r-3r": ("rrr", 0, "main", "all alerts resolved"),
    "prom242-am033-targetdown": ("f", 0, "main", "first notification"),
    "prom242-am033-watchdog": ("f", 0, "main", "first notification"),
    "prometheus242-post-api-v2-alerts-firing": ("r", 0, "", ""),  # read at noon: its endsAt has passed
    "prometheus242-post-api-v2-alerts-resolved": ("r", 0, "", ""),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_body_is_read(name: str) -> None:
    found = read_file(f"real-{name}.json")

    assert (states(found), found.truncated, found.receiver, found.reason) == REAL[name]
    assert found.broken == ()
    if found.receiver:
        assert found.version == "4"
        assert found.external_url.startswith("http://vm:")
        assert found.group_key.startswith("{}")


def test_no_captured_body_is_left_out() -> None:
    assert {f"real-{name}.json" for name in REAL} == {path.name for path in PAYLOADS.glob("real-*.json")}


@pytest.mark.parametrize("name", REAL)
def test_the_computed_fingerprint_is_alertmanagers(name: str) -> None:
    told = json.loads((PAYLOADS / f"real-{name}.json").read_text())

    for alert in told["alerts"] if isinstance(told, dict) else []:
        assert fingerprint(alert["labels"]) == alert["fingerprint"]


def test_every_field_of_an_alert_is_taken_over() -> None:
    assert read_file("real-am033-3-mixed.json").alerts[0] == Alert(
        source="am",
        fingerprint="42caca9470f96d52",
        labels={
            "alertname": "HighErrorRate",
            "instance": "a:8080",
            "job": "api",
            "service": "checkout",
            "severity": "critical",
        },
        annotations={
            "runbook_url": "https://runbooks.example/HighErrorRate",
            "summary": "5xx ratio above 5%",
            "value": "0.0731",
        },
        starts_at=datetime(2026, 11, 23, 8, 11, 39, 989478, tzinfo=UTC),
        ends_at=datetime(2026, 11, 23, 8, 11, 53, 489644, tzinfo=UTC),
        generator_url="http://prom.example:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
    )


def test_the_request_as_it_stood_on_the_wire_is_read() -> None:
    body = (PAYLOADS / "real-am033-raw-request.http").read_bytes().split(b"\r\n\r\n", 1)[1]

    (alert,) = read(body).alerts

    assert alert.annotations == {"summary": 'a<b & c>d "q" ü'}
    assert alert.generator_url == "http://p/graph?a=1&b=2"


def test_text_in_other_scripts_survives() -> None:
    found = read_file("real-am033-unicode-regexmeta-receiver.json")

    assert found.alerts[0].labels["alertname"] == "Überlast “Ω”"
    assert found.alerts[0].annotations["empty"] == ""


def test_an_alert_without_a_name_is_an_alert() -> None:
    (alert,) = read_file("real-am033-no-alertname-no-annotations.json").alerts

    assert (alert.labels, alert.annotations, alert.generator_url) == ({"foo": "bar"}, {}, "")


# ---- dialects ----------------------------------------------------------------------------------------------------

DIALECTS = {  # alerts, truncated, version, groupKey
    "gmp-ends-in-1970": ("f", 0, "1", "gmp/mill:mill-0042"),
    "grafana-alerting-and-ok": ("fr", 0, "1", "relay-1"),
    "grafana12-test-alert": ("f", 0, "1", "relay-77c0ffee00112233-1777986297"),
    "grafana9-mixed-two-rules": ("rrf", 0, "1", "{}:{}"),
    "hand-written-types": ("f", 0, "4", ""),
    "heartbeat-empty-times": ("f", 0, "", ""),
    "minimal": ("f", 0, "", ""),
    "openshift-firing": ("f", 0, "4", '{}/{namespace="farm-shop"}:{alertname="TillErrors"}'),
    "openshift-resolved": ("r", 0, "4", '{}/{namespace="farm-shop"}:{alertname="TillErrors"}'),
    "resolved-tells-no-end": ("rrr", 0, "4", "{}:{}"),
    "v3-integer-groupkey": ("f", 0, "3", "5615590933959184469"),
    "vmalert": ("f", 0, "4", '{}/{severity=~".*"}:{alertgroup="silo", alertname="SiloNearlyFull"}'),
}
REFUSED = {
    "grafana-text-only": 'it has "text" and no "alerts"',
}
BROKEN = {"logicapp-nulls": "alerts[0].labels: expected an object, got null"}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_is_read(name: str) -> None:
    found = read_file(f"dialects/{name}.json")

    assert (states(found), found.truncated, found.version, found.group_key) == DIALECTS[name]
    assert found.broken == ()


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_is_no_webhook_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(Unusable) as refused:
        read_file(f"dialects/{name}.json")

    assert str(refused.value).startswith(REFUSED[name])


@pytest.mark.parametrize("name", BROKEN)
def test_a_body_whose_alerts_are_all_broken_is_kept(name: str) -> None:
    found = read_file(f"dialects/{name}.json")

    assert (found.alerts, [broken.reason for broken in found.broken]) == ((), [BROKEN[name]])


def test_no_dialect_is_left_out() -> None:
    assert {*DIALECTS, *REFUSED, *BROKEN} == {path.stem for path in (PAYLOADS / "dialects").glob("*.json")}


def test_an_offset_is_taken_into_account() -> None:
    assert read_file("dialects/v3-integer-groupkey.json").alerts[0].starts_at == datetime(
        2016, 9, 3, 10, 27, 8, 8000, tzinfo=UTC
    )
    assert read_file("dialects/grafana9-mixed-two-rules.json").alerts[0].ends_at == datetime(
        2026, 3, 2, 5, 25, 10, 900000, tzinfo=UTC
    )


def test_numbers_become_label_text_and_nothings_no_label() -> None:
    (alert,) = read_file("dialects/hand-written-types.json").alerts

    assert alert.labels == {"alertname": "ScaleOff", "scale": "7", "ratio": "0.5", "spare": "true"}
    assert alert.annotations == {"summary": "Scale 7 is off", "value": "12.5", "seen": '["a", "b"]'}


def test_a_resolve_always_has_an_end_and_never_before_its_start() -> None:
    ends = [alert.ends_at for alert in read_file("dialects/resolved-tells-no-end.json").alerts]

    assert ends == [NOON, datetime(2026, 11, 23, 8, tzinfo=UTC), NOON]


def test_a_fingerprint_is_kept_as_given_and_computed_only_when_there_is_none() -> None:
    assert read_file("dialects/gmp-ends-in-1970.json").alerts[0].fingerprint == "mill-stopped-0042"
    assert read_file("dialects/heartbeat-empty-times.json").alerts[0].fingerprint == fingerprint(
        {"alertname": "Heartbeat"}
    )


@pytest.mark.parametrize("given", ["", "f" * 201, None, 17, ["f"]])
def test_what_is_no_fingerprint_is_computed(given: object) -> None:
    (alert,) = read(webhook({**FINE, "fingerprint": given})).alerts

    assert alert.fingerprint == fingerprint({"gate": "north", "alertname": "GateOpen"})


def test_a_fingerprint_does_not_depend_on_the_order_of_the_labels() -> None:
    assert fingerprint({"b": "1", "a": "2"}) == fingerprint({"a": "2", "b": "1"}) != fingerprint({"a": "1", "b": "2"})


# ---- Prometheus' own list ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "expected"), [(-20, "f"), (-0.001, "f"), (0, "r"), (1, "r")])
def test_an_alert_of_prometheus_fires_until_its_end_comes(seconds: float, expected: str) -> None:
    body = (PAYLOADS / "real-prometheus242-post-api-v2-alerts-firing.json").read_bytes()
    ends_at = datetime(2026, 11, 23, 8, 21, 22, 151000, tzinfo=UTC)

    assert states(read(body, ends_at + timedelta(seconds=seconds))) == expected


def test_a_listed_alert_without_an_end_fires() -> None:
    found = read(b'[{"labels":{"alertname":"GateOpen"}},{"labels":{"alertname":"X"},"endsAt":"9999-12-31T23:59:59Z"}]')

    assert states(found) == "ff"


# ---- times -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-11-23T08:11:02Z", datetime(2026, 11, 23, 8, 11, 2, tzinfo=UTC)),
        ("2026-11-23T08:11:02.5Z", datetime(2026, 11, 23, 8, 11, 2, 500000, tzinfo=UTC)),
        ("2026-11-23T08:11:02.123456789Z", datetime(2026, 11, 23, 8, 11, 2, 123456, tzinfo=UTC)),
        ("2026-11-23T08:11:02+05:45", datetime(2026, 11, 23, 2, 26, 2, tzinfo=UTC)),
        ("2026-11-23T08:11:02.1-12:00", datetime(2026, 11, 23, 20, 11, 2, 100000, tzinfo=UTC)),
        ("9999-12-31T23:59:59-05:00", datetime(9000, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("1970-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_a_time_is_read_into_utc(told: str | None, expected: datetime | None) -> None:
    (alert,) = read(webhook({**FINE, "startsAt": told})).alerts

    assert alert.starts_at == expected
    assert alert.starts_at is None or alert.starts_at.tzinfo is UTC


@given(st.datetimes(timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m)))))
def test_every_time_of_the_calendar_can_be_told(moment: datetime) -> None:
    (alert,) = read(webhook({**FINE, "startsAt": moment.isoformat(), "status": "resolved"})).alerts

    assert alert.ends_at is not None
    if 1971 <= moment.year < 9000:
        assert alert.starts_at == moment
    assert alert.ends_at + timedelta(days=3650) > alert.ends_at
