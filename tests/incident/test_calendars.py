"""Calendars: what the events of an iCalendar file say of when a window is open."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playbook import NOON

from relay.incident.ical import read_calendar
from relay.incident.maintenance import Windows
from relay.incident.window import Window

BERLIN = ZoneInfo("Europe/Berlin")


def a_window(**fields):
    text = {"name": "w", "reason": "work", "owner": "ana", "zone": "UTC", "matchers": ["service=checkout"], **fields}
    return Window.model_validate(text)


CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//EN
BEGIN:VTIMEZONE
TZID:Headquarters
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
UID:cards
SUMMARY:Card processing
DTSTART;TZID=Europe/Berlin:20260104T020000
DTEND;TZID=Europe/Berlin:20260104T040000
RRULE:FREQ=WEEKLY;BYDAY=SU;UNTIL=20260301T000000Z
EXDATE;TZID=Europe/Berlin:20260111T020000
END:VEVENT
BEGIN:VEVENT
UID:cards
RECURRENCE-ID;TZID=Europe/Berlin:20260118T020000
SUMMARY:Card processing, moved
DTSTART;TZID=Europe/Berlin:20260119T050000
DURATION:PT1H
END:VEVENT
BEGIN:VEVENT
UID:day
SUMMARY:Card network holiday
DTSTART;VALUE=DATE:20260127
END:VEVENT
BEGIN:VEVENT
UID:hq
SUMMARY:Card office
DTSTART;TZID=Headquarters:20260729T100000
DTEND;TZID=Headquarters:20260729T110000
RRULE:FREQ=MONTHLY;COUNT=2
END:VEVENT
BEGIN:VEVENT
UID:no
STATUS:CANCELLED
SUMMARY:Card cancelled
DTSTART:20260106T100000Z
DTEND:20260106T110000Z
END:VEVENT
BEGIN:VEVENT
UID:party
SUMMARY:Summer party
DTSTART:20260107T100000Z
DTEND:20260107T110000Z
END:VEVENT
END:VCALENDAR
"""


def test_a_calendar_tells_when_a_window_is_open():
    window = a_window(
        zone="Europe/Berlin", calendar={"file": "cards.ics", "only": "(?i)card", "before": "10m", "after": "20m"}
    )
    assert Windows([window]).open(NOON) == ()
    found = window.with_calendar(CALENDAR).occasions(
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 9, 30, tzinfo=UTC)
    )
    spans = [f"{o.starts:%m-%d %H:%M} {o.ends:%d %H:%M}" for o in found]
    assert spans[:4] == [
        "01-04 00:50 04 03:20",
        "01-19 03:50 19 05:20",
        "01-25 00:50 25 03:20",
        "01-26 22:50 27 23:20",
    ]
    assert spans[-2:] == ["07-29 07:50 29 09:20", "08-29 07:50 29 09:20"]  # 10:00 in summer is 08:00 UTC


@pytest.mark.parametrize("text", ["", "<html>sign in</html>"])
def test_what_is_no_calendar_is_refused(text):
    with pytest.raises(ValueError, match=r"write an iCalendar file \(\.ics\): this one (is empty|cannot be read)"):
        read_calendar(text, BERLIN, lambda summary: True)


SPOILT = [
    (
        CALENDAR.replace("FREQ=WEEKLY;BYDAY=SU", "FREQ=HOURLY"),
        'mend the event "Card processing" of the calendar: write F',
    ),
    (CALENDAR.replace("DTSTART:20260107T100000Z", "DTSTART:soon"), 'mend the event "Summer party"'),
    (CALENDAR.replace("DTSTART:20260107T100000Z\n", ""), 'mend the event "Summer party"'),
    (CALENDAR.replace("DTEND:20260107T110000Z", "DTEND:20260107T090000Z"), "it ends before it begins"),
    # what leaves the calendar, as a vendor's "until further notice" does
    (CALENDAR.replace("DTEND:20260107T110000Z", "DTEND:99991231T235959Z"), "write a year from 1970 to 2999"),
    (CALENDAR.replace("DTSTART:20260107T100000Z", "DTSTART:00010101T000000Z"), "write a year from 1970 to 2999"),
    (CALENDAR.replace("DTEND:20260107T110000Z", "DURATION:P2500000D\nRRULE:FREQ=DAILY"), 'the event "Summer party"'),
    (
        CALENDAR.replace("DTEND:20260107T110000Z", "RDATE;VALUE=PERIOD:20260108T100000Z/99991231T235959Z"),
        "write a year from 1970 to 2999",
    ),
    # a zone that nothing describes: taken for the window's own it would be hours off, and nobody would know
    (
        CALENDAR.replace("DTSTART:20260107T100000Z", "DTSTART;TZID=Foo/Bar:20260107T100000"),
        'it is written in the zone "Foo/Bar", which nothing describes',
    ),
    (
        CALENDAR.replace("DTEND:20260107T110000Z", "DTEND;TZID=Foo/Bar:20260107T110000"),
        'it is written in the zone "Foo/Bar", which nothing describes',
    ),
    (
        CALENDAR.replace("DTEND:20260107T110000Z", "EXDATE;TZID=Foo/Bar:20260107T110000"),
        'it is written in the zone "Foo/Bar", which nothing describes',
    ),
    (CALENDAR.replace("DTEND:20260107T110000Z", "RRULE:FREQ=WEEKLY;BYDAY=2TU"), "write numbers in BYDAY with"),
]


@pytest.mark.parametrize(("text", "problem"), SPOILT)
def test_an_event_that_cannot_be_used_is_left_out_of_a_calendar_that_others_publish(text, problem):
    window = a_window(calendar={"url": "https://psp.example/x.ics"}).with_calendar(text)
    [unread] = window.unread
    assert problem in unread
    assert window.occasions(datetime(2026, 1, 26, tzinfo=UTC), datetime(2026, 1, 28, tzinfo=UTC))


@pytest.mark.parametrize(("text", "problem"), SPOILT)
def test_it_spoils_a_file_which_its_owner_can_mend(text, problem):
    with pytest.raises(ValueError, match=problem):
        a_window(calendar={"file": "x.ics"}).with_calendar(text)


WEEKLY = "DTSTART;TZID=Europe/Berlin:20260104T020000\nDTEND;TZID=Europe/Berlin:20260104T040000\nRRULE:FREQ=WEEKLY"
MOVED = "DTSTART;TZID=Europe/Berlin:20260112T050000\nDURATION:PT1H"
TOLD = [  # events, and when they are, on clocks in Berlin
    # exceptions and moves in another zone than the event's, and whole days
    ([f"{WEEKLY};COUNT=3\nEXDATE:20260111T010000Z"], ["04 02:00 04:00", "18 02:00 04:00"]),
    ([f"{WEEKLY};COUNT=3\nEXDATE;VALUE=DATE:20260111"], ["04 02:00 04:00", "18 02:00 04:00"]),
    (
        [
            "DTSTART:20260104T010000Z\nDURATION:PT2H\nRRULE:FREQ=WEEKLY;COUNT=2\nEXDATE;TZID=Europe/Berlin:20260111T020000"
        ],
        ["04 02:00 04:00"],
    ),
    ([f"{WEEKLY};COUNT=2", f"RECURRENCE-ID:20260111T010000Z\n{MOVED}"], ["04 02:00 04:00", "12 05:00 06:00"]),
    ([f"{WEEKLY};COUNT=2", f"RECURRENCE-ID;VALUE=DATE:20260111\n{MOVED}"], ["04 02:00 04:00", "12 05:00 06:00"]),
    ([f"{WEEKLY};COUNT=2", f"STATUS:CANCELLED\nRECURRENCE-ID:20260111T010000Z\n{MOVED}"], ["04 02:00 04:00"]),
    # additions
    ([f"{WEEKLY};COUNT=1\nRDATE:20260106T010000Z"], ["04 02:00 04:00", "06 02:00 04:00"]),
    ([f"{WEEKLY};COUNT=1\nRDATE;VALUE=DATE:20260106"], ["04 02:00 04:00", "06 02:00 04:00"]),
    ([f"{WEEKLY};COUNT=1\nRDATE;VALUE=PERIOD:20260106T010000Z/PT1H"], ["04 02:00 04:00", "06 02:00 03:00"]),
    (
        [f"{WEEKLY};COUNT=1\nRDATE;VALUE=PERIOD:20260106T010000Z/20260106T020000Z"],
        ["04 02:00 04:00", "06 02:00 03:00"],
    ),
    # from one time on: at another time, or not at all; and what was left out of it stays out
    (
        [f"{WEEKLY};COUNT=4", f"RECURRENCE-ID;RANGE=THISANDFUTURE:20260111T010000Z\n{MOVED}"],
        ["04 02:00 04:00", "12 05:00 06:00", "19 05:00 06:00", "26 05:00 06:00"],
    ),
    (
        [
            f"{WEEKLY};COUNT=4\nEXDATE:20260118T010000Z",
            f"RECURRENCE-ID;RANGE=THISANDFUTURE:20260111T010000Z\n{MOVED}",
        ],
        ["04 02:00 04:00", "12 05:00 06:00", "26 05:00 06:00"],
    ),
    (  # whole days, and one that is left out by a day, which moves with the others
        [
            "DTSTART;VALUE=DATE:20260104\nRRULE:FREQ=WEEKLY;COUNT=4\nEXDATE;VALUE=DATE:20260118",
            "RECURRENCE-ID;RANGE=THISANDFUTURE;VALUE=DATE:20260111\nDTSTART;VALUE=DATE:20260112",
        ],
        ["04 00:00 00:00", "12 00:00 00:00", "26 00:00 00:00"],
    ),
    (
        [f"{WEEKLY}", f"STATUS:CANCELLED\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260111T010000Z\n{MOVED}"],
        ["04 02:00 04:00"],
    ),
    # a first time that the rule does not come to counts all the same; a part of somebody's own says nothing
    ([WEEKLY.replace("RRULE:FREQ=WEEKLY", "RRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=1")], ["04 02:00 04:00", "06 02:00 04:00"]),
    ([f"{WEEKLY};COUNT=1;X-NOTE=1"], ["04 02:00 04:00"]),
    # the end is an instant, in whatever zone it is written
    (["DTSTART;TZID=Europe/Berlin:20260105T100000\nDTEND;TZID=America/New_York:20260105T060000"], ["05 10:00 12:00"]),
]


def calendar(*events):
    body = "\n".join(f"BEGIN:VEVENT\nUID:1\nSUMMARY:work\n{event}\nEND:VEVENT" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//example//EN\n{body}\nEND:VCALENDAR\n"


def told(events, after, before):
    read = read_calendar(calendar(*events), BERLIN, lambda summary: True)
    assert read.unread == ()
    found = {occasion for one in read.occasions for occasion in one.between(after, before)}
    return [tuple(at.astimezone(BERLIN) for at in occasion) for occasion in sorted(found)]


@pytest.mark.parametrize(("events", "expected"), TOLD)
def test_exceptions_moves_and_additions_are_understood_in_whatever_way_they_are_written(events, expected):
    found = told(events, NOON - timedelta(days=30), NOON + timedelta(days=30))
    assert [f"{starts:%d %H:%M} {ends:%H:%M}" for starts, ends in found] == expected


CLOCKS = [  # an event, and when it is, in UTC: Berlin turns forward on 29 March and back on 25 October, at 01:00 UTC
    ("DTSTART;TZID=Europe/Berlin:20260329T010000\nDTEND;TZID=Europe/Berlin:20260329T040000", "29 00:00 29 02:00"),
    ("DTSTART;TZID=Europe/Berlin:20261025T010000\nDTEND;TZID=Europe/Berlin:20261025T040000", "24 23:00 25 03:00"),
    ("DTSTART;TZID=Europe/Berlin:20261025T010000\nDURATION:PT3H", "24 23:00 25 02:00"),
    ("DTSTART;TZID=Europe/Berlin:20261024T120000\nDURATION:P1D", "24 10:00 25 11:00"),  # days are the calendar's
    ("DTSTART;TZID=Europe/Berlin:20261020T120000\nDURATION:P1W", "20 10:00 27 11:00"),
    ("DTSTART;VALUE=DATE:20260329", "28 23:00 29 22:00"),
    ("DTSTART;VALUE=DATE:20261025\nDTEND;VALUE=DATE:20261026", "24 22:00 25 23:00"),
    ("DTSTART;VALUE=DATE:20261024\nDURATION:P2D", "23 22:00 25 23:00"),
    ("DTSTART;VALUE=DATE:20261018\nRRULE:FREQ=WEEKLY;COUNT=2", "24 22:00 25 23:00"),
    # what comes round lasts as long as its first time did (RFC 5545, 3.8.5.3)
    (
        "DTSTART;TZID=Europe/Berlin:20261018T010000\nDTEND;TZID=Europe/Berlin:20261018T040000\nRRULE:FREQ=WEEKLY;COUNT=2",
        "24 23:00 25 02:00",
    ),
]


@pytest.mark.parametrize(("event", "expected"), CLOCKS)
def test_calendars_when_clocks_change(event, expected):
    [(starts, ends)] = told([event], datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))[-1:]
    assert f"{starts.astimezone(UTC):%d %H:%M} {ends.astimezone(UTC):%d %H:%M}" == expected
