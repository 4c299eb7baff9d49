from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from relay.config.types import (
    Date,
    Day,
    Duration,
    Moment,
    OneMatcher,
    TimeOfDay,
    Zone,
    duration,
    spell,
    spell_exactly,
    to_utc,
)

DURATIONS = [
    ("30s", 30),
    ("5m", 300),
    ("1h30m", 5400),
    ("2d", 172800),
    ("1w", 604800),
    ("1y", 31536000),
    ("500ms", 0.5),
    ("1h1s", 3601),
    ("0s", 0),
    ("90m", 5400),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read_as_prometheus_reads_it(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5m", "1.5h", "5min", "30m1h", "5m5m", "5M", "1e3s", "٣s", "5m\n"]
)
def test_what_is_not_a_duration_says_what_one_is(text):
    with pytest.raises(ValueError, match="write a duration such as 30s, 5m, 1h30m or 2d"):
        duration(text)


@pytest.mark.parametrize("text", ["11y", "3651d", "999999999999999999w"])
def test_nothing_waits_longer_than_ten_years(text):
    with pytest.raises(ValueError, match="at most ten years"):
        duration(text)


@given(st.integers(0, 86399).map(lambda s: timedelta(seconds=s)))
def test_a_duration_that_is_spelled_reads_back_the_same(span):
    assert duration(spell(span)) == span


@pytest.mark.parametrize("written", ["100ms", "1s500ms", "1m", "2d3h4m5s6ms", "14d"])
def test_a_duration_is_spelled_to_the_millisecond_where_a_person_has_written_it(written):
    assert spell_exactly(duration(written)) == written


def test_long_durations_are_spelled_shortly():
    assert spell(timedelta(days=2, hours=3, minutes=4, seconds=5)) == "2d3h4m"
    assert spell(timedelta(seconds=-5)) == spell(timedelta(milliseconds=5)) == "0s"


READ = [  # type, what is written, what is meant
    (Duration, "5m", timedelta(minutes=5)),
    (Zone, "Europe/Berlin", ZoneInfo("Europe/Berlin")),
    (TimeOfDay, "09:00", time(9)),
    (TimeOfDay, "23:59:59", time(23, 59, 59)),
    (Moment, "2026-10-24T23:00", datetime(2026, 10, 24, 23)),  # noqa: DTZ001 local to a zone that is written elsewhere
    (Moment, "2026-10-24", datetime(2026, 10, 24)),  # noqa: DTZ001
    (Moment, "2026-10-24T23:00Z", datetime(2026, 10, 24, 23, tzinfo=UTC)),
    (Date, "2026-01-05", date(2026, 1, 5)),
    (Day, "monday", 0),
    (Day, "Sun", 6),
]


@pytest.mark.parametrize(("kind", "text", "meant"), READ)
def test_small_values_are_read(kind, text, meant):
    assert TypeAdapter(kind).validate_python(text) == meant


WRONG = [  # type, what is written, what is said
    (Duration, 5, "write a duration"),
    (Duration, None, "write a duration"),
    (Zone, "Berlin", "write a time zone as the IANA database names it"),
    (Zone, "", "write a time zone"),
    (Zone, "../../etc/passwd", "write a time zone"),
    (Zone, "UTC\0", "write a time zone"),
    (Zone, "CEST", "write a time zone"),
    (Zone, "localtime", "write a time zone"),  # another one on each machine
    (Zone, "posixrules", "write a time zone"),
    (Zone, "Factory", "write a time zone"),
    (Zone, "right/Europe/Berlin", "write a time zone"),  # counts leap seconds
    (Zone, 1, "write a time zone"),
    (TimeOfDay, "9:00", "write a time of day"),
    (TimeOfDay, "24:00", "write a time of day"),
    (TimeOfDay, "09:00Z", "write a time of day"),
    (TimeOfDay, 540, "write a time of day"),
    (Moment, "24.10.2026", "write a date and time"),
    (Moment, "2026-02-30T00:00", "write a date and time"),
    (Moment, 2026, "write a date and time"),
    (Moment, "0001-01-01T00:00", "write a year from 1970 to 2999"),
    (Moment, "9999-12-31T23:59-12:00", "write a year from 1970 to 2999"),
    (Date, "2026-13-01", "write a date such as"),
    (Date, "9999-12-31", "write a year from 1970 to 2999"),
    (Day, "mo", "write a day such as"),
    (Day, 1, "write a day such as"),
    (Day, True, "write a day such as"),
    (OneMatcher, "a", "write a matcher"),
    (OneMatcher, {"a": "b"}, "write a matcher"),
    (OneMatcher, None, "write a matcher"),
]


@pytest.mark.parametrize(("kind", "text", "said"), WRONG)
def test_what_cannot_be_meant_is_refused_with_what_to_write(kind, text, said):
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(kind).validate_python(text)


BERLIN = ZoneInfo("Europe/Berlin")
CLOCKS = [  # on the wall, the instant if it is a start, the instant if it is an end
    ("2026-01-07T12:00", "2026-01-07T11:00Z", "2026-01-07T11:00Z"),
    ("2026-07-07T12:00", "2026-07-07T10:00Z", "2026-07-07T10:00Z"),
    ("2026-03-29T01:59", "2026-03-29T00:59Z", "2026-03-29T00:59Z"),
    ("2026-03-29T02:30", "2026-03-29T01:30Z", "2026-03-29T01:30Z"),  # skipped: moved on by the gap
    ("2026-03-29T03:00", "2026-03-29T01:00Z", "2026-03-29T01:00Z"),
    ("2026-10-25T02:30", "2026-10-25T00:30Z", "2026-10-25T01:30Z"),  # repeated: first as a start, last as an end
    ("2026-10-25T03:00", "2026-10-25T02:00Z", "2026-10-25T02:00Z"),
    ("2026-10-25T02:30+02:00", "2026-10-25T00:30Z", "2026-10-25T00:30Z"),
]


@pytest.mark.parametrize(("wall", "start", "end"), CLOCKS)
def test_what_clocks_show_is_an_instant(wall, start, end):
    shown = datetime.fromisoformat(wall)
    assert to_utc(shown, BERLIN) == datetime.fromisoformat(start)
    assert to_utc(shown, BERLIN, end=True) == datetime.fromisoformat(end)
