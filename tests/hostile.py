"""Bodies that a sender in trouble, a careless one or a malicious one may post where a webhook is expected.

Each says what is to become of it: `unusable` (refused, with a reason), `broken` (no alert can be used, and all are
named), `partly` (the alerts that can be used are taken, the others are named) or `good` (taken whole). None may cause
anything else: no crash, no stall, no answer 500.
"""

import json
from typing import Any, NamedTuple

FINE = {
    "status": "firing",
    "labels": {"alertname": "GateOpen", "gate": "north"},
    "annotations": {"summary": "The north gate stands open"},
    "startsAt": "2026-11-23T08:11:02.5Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prom.example/graph",
    "fingerprint": "00000000000000aa",
}
"""An alert with nothing wrong in it. In a body that is `partly` usable it stands first and last."""


class Hostile(NamedTuple):
    """A body, and what is to become of it: `unusable`, `broken`, `partly` or `good`."""

    name: str
    body: bytes
    expected: str


def webhook(*alerts: Any, **group: Any) -> bytes:
    """Write a body of version 4 with the alerts, as compact as Alertmanager writes it; fields of the group on top."""
    told = {"version": "4", "groupKey": "{}:{}", "receiver": "relay", "status": "firing", "truncatedAlerts": 0}
    return json.dumps(told | {"alerts": list(alerts)} | group, separators=(",", ":")).encode()


def amid_fine(alert: Any) -> bytes:
    """Write a body in which an alert stands between two fine ones."""
    return webhook(FINE, alert, {**FINE, "fingerprint": "00000000000000ab"})


def _raw(inserted: bytes) -> bytes:
    """Write a fine body with bytes in its summary that `json.dumps` would never write."""
    return webhook(FINE).replace(b"The north", b"The " + inserted + b"north")


_DEEP = 100_000

NOT_JSON = {
    "empty": b"",
    "one space": b" ",
    "a word": b"hello",
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "a form": b"payload=%7B%22alerts%22%3A%5B%5D%7D",
    "yaml": b"alerts:\n- status: firing\n",
    "cut short": webhook(FINE)[:-40],
    "cut in an escape": b'{"alerts":[{"labels":{"a":"\\u00',
    "trailing bytes": webhook(FINE) + b"x",
    "two bodies": webhook(FINE) * 2,
    "trailing comma": webhook(FINE)[:-1] + b",}",
    "single quotes": b"{'alerts': []}",
    "only NULs": b"\0" * 1000,
    "only spaces": b" " * 1_000_000,
    "random bytes": bytes(range(256)) * 4,
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xab\x56",
    "protobuf": b"\x0a\x05\x12\x03abc\x18\x01",
    "UTF-8 that ends in a character": webhook(FINE)[:-2] + b"\xe2\x82",
    "Latin-1": _raw("Überlast ".encode("latin-1")),
    "overlong UTF-8": _raw(b"\xc0\xaf"),
    "100,000 lists deep": b'{"alerts":' + b"[" * _DEEP + b"]" * _DEEP + b"}",
    "100,000 objects deep": b'{"alerts":[{"labels":' + b'{"a":' * _DEEP + b"1" + b"}" * _DEEP + b"}]}",
    "100,000 opened": b"[" * _DEEP,
    "a million backslashes": b'{"alerts":"' + b"\\" * 1_000_001,
}

NOT_A_WEBHOOK = {
    "null": b"null",
    "true": b"true",
    "a number": b"17",
    "a string": b'"alerts"',
    "NaN alone": b"NaN",
    "a 5,000-digit integer alone": b"7" * 5000,
    "an empty object": b"{}",
    "a chat message": b'{"text": "TestAlert: a message from the contact point"}',
    "alerts null": b'{"alerts":null}',
    "alerts an object": b'{"alerts":{"0":{}}}',
    "alerts a string": b'{"alerts":"[]"}',
    "alerts a number": b'{"alerts":1}',
    "alert instead of alerts": json.dumps({"version": "1", "status": "firing", "alert": [FINE]}).encode(),
    "a list of numbers": b"[1,2,3]",
    "a list of lists": b"[[],[]]",
    "an event recorder's list": b'[{"@timestamp":"2026-11-23T08:27:33Z","instance":"vm","data":{"startup":{}}}]',
    "a million ones": b'{"alerts":[' + b"1," * 1_000_000 + b"1]}",
    "200,000 empty alerts": b'{"alerts":[' + b"{}," * 200_000 + b"{}]}",
    "every field null": webhook({field: None for field in FINE}),
    "every field a list": webhook({field: [] for field in FINE}),
}

BROKEN_ALERTS: dict[str, Any] = {
    "alert null": None,
    "alert a number": 1,
    "alert a string": "firing",
    "alert a list": [FINE],
    "alert empty": {},
    "labels null": {**FINE, "labels": None},
    "labels a list": {**FINE, "labels": ["alertname", "x"]},
    "labels a string": {**FINE, "labels": "alertname"},
    "labels empty": {**FINE, "labels": {}},
    "labels all empty": {**FINE, "labels": {"alertname": "", "job": None}},
    "label an object": {**FINE, "labels": {"alertname": "x", "pod": {"name": "y"}}},
    "label a list": {**FINE, "labels": {"alertname": ["x"]}},
    "1,001 labels": {**FINE, "labels": {f"l{n}": "x" for n in range(1001)}},
    "100,000 labels": {**FINE, "labels": {f"l{n}": "x" for n in range(100_000)}},
    "annotations a list": {**FINE, "annotations": ["summary"]},
    "annotations a string": {**FINE, "annotations": "summary"},
    "no status": {key: value for key, value in FINE.items() if key != "status"},
    "status unknown": {**FINE, "status": "data"},
    "status a list": {**FINE, "status": ["firing"]},
    "status NUL": {**FINE, "status": "firing\0"},
    "startsAt a word": {**FINE, "startsAt": "yesterday"},
    "startsAt a number": {**FINE, "startsAt": 1763885462},
    "startsAt without offset": {**FINE, "startsAt": "2026-11-23T08:11:02"},
    "startsAt on a 30th of February": {**FINE, "startsAt": "2026-02-30T08:11:02Z"},
    "startsAt a megabyte": {**FINE, "startsAt": "2" * 1_000_000},
    "surrogates and a NUL in a broken alert": {**FINE, "labels": None, "annotations": {"\ud800": "\0\udfff"}},
    "endsAt of a resolve a word": {**FINE, "status": "resolved", "endsAt": "soon"},
}

ODD_ALERTS: dict[str, Any] = {
    "NUL in a label": {**FINE, "labels": {"alertname": "a\0b", "na\0me": "x"}},
    "NUL in an annotation": {**FINE, "annotations": {"summary": "a\0b"}},
    "NUL in a fingerprint": {**FINE, "fingerprint": "a\0b"},
    "lone surrogates": {**FINE, "labels": {"alertname": "\ud800", "\udfff": "x"}, "annotations": {"\ud800": "\udc00"}},
    "a format string": {
        **FINE,
        "labels": {"alertname": "{alertname:>100000000}", "x": "%(y)1000000000s {0.__class__}"},
    },
    "template syntax": {**FINE, "labels": {"alertname": "{{ 7*7 }}${x}#{y}<%= z %>", "q": "'; DROP TABLE alert; --"}},
    "markup": {**FINE, "annotations": {"summary": "<script>alert(1)</script>\u202e\u2028\x1b[31m"}},
    "a megabyte in a label": {**FINE, "labels": {"alertname": "x" * 1_000_000, "y" * 1_000_000: "z"}},
    "a megabyte in an annotation": {**FINE, "annotations": {"summary": "ü" * 1_000_000}},
    "numbers in labels": {**FINE, "labels": {"alertname": "x", "port": 8080, "ratio": 0.5, "up": True, "none": None}},
    "NaN and infinity": {**FINE, "labels": {"alertname": "x", "n": float("nan")}, "values": {"A": float("-inf")}},
    "a huge float": {**FINE, "labels": {"alertname": "x", "n": 1e308}},
    "1,000 labels": {**FINE, "labels": {f"l{n}": "x" for n in range(1000)}},
    "10,000 annotations": {**FINE, "annotations": {f"a{n}": "x" for n in range(10_000)}},
    "100,000 annotations": {**FINE, "annotations": {f"a{n}": "x" for n in range(100_000)}},
    "objects in annotations": {**FINE, "annotations": {"a": {"b": [1, None, {"c": "d"}]}}},
    "a fingerprint of 201 characters": {**FINE, "fingerprint": "f" * 201},
    "a fingerprint of the wrong type": {**FINE, "fingerprint": 170},
    "a generatorURL of the wrong type": {**FINE, "generatorURL": ["x"]},
    "no alertname": {**FINE, "labels": {"job": "x"}},
    "an empty label name": {**FINE, "labels": {"": "x", "alertname": "y"}},
    "names of Python": {**FINE, "labels": {"__class__": "x", "__proto__": "y", "self": "z"}},
    "only status and labels": {"status": "firing", "labels": {"alertname": "x"}},
    "the year 1": {**FINE, "startsAt": "0001-01-01T00:00:00+14:00"},
    "the year 9999": {**FINE, "startsAt": "9999-12-31T23:59:59Z"},
    "beyond the calendar": {**FINE, "startsAt": "9999-12-31T23:59:59-05:00"},
    "an end that cannot be read while it fires": {**FINE, "endsAt": "soon"},
    "resolved before it began": {**FINE, "status": "resolved", "endsAt": "2026-11-22T00:00:00Z"},
}

ODD_BODIES = {
    "no alerts": webhook(),
    "an empty list": b"[]",
    "a byte order mark": b"\xef\xbb\xbf" + webhook(FINE),
    "UTF-16": webhook(FINE).decode().encode("utf-16"),
    "UTF-32": webhook(FINE).decode().encode("utf-32"),
    "a raw line break": _raw(b"\r\n\t"),
    "a raw NUL": _raw(b"\0"),
    "a surrogate in UTF-8": _raw(b"\xed\xa0\x80"),
    "a 5,000-digit integer": webhook(FINE).replace(b'"north"', b"7" * 5000),
    "a 5,000-digit fraction": webhook(FINE).replace(b'"north"', b"0." + b"7" * 5000),
    "a number out of range": webhook(FINE).replace(b'"north"', b"1e99999"),
    "duplicate keys": webhook(FINE).replace(b'"status":"firing"', b'"status":"resolved","status":"firing"'),
    "150 lists deep in an extra field": webhook({**FINE, "extra": 0}).replace(
        b":0}", b":" + b"[" * 150 + b"]" * 150 + b"}"
    ),
    "500 lists deep in an extra field": webhook({**FINE, "extra": 0}).replace(
        b":0}", b":" + b"[" * 500 + b"]" * 500 + b"}"
    ),
    "wrong types in the group": webhook(
        FINE,
        version=4,
        groupKey={"a": 1},
        receiver=[1],
        externalURL=True,
        notification_reason=None,
        truncatedAlerts="3",
    ),
    "a group of nulls": webhook(FINE, version=None, groupKey=None, receiver=None, truncatedAlerts=None, status=None),
    "a NUL in the groupKey": webhook(FINE, groupKey="{}:\0\ud800", receiver="\0"),
    "truncatedAlerts below zero": webhook(FINE, truncatedAlerts=-3),
    "truncatedAlerts beyond 64 bits": webhook(FINE, truncatedAlerts=10**30),
    "a megabyte of groupKey": webhook(FINE, groupKey="k" * 1_000_000),
    "the same alert 1,000 times": webhook(*[FINE] * 1000),
}

HOSTILE: list[Hostile] = [
    *(Hostile(name, body, "unusable") for name, body in (NOT_JSON | NOT_A_WEBHOOK).items()),
    *(Hostile(name, amid_fine(alert), "partly") for name, alert in BROKEN_ALERTS.items()),
    *(
        Hostile(f"{name}, alone", webhook(alert), "broken" if isinstance(alert, dict) and alert else "unusable")
        for name, alert in BROKEN_ALERTS.items()
    ),
    Hostile("every field a number", webhook({field: 1 for field in FINE}), "broken"),
    *(Hostile(name, amid_fine(alert), "good") for name, alert in ODD_ALERTS.items()),
    *(Hostile(name, body, "good") for name, body in ODD_BODIES.items()),
]
"""Every body above."""
