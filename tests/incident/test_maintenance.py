from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import NOON, RULES, Playbook, an_alert, rules

from relay.config.document import parse
from relay.incident.effects import Page
from relay.incident.events import Acknowledged, Assessed, Held, Measured, Triggered
from relay.incident.maintenance import Windows
from relay.incident.window import Window

BACKUP = """
  - name: backup
    reason: the backup saturates it
    owner: team-db
    zone: UTC
    starts: 2026-01-07T12:00
    ends: 2026-01-07T13:00
    matchers: ['service="checkout"']
"""


def windows(*texts, **changed):
    return rules(windows="".join(texts), **changed)


def a_window(**fields):
    text = {"name": "w", "reason": "work", "owner": "ana", "zone": "UTC", "matchers": ["service=checkout"], **fields}
    return Window.model_validate(text)


# ---- what it does to people -------------------------------------------------------------------------------------


def test_what_a_window_covers_pages_nobody_while_it_is_open():
    story = Playbook(windows(BACKUP)).fires()
    story.held("maintenance window backup (rules.yaml:23): the backup saturates it")
    story.after(minutes=59).quiet()


def test_what_still_fires_when_the_window_ends_pages_and_says_what_held_it():
    story = Playbook(windows(BACKUP)).fires().after(hours=1)
    [page] = story.asked(Page)
    assert page.target == "pd-ada"
    assert "Since: 2026-01-07 12:00:00 UTC (1h ago)" in page.notice.text
    held_by = "maintenance window backup (rules.yaml:23): the backup saturates it"
    assert f"Held until now by: {held_by}" in page.notice.text
    [triggered] = [e for _, e in story.story.happened if isinstance(e, Triggered)]
    assert triggered.because == f"it still fires, and is no longer held by {held_by}"


def test_what_ends_inside_the_window_pages_nobody_ever():
    story = Playbook(windows(BACKUP)).fires().after(minutes=30).ends().after(days=2)
    story.quiet()
    assert story.incident.phase == "closed"


def test_what_fires_before_or_after_the_window_pages_at_once():
    Playbook(windows(BACKUP), start=NOON - timedelta(seconds=1)).fires().paged("L1:pd-ada")
    Playbook(windows(BACKUP), start=NOON + timedelta(hours=1)).fires().paged("L1:pd-ada")


def test_a_window_that_opens_while_people_are_paged_does_not_hush_them():
    story = Playbook(windows(BACKUP), start=NOON - timedelta(minutes=1)).fires().paged("L1:pd-ada")
    story.after(minutes=5).paged("L2:pd-bob")


def test_one_alert_that_no_window_covers_is_enough_to_page():
    covered = BACKUP.replace('service="checkout"', 'alertname="Replica"')
    Playbook(windows(covered)).fires(an_alert("Replica"), an_alert("Down")).paged("L1:pd-ada")


def test_an_alert_that_no_window_covers_and_that_joins_a_held_incident_pages():
    covered = BACKUP.replace('service="checkout"', 'alertname="Replica"')
    story = Playbook(windows(covered)).fires(an_alert("Replica")).held("backup").after(minutes=10)
    story.fires(an_alert("Down")).paged("L1:pd-ada")


def test_a_window_covers_what_joins_it():
    story = Playbook(windows(BACKUP)).fires(an_alert("A")).held("backup").fires(an_alert("B")).quiet()
    assert len([e for _, e in story.story.happened if isinstance(e, Held)]) == 1  # it says nothing new
    story.after(hours=1).paged("L1:pd-ada")


def test_never_suppress_pages_all_the_same():
    text = BACKUP + "    never_suppress: [SEV-1, SEV-2]\n"
    Playbook(windows(text)).fires(an_alert(severity="critical")).paged("L1:pd-ada")
    Playbook(windows(text)).fires(an_alert()).held("backup")


def test_a_severity_that_rises_to_never_suppress_while_held_pages():
    text = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}}\n"
    made_of = rules(text, facts="{errors: {promql: e}}", windows=BACKUP + "    never_suppress: [SEV-1]\n")
    story = Playbook(made_of).fires().held("backup")
    story.when(Measured({"errors": 0.4})).quiet()
    story.when(Measured({"errors": 0.9})).paged("L1:pd-ada", "L2:pd-bob")


def test_never_suppress_is_of_what_it_names_and_of_all_that_is_worse():
    text = BACKUP + "    never_suppress: [SEV-2]\n"
    worst = RULES + "    - {severity: SEV-1, matchers: [severity=fatal]}\n"
    Playbook(rules(worst, windows=text)).fires(an_alert(severity="fatal")).paged("L1:pd-ada", "L2:pd-bob")
    Playbook(windows(text)).fires(an_alert(severity="critical")).paged("L1:pd-ada")
    Playbook(windows(text)).fires(an_alert()).held("backup")


FACTS = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}}\n"


def with_facts(more="    never_suppress: [SEV-1]\n"):
    return rules(FACTS, facts="{errors: {promql: e}}", windows=BACKUP + more)


def test_what_a_missing_fact_could_make_worse_than_a_window_holds_pages_after_a_moment():
    story = Playbook(with_facts()).fires().held("backup (rules.yaml:26): the backup saturates it, and facts are being")
    story.asked()
    story.after(seconds=4).quiet()
    story.fires(an_alert("Another")).after(seconds=1).paged("L1:pd-ada")


def test_facts_are_not_waited_for_beyond_the_end_of_the_window():
    story = Playbook(with_facts(), start=NOON + timedelta(minutes=59, seconds=58)).fires()
    story.held("facts are being looked up").after(seconds=2).paged("L1:pd-ada")


def test_what_a_missing_fact_could_not_make_worse_than_a_window_holds_stays_held():
    Playbook(with_facts("")).fires().held("backup").after(minutes=59).paged()


def test_a_fact_that_is_known_in_time_lets_the_window_hold_to_its_end():
    story = Playbook(with_facts()).fires().held("backup").when(Measured({"errors": 0.1})).held("backup")
    assert story.incident.deadlines["holding/look"] == NOON + timedelta(hours=1)
    story.when(Measured({}, {"errors": "Prometheus is down"})).held("facts are being looked up")
    story.after(seconds=5).paged("L1:pd-ada")


def test_what_is_redirected_waits_for_the_facts_as_well():
    story = Playbook(with_facts("    never_suppress: [SEV-1]\n    redirect: pd-noc\n")).fires().paged()
    story.when(Measured({"errors": 0.1})).paged("window:pd-noc")


def test_where_windows_overlap_it_is_held_until_the_last_of_them_ends():
    longer = BACKUP.replace("backup", "restore").replace("12:00", "12:30").replace("13:00", "14:00")
    story = Playbook(windows(BACKUP, longer)).fires().held("backup")
    assert story.after(hours=1).held("restore").incident.deadlines["holding/look"] == NOON + timedelta(hours=2)
    story.after(minutes=59).quiet().after(minutes=1).paged("L1:pd-ada")


def test_alerts_may_be_covered_by_different_windows_and_wait_for_the_first_that_ends():
    replica = BACKUP.replace('service="checkout"', 'alertname="Replica"')
    lag = replica.replace("Replica", "Lag").replace("backup", "lag").replace("13:00", "12:20")
    story = Playbook(windows(replica, lag)).fires(an_alert("Replica"), an_alert("Lag"))
    held = next(e for _, e in story.story.happened if isinstance(e, Held))
    assert held.until == NOON + timedelta(minutes=20)
    assert "window backup" in held.by
    assert "window lag" in held.by
    story.after(minutes=20).paged("L1:pd-ada")


def test_when_the_uncovered_alert_has_ended_before_anybody_was_needed_the_rest_is_held():
    covered = BACKUP.replace('service="checkout"', 'alertname="Replica"')
    down, replica = an_alert("Down"), an_alert("Replica")
    story = Playbook(windows(covered)).fires(down, doubt="perhaps an echo").held("perhaps an echo")
    story.fires(replica, doubt="perhaps an echo").ends(down).after(minutes=1).held("backup")


def test_a_doubt_that_has_been_waited_for_is_not_waited_for_again():
    story = Playbook(windows(BACKUP)).fires(doubt="perhaps an echo").held("perhaps an echo")
    story.after(minutes=1).held("backup")
    story.when(Assessed(3, "measured again", was=3)).quiet()
    assert "backup" in story.incident.held_by


def test_somebody_who_is_on_it_already_is_not_paged_at_the_end():
    story = Playbook(windows(BACKUP)).fires().held("backup").when(Acknowledged("ana"))
    story.after(hours=2).paged()


# ---- when it is open --------------------------------------------------------------------------------------------


def moment(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def openings(window, start, hours):
    """The spans in UTC in which a window is open, found by looking at every minute."""
    spans, since = [], None
    for minute in range(hours * 60 + 1):
        now = start + timedelta(minutes=minute)
        is_open = bool(Windows([window]).open(now))
        if is_open and since is None:
            since = now
        if not is_open and since is not None:
            spans.append((f"{since:%d %H:%M}", f"{now:%d %H:%M}"))
            since = None
    return spans


WEEKLY = [  # zone, days, from, to, from this day (UTC) for so many hours: open when (UTC)
    ("Europe/Berlin", ["wed"], "13:00", "14:00", "2026-01-07", 24, [("07 12:00", "07 13:00")]),
    ("Europe/Berlin", ["wed"], "13:00", "14:00", "2026-07-08", 24, [("08 11:00", "08 12:00")]),
    ("Europe/Berlin", ["sat"], "23:00", "02:00", "2026-01-10", 36, [("10 22:00", "11 01:00")]),
    ("Europe/Berlin", ["sat"], "10:00", "10:00", "2026-01-10", 36, [("10 09:00", "11 09:00")]),
    ("UTC", ["mon", "tue"], "00:00", "00:00", "2026-01-05", 72, [("05 00:00", "07 00:00")]),
    # spring in Berlin: 29 March 2026, 02:00 CET becomes 03:00 CEST (01:00 UTC)
    ("Europe/Berlin", ["sun"], "01:00", "04:00", "2026-03-29", 12, [("29 00:00", "29 02:00")]),
    ("Europe/Berlin", ["sat"], "23:00", "06:00", "2026-03-28", 36, [("28 22:00", "29 04:00")]),
    ("Europe/Berlin", ["sun"], "02:30", "04:00", "2026-03-29", 12, [("29 01:30", "29 02:00")]),
    ("Europe/Berlin", ["sun"], "01:00", "02:30", "2026-03-29", 12, [("29 00:00", "29 01:30")]),
    ("Europe/Berlin", ["sun"], "02:10", "02:50", "2026-03-29", 12, [("29 01:10", "29 01:50")]),
    # autumn in Berlin: 25 October 2026, 03:00 CEST becomes 02:00 CET (01:00 UTC); 02:30 is 00:30 and 01:30 UTC
    ("Europe/Berlin", ["sun"], "02:30", "04:00", "2026-10-25", 12, [("25 00:30", "25 03:00")]),
    ("Europe/Berlin", ["sun"], "01:00", "02:30", "2026-10-25", 12, [("24 23:00", "25 01:30")]),
    ("Europe/Berlin", ["sun"], "02:15", "02:45", "2026-10-25", 12, [("25 00:15", "25 01:45")]),
    # New York: 8 March 2026, 02:00 EST becomes 03:00 EDT (07:00 UTC); 1 November, 02:00 EDT becomes 01:00 EST (06:00)
    ("America/New_York", ["sun"], "01:30", "03:30", "2026-03-08", 24, [("08 06:30", "08 07:30")]),
    ("America/New_York", ["sun"], "02:30", "03:45", "2026-03-08", 24, [("08 07:30", "08 07:45")]),
    ("America/New_York", ["sun"], "01:30", "02:00", "2026-11-01", 24, [("01 05:30", "01 07:00")]),
    ("America/New_York", ["sat"], "23:00", "01:15", "2026-10-31", 36, [("01 03:00", "01 06:15")]),
    # Lord Howe: half an hour only. 5 April 2026, 02:00 +11 becomes 01:30 +10:30 (4 April 15:00 UTC);
    # 4 October, 02:00 +10:30 becomes 02:30 +11 (3 October 15:30 UTC)
    ("Australia/Lord_Howe", ["sun"], "01:45", "03:00", "2026-04-04", 24, [("04 14:45", "04 16:30")]),
    ("Australia/Lord_Howe", ["sun"], "01:00", "01:45", "2026-04-04", 24, [("04 14:00", "04 15:15")]),
    ("Australia/Lord_Howe", ["sun"], "02:15", "03:00", "2026-10-03", 24, [("03 15:45", "03 16:00")]),
    # Cairo turns back over midnight: Thursday 29 October 2026, 24:00 becomes 23:00 (21:00 UTC)
    ("Africa/Cairo", ["thu"], "22:00", "23:30", "2026-10-29", 24, [("29 19:00", "29 21:30")]),
    ("Africa/Cairo", ["fri"], "00:00", "01:00", "2026-10-29", 36, [("29 22:00", "29 23:00")]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "days", "from_", "to", "day", "hours", "expected"), WEEKLY)
def test_a_weekly_window_follows_the_clocks_on_the_wall(zone, days, from_, to, day, hours, expected):
    window = a_window(zone=zone, weekly={"days": days, "from": from_, "to": to})
    found = openings(window, moment(day) - timedelta(hours=2), hours + 2)
    assert found == expected


ONCE = [  # zone, starts, ends, open when (UTC)
    ("Europe/Berlin", "2026-01-07T13:00", "2026-01-07T14:00", ("2026-01-07T12:00", "2026-01-07T13:00")),
    ("Europe/Berlin", "2026-03-28T23:00", "2026-03-29T05:00", ("2026-03-28T22:00", "2026-03-29T03:00")),
    ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T05:00", ("2026-03-29T01:30", "2026-03-29T03:00")),
    ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T02:40", ("2026-10-25T00:30", "2026-10-25T01:40")),
    ("America/New_York", "2026-11-01T01:00", "2026-11-01T01:30", ("2026-11-01T05:00", "2026-11-01T06:30")),
    ("Australia/Lord_Howe", "2026-04-05T01:40", "2026-04-05T01:50", ("2026-04-04T14:40", "2026-04-04T15:20")),
    ("Europe/Berlin", "2026-10-24T23:00Z", "2026-10-25T02:30+02:00", ("2026-10-24T23:00", "2026-10-25T00:30")),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "starts", "ends", "expected"), ONCE)
def test_a_one_off_window_is_in_the_time_of_its_zone(zone, starts, ends, expected):
    window = a_window(zone=zone, starts=starts, ends=ends)
    assert window.occasions(moment("2020-01-01"), moment("2030-01-01")) == [tuple(map(moment, expected))]


@given(
    st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kolkata"]
    ),
    st.times().map(lambda t: f"{t:%H:%M}"),
    st.times().map(lambda t: f"{t:%H:%M}"),
    st.sets(st.integers(0, 6), min_size=1),
    st.timedeltas(timedelta(), timedelta(days=2000)).map(lambda span: NOON + span),
)
def test_a_window_that_is_open_ends_later_and_within_a_day_and_an_hour(zone, from_, to, days, now):
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    window = a_window(zone=zone, weekly={"days": [names[day] for day in days], "from": from_, "to": to})
    for _, end in Windows([window]).open(now):
        assert timedelta() < end - now <= timedelta(hours=25)
        still = [until for _, until in Windows([window]).open(end - timedelta(microseconds=1))]
        assert still
        assert max(still) >= end


def test_the_window_of_a_file_knows_where_it_stands():
    document = parse(f"windows:{BACKUP}", "maintenance.yaml")
    assert str(Window.model_validate(document.data["windows"][0]).place) == "maintenance.yaml:2"
