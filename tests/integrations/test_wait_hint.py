"""Every way in which a vendor says "wait" is understood, and what is none is ignored."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.integrations.wait_hint import wait_hint

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
EPOCH = int(NOON.timestamp())


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": " 7.5 "}, 7.5),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "86400"}, 900),
        ({"Retry-After": "1e300"}, 900),
        ({"Retry-After": "Wed, 07 Jan 2026 12:02:00 GMT"}, 120),
        ({"Retry-After": "Wednesday, 07-Jan-26 12:02:00 GMT"}, 120),
        ({"Retry-After": "Wed, 07 Jan 2026 11:00:00 GMT"}, 0),
        ({"Retry-After": "2026-01-07T12:01:00Z"}, 60),
        ({"Retry-After": "2026-01-07T13:01:00+01:00"}, 60),
        ({"ratelimit-reset": "41"}, 41),
        ({"X-RateLimit-Period-In-Sec": "60"}, 60),
        ({"X-RateLimit-Reset": str(EPOCH + 45)}, 45),
        ({"X-RateLimit-Reset": str((EPOCH + 45) * 1000)}, 45),
        ({"X-RateLimit-Reset": "30"}, 30),
        ({"X-RateLimit-Reset": str(EPOCH - 45)}, 0),
        ({"X-RateLimit-Reset": "2026-01-07T12:03Z"}, 180),
        ({"Retry-After": "5", "X-RateLimit-Reset": str(EPOCH + 45)}, 5),
        ({"Retry-After": "soon", "X-RateLimit-Reset": str(EPOCH + 45)}, 45),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": ""}, None),
        ({"Date": "Wed, 07 Jan 2026 12:02:00 GMT"}, None),
        ({}, None),
    ],
)
def test_a_hint_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_hint(429, headers, NOON) == (None if seconds is None else timedelta(seconds=seconds))


def test_a_rate_window_says_nothing_of_a_server_error() -> None:
    assert wait_hint(503, {"X-RateLimit-Reset": str(EPOCH + 600)}, NOON) is None
    assert wait_hint(503, {"Retry-After": "5", "X-RateLimit-Reset": str(EPOCH + 600)}, NOON) == timedelta(seconds=5)


@given(st.one_of(st.text(), st.from_regex(r"[0-9TZ:+. ,A-Za-z-]{1,40}"), st.floats().map(str)))
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59-23:59")
@example("Wed, 07 Jan 99999999999999999999 12:02:00 GMT")
@example("Mon, 1 Jan 1 00:00:00 +9999")
def test_no_header_breaks_it(text: str) -> None:
    hint = wait_hint(429, {"Retry-After": text, "X-RateLimit-Reset": text}, NOON)

    assert hint is None or timedelta() <= hint <= timedelta(minutes=15)
