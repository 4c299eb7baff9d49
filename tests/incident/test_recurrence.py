"""What comes round, held against python-dateutil walking each rule from its beginning."""

from datetime import datetime, time, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relay.incident.occasions import Series, state
from relay.incident.recurrence import Cron, Rule, Weekly

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def some(strategy, most=3):
    return st.lists(strategy, min_size=1, max_size=most, unique=True)


def joined(values):
    return ",".join(map(str, values))


@st.composite
def rules(draw):
    """A rule of RFC 5545, with the start it counts from."""
    freq = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = {"FREQ": freq}
    if draw(st.booleans()):
        parts["INTERVAL"] = str(draw(st.integers(1, 7)))
    if draw(st.booleans()):
        parts["BYMONTH"] = joined(draw(some(st.integers(1, 12))))
    if draw(st.booleans()):
        days = draw(some(st.sampled_from(DAYS)))
        if freq in ("MONTHLY", "YEARLY") and draw(st.booleans()):
            days = [f"{draw(st.sampled_from([1, 2, 4, -1]))}{day}" for day in days]
        parts["BYDAY"] = joined(days)
    if freq in ("MONTHLY", "YEARLY") and draw(st.booleans()):
        parts["BYMONTHDAY"] = joined(draw(some(st.sampled_from([1, 13, 28, 29, 31, -1]))))
    plain = not parts.keys() & {"BYMONTH", "BYMONTHDAY"} and parts.get("BYDAY", "").replace(",", "").isalpha()
    if freq == "YEARLY" and plain and draw(st.booleans()):
        parts["BYWEEKNO"] = joined(draw(some(st.integers(1, 53))))
    if freq != "DAILY" and draw(st.booleans()):
        parts["BYSETPOS"] = str(draw(st.sampled_from([1, 2, -1])))
    if draw(st.booleans()):
        parts["BYHOUR"] = joined(draw(some(st.integers(0, 23))))
    if draw(st.booleans()):
        parts["WKST"] = draw(st.sampled_from(DAYS))
    first = draw(st.datetimes(datetime(2016, 1, 1), datetime(2027, 1, 1))).replace(microsecond=0)
    if draw(st.integers(0, 4)) == 0:
        parts["COUNT"] = str(draw(st.integers(1, 50)))
    elif draw(st.booleans()):
        parts["UNTIL"] = f"{first + timedelta(days=draw(st.integers(1, 4000))):%Y%m%dT%H%M%S}"
    return ";".join(f"{name}={value}" for name, value in parts.items()), first


@settings(max_examples=100, deadline=None)
@given(rules(), st.integers(-100, 4000), st.integers(1, 500))
def test_a_rule_that_is_moved_forward_says_what_one_walked_from_its_start_says(rule, after, days):
    text, first = rule
    try:
        moved = Rule(text, first, BERLIN)
    except ValueError as error:
        assert "never" in str(error)  # noqa: PT017
        walked = rrulestr(text.split(";UNTIL")[0].split(";COUNT")[0] + ";UNTIL=20690101T000000", dtstart=first)
        assert next(iter(walked), None) is None
        return
    begin = first + timedelta(days=after)
    end = begin + timedelta(days=days)
    walked = [start for start in takewhile(lambda start: start < end, rrulestr(text, dtstart=first)) if start >= begin]
    assert list(moved.between(begin, end)) == walked, rule


@given(st.sets(st.integers(0, 6), min_size=1), st.times().map(lambda t: t.replace(microsecond=0)), st.integers(0, 1000))
def test_days_of_the_week_are_what_the_rule_for_them_says(days, at, after):
    begin = datetime(2026, 1, 1) + timedelta(days=after)
    clock = f"BYHOUR={at.hour};BYMINUTE={at.minute};BYSECOND={at.second}"
    rule = Rule(f"FREQ=WEEKLY;BYDAY={joined(DAYS[day] for day in days)};{clock}", datetime(2020, 1, 1), BERLIN)
    end = begin + timedelta(days=30)
    assert list(Weekly(frozenset(days), at).between(begin, end)) == list(rule.between(begin, end))


def test_cron_comes_as_written():
    starts = Cron("30 2 * * 1-5").between(datetime(2026, 11, 20, 2, 30), datetime(2026, 11, 25))
    assert [f"{start:%d %H:%M}" for start in starts] == ["20 02:30", "23 02:30", "24 02:30"]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20260107T230000Z", "08 00:00"),
        ("20260107T225959Z", "07 00:00"),
        ("20260108", "08 00:00"),
        ("20260108T000000", "08 00:00"),
    ],
)
def test_an_until_is_in_the_zone_in_utc_or_a_whole_day(until, last):
    rule = Rule(f"FREQ=DAILY;UNTIL={until}", datetime(2026, 1, 1), BERLIN)
    assert f"{list(rule.between(datetime(2026, 1, 1), datetime(2027, 1, 1)))[-1]:%d %H:%M}" == last


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("FREQ=WEEKLY;BYDAY=2TU", "write numbers in BYDAY with FREQ=MONTHLY or YEARLY only"),
        ("FREQ=DAILY;BYDAY=1SU", "write numbers in BYDAY with FREQ=MONTHLY or YEARLY only"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=-1MO", "and not beside BYWEEKNO"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "write numbers from 1 on, or from -1 down, in BYMONTHDAY"),
        ("FREQ=YEARLY;BYYEARDAY=100,-0", "in BYYEARDAY"),
        ("FREQ=WEEKLY;BYMONTHDAY=15", "write no BYMONTHDAY with FREQ=WEEKLY: RFC 5545 forbids it"),
        ("FREQ=MONTHLY;BYYEARDAY=100", "write no BYYEARDAY with FREQ=MONTHLY"),
        ("FREQ=DAILY;BYWEEKNO=2", "write no BYWEEKNO with FREQ=DAILY"),
    ],
)
def test_what_the_standard_forbids_is_refused_and_not_taken_for_something_that_comes_more_often(text, problem):
    with pytest.raises(ValueError, match=problem):
        Rule(text, datetime(2026, 1, 1), BERLIN)


def test_a_rule_by_weeks_comes_on_the_day_of_the_week_of_its_first_start():
    rule = Rule("FREQ=YEARLY;BYWEEKNO=20", datetime(2026, 5, 12, 22), BERLIN)  # a Tuesday
    found = list(rule.between(datetime(2026, 1, 1), datetime(2028, 1, 1)))
    assert found == [datetime(2026, 5, 12, 22), datetime(2027, 5, 18, 22)]


def test_a_rule_of_long_ago_keeps_its_step():
    for year in (1990, 2026):
        rule = Rule("FREQ=DAILY;INTERVAL=3", datetime(year, 1, 1), BERLIN)
        [one, other] = rule.between(datetime(2026, 6, 1), datetime(2026, 6, 7))
        assert (one - rule.first).days % 3 == (other - rule.first).days % 3 == 0


TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@settings(max_examples=200, deadline=None)
@given(
    ZONES,
    st.sets(st.integers(0, 6), min_size=1),
    TIMES,
    st.one_of(TIMES, st.integers(1, 14_400).map(lambda minutes: timedelta(minutes=minutes))),
    st.integers(0, 800 * 1440).map(lambda minutes: timedelta(minutes=minutes)),
    st.integers(0, 180).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_nothing_opens_or_ends_before_the_edge(zone, days, at, length, after, grace):
    series = Series(ZoneInfo(zone), Weekly(frozenset(days), at), length)
    now = datetime.fromisoformat("2026-01-01T00:00:00+00:00") + after
    until, edge = state([series], now, grace)
    assert edge > now
    assume(edge - now < timedelta(days=60))
    for part in (0.001, 0.5, 0.999):
        later = now + (edge - now) * part
        assert state([series], later, grace).until == until
    covering = [o for o in series.between(now - grace, now + timedelta(seconds=1)) if o.starts <= now < o.ends + grace]
    assert until == max((occasion.ends + grace for occasion in covering), default=None)


# zone, rule or cron, wall start, length: the occasion of that day in UTC. Gap: moved on; fold: first pass, last end.
TRANSITIONS = [
    ("Europe/Berlin", "FREQ=DAILY", "2026-03-29T02:30", timedelta(hours=2), "2026-03-29 01:30 03:30"),
    ("Europe/Berlin", "FREQ=DAILY", "2026-03-28T23:00", timedelta(hours=4), "2026-03-28 22:00 02:00"),
    ("Europe/Berlin", "FREQ=DAILY", "2026-10-25T02:30", timedelta(hours=1), "2026-10-25 00:30 01:30"),
    ("Europe/Berlin", "FREQ=DAILY", "2026-10-25T02:30", time(2, 45), "2026-10-25 00:30 01:45"),
    ("Europe/Berlin", "FREQ=DAILY", "2026-10-25T01:00", time(4), "2026-10-24 23:00 03:00"),
    ("America/New_York", "FREQ=DAILY", "2026-03-08T02:15", timedelta(hours=1), "2026-03-08 07:15 08:15"),
    ("America/New_York", "FREQ=DAILY", "2026-11-01T01:30", time(3), "2026-11-01 05:30 08:00"),
    ("America/New_York", "FREQ=DAILY", "2026-11-01T01:30", timedelta(hours=2), "2026-11-01 05:30 07:30"),
    ("Australia/Lord_Howe", "FREQ=DAILY", "2026-10-04T02:15", timedelta(hours=1), "2026-10-03 15:45 16:45"),
    ("Australia/Lord_Howe", "FREQ=DAILY", "2026-04-05T01:45", time(3), "2026-04-04 14:45 16:30"),
    ("Asia/Kathmandu", "FREQ=DAILY", "2026-01-01T00:00", timedelta(hours=1), "2025-12-31 18:15 19:15"),
    ("Asia/Kathmandu", "FREQ=DAILY", "1986-01-01T00:05", timedelta(hours=1), "1985-12-31 18:35 19:35"),
    ("Europe/Berlin", "30 2 * * *", "2026-03-29T02:30", timedelta(hours=2), "2026-03-29 01:30 03:30"),
    ("Europe/Berlin", "30 2 * * *", "2026-03-29T02:30", time(4), "2026-03-29 01:30 02:00"),
    ("Europe/Berlin", "0 23 * * *", "2026-03-28T23:00", timedelta(hours=4), "2026-03-28 22:00 02:00"),
    ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:30", timedelta(hours=1), "2026-10-25 00:30 01:30"),
    ("Europe/Berlin", "30 2 * * *", "2026-10-25T02:30", time(2, 45), "2026-10-25 00:30 01:45"),
    ("America/New_York", "15 2 8 3 *", "2026-03-08T02:15", timedelta(hours=1), "2026-03-08 07:15 08:15"),
    ("America/New_York", "30 1 * 11 0", "2026-11-01T01:30", time(3), "2026-11-01 05:30 08:00"),
    ("Australia/Lord_Howe", "15 2 * * 0", "2026-10-04T02:15", timedelta(hours=1), "2026-10-03 15:45 16:45"),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05T01:45", time(3), "2026-04-04 14:45 16:30"),
    ("Europe/Berlin", "FREQ=WEEKLY;BYDAY=SU", "2026-03-29T02:30", timedelta(hours=2), "2026-03-29 01:30 03:30"),
    ("Europe/Berlin", "FREQ=MONTHLY;BYDAY=-1SU", "2026-10-25T02:30", time(2, 45), "2026-10-25 00:30 01:45"),
    ("America/New_York", "FREQ=MONTHLY;BYDAY=1SU", "2026-11-01T01:30", timedelta(hours=2), "2026-11-01 05:30 07:30"),
    ("Europe/Berlin", "FREQ=YEARLY", "2026-03-29T02:30", timedelta(hours=1), "2026-03-29 01:30 02:30"),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "rule", "wall", "length", "expected"), TRANSITIONS)
def test_real_changes_of_clocks(zone, rule, wall, length, expected):
    start = datetime.fromisoformat(wall)
    first = start.replace(year=start.year - 1) if "FREQ=YEARLY" in rule else start - timedelta(days=28)
    starts = Rule(rule, first, ZoneInfo(zone)) if "FREQ" in rule else Cron(rule)
    series = Series(ZoneInfo(zone), starts, length)
    instant = start.replace(tzinfo=ZoneInfo(zone))
    near = [o for o in series.between(instant - timedelta(hours=3), instant + timedelta(hours=3))]
    found = {f"{o.starts:%Y-%m-%d %H:%M} {o.ends:%H:%M}" for o in near}
    assert expected in found


def test_every_hour_comes_once_though_clocks_show_one_of_them_twice():
    series = Series(BERLIN, Cron("0 * * * *"), timedelta(minutes=10))
    night = datetime(2026, 10, 25, 1, tzinfo=BERLIN)
    starts = sorted(o.starts for o in series.between(night, night + timedelta(hours=4)))
    assert [f"{start:%H:%M}" for start in starts] == ["23:00", "00:00", "02:00", "03:00"]  # 01:00 UTC is 02:00 again
    night = datetime(2026, 3, 29, 1, tzinfo=BERLIN)
    starts = sorted(o.starts for o in series.between(night, night + timedelta(hours=3)))
    assert [f"{start:%H:%M}" for start in starts] == ["00:00", "01:00", "01:00"]  # 02:00 is 03:00
