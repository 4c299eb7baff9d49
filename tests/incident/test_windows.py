"""What a window can do besides holding: sets of matchers, limits, redirection, pauses, grace, shadow, calendars."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import NOON, RULES, Playbook, an_alert, rules

from relay.incident.effects import AcknowledgePage, Page, ResolvePage, UpdatePage
from relay.incident.events import (
    Acknowledged,
    Measured,
    Reconsidered,
    Resolved,
    Triggered,
    Undeliverable,
    WouldHold,
)
from relay.incident.fallback import Fallback
from relay.incident.maintenance import Windows
from relay.incident.occasions import Amendment
from relay.incident.window import Window

BACKUP = """
  - name: backup
    reason: it is loud
    owner: team-db
    zone: UTC
    starts: 2026-01-07T12:00
    ends: 2026-01-07T13:00
    matchers: ['service="checkout"']
"""


def backup(more="", **changed):
    text = BACKUP + "".join(f"    {line}\n" for line in more.splitlines())
    return rules(windows=text, **changed)


def a_window(**fields):
    text = {"name": "w", "reason": "work", "owner": "ana", "zone": "UTC", "matchers": ["service=checkout"], **fields}
    return Window.model_validate(text)


def test_one_of_several_sets_of_matchers_is_enough():
    made_of = rules(
        windows=BACKUP.replace(
            "matchers: ['service=\"checkout\"']", "any_of: [[service=x], [alertname=Replica, service=checkout]]"
        )
    )
    Playbook(made_of).fires(an_alert("Replica")).held("backup")
    Playbook(made_of).fires(an_alert("Down")).paged("L1:pd-ada")


def test_more_alerts_than_planned_page():
    story = Playbook(backup("max_suppressed: 2")).fires(an_alert("A"), an_alert("B")).held("backup")
    story.fires(an_alert("C")).paged("L1:pd-ada")


def test_another_target_is_paged_instead_once_and_closed_at_the_end():
    story = Playbook(backup("redirect: pd-noc")).fires(an_alert("A"))
    assert story.incident.phase == "held"
    story.paged("window:pd-noc")
    story.fires(an_alert("B")).after(seconds=10)
    assert [type(e) for e in story.asked()] == [UpdatePage]
    assert story.ends().asked(ResolvePage)[0].target == "pd-noc"


def test_what_was_redirected_and_still_fires_at_the_end_goes_the_usual_way():
    story = Playbook(backup("redirect: pd-noc")).fires().paged("window:pd-noc")
    story.after(hours=1).paged("L1:pd-ada")
    assert [effect.target for effect in story.ends().asked(ResolvePage)] == ["pd-noc", "pd-ada"]


def test_who_answers_a_redirected_page_is_on_it():
    story = Playbook(backup("redirect: pd-noc")).fires().paged("window:pd-noc").when(Acknowledged("noc"))
    assert story.asked(AcknowledgePage)
    story.after(hours=3).paged()


def test_a_redirected_page_that_is_refused_holds_nothing_any_more():
    story = Playbook(backup("redirect: pd-noc")).fires().paged("window:pd-noc")
    [ring] = story.incident.rings
    story.when(Undeliverable("Page", ring.key, "pd-noc", "no such key")).paged("L1:pd-ada")
    assert any(
        event.because == "pd-noc, which was paged instead, has refused: no such key"
        for _, event in story.story.happened
        if isinstance(event, Triggered)
    )
    story.fires(an_alert("B")).paged().after(minutes=5).paged("L2:pd-bob")


def test_a_redirected_page_that_is_refused_goes_to_the_fallback_first():
    covered = replace(backup("redirect: pd-noc"), fallbacks={"pd-noc": Fallback("mail")})
    story = Playbook(covered).fires().paged("window:pd-noc")
    [ring] = story.incident.rings
    story.when(Undeliverable("Page", ring.key, "pd-noc", "no")).paged("window:mail")
    story.when(Undeliverable("Page", f"{ring.key}>mail", "mail", "no")).paged("L1:pd-ada")


def test_the_page_waits_for_the_grace_and_what_ends_in_it_pages_nobody():
    story = Playbook(backup("grace: 10m")).fires().held("backup").after(minutes=69).quiet()
    story.after(minutes=1).paged("L1:pd-ada")
    ended = Playbook(backup("grace: 10m")).fires().after(minutes=65).ends().after(hours=1)
    ended.quiet()


def test_what_begins_in_the_grace_is_not_what_the_window_was_for():
    begun_then = an_alert()
    after = NOON + timedelta(hours=1, minutes=1)
    object.__setattr__(begun_then, "starts_at", after)
    Playbook(backup("grace: 10m"), start=after).fires(begun_then).paged("L1:pd-ada")
    Playbook(backup("grace: 10m"), start=after).fires(an_alert()).held("backup")  # it fires since noon


BEFORE = NOON - timedelta(minutes=1)
HELD = "held: maintenance window backup (rules.yaml:23): it is loud"


def test_an_escalation_nobody_has_answered_pauses_when_the_window_opens_and_only_if_asked():
    Playbook(backup(), start=BEFORE).fires().paged("L1:pd-ada").after(minutes=5).paged("L2:pd-bob")
    story = Playbook(backup("pause_escalations: true"), start=BEFORE).fires().paged("L1:pd-ada")
    story.after(seconds=59).quiet().after(seconds=1)
    assert [effect.because for effect in story.asked(ResolvePage)] == [HELD]
    assert story.incident.phase == "held"
    assert list(story.incident.deadlines) == ["holding/look"]
    story.after(minutes=60).paged("L1:pd-ada")
    assert story.incident.rings[0].key == "INC-1/1.1/L1/first"


def test_it_pauses_where_the_provider_asks_the_levels():
    text = RULES.replace("    levels:", "    escalation: provider\n    levels:")
    windows = BACKUP + "    pause_escalations: true\n"
    story = Playbook(rules(text, windows=windows), start=BEFORE).fires().paged("L1:pd-ada").after(minutes=1)
    assert story.incident.phase == "held"


def test_nothing_pauses_once_the_target_has_refused_that_would_be_paged_instead():
    story = Playbook(backup("pause_escalations: true\nredirect: pd-noc")).fires().paged("window:pd-noc")
    [ring] = story.incident.rings
    other = an_alert("Other", service="other")
    story.when(Undeliverable("Page", ring.key, "pd-noc", "no")).fires(other).paged("L1:pd-ada")
    story.ends(other).after(minutes=5).paged("L2:pd-bob")


def test_what_a_target_has_refused_says_nothing_of_the_next_time_that_it_fires():
    alert, other = an_alert(), an_alert("Other", service="other")
    story = Playbook(backup("pause_escalations: true\nredirect: pd-noc")).fires(alert).paged("window:pd-noc")
    [ring] = story.incident.rings
    story.when(Undeliverable("Page", ring.key, "pd-noc", "no")).paged("L1:pd-ada")
    story.ends().fires(alert, other).paged("L1:pd-ada").ends(other).after(minutes=5).paged("window:pd-noc")


def test_a_window_made_now_pauses_at_once():
    story = Playbook(rules(), start=NOON).fires().paged("L1:pd-ada")
    story.story.rules = backup("pause_escalations: true")
    assert [effect.because for effect in story.when(Reconsidered()).asked(ResolvePage)] == [HELD]


def test_a_window_that_was_made_later_pauses_when_it_opens():
    story = Playbook(rules(), start=BEFORE).fires().paged("L1:pd-ada")
    story.story.rules = backup("pause_escalations: true")
    assert story.when(Reconsidered()).incident.phase == "triggered"
    assert story.after(minutes=1).incident.phase == "held"


def test_a_window_that_does_not_hold_this_severity_pauses_nothing():
    text = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}}\n"
    windows = BACKUP + "    pause_escalations: true\n    never_suppress: [SEV-1]\n"
    made_of = rules(text, facts="{errors: {promql: e}}", windows=windows)
    story = Playbook(made_of, start=BEFORE).fires().paged("L1:pd-ada")
    assert story.after(minutes=4).incident.phase == "triggered"  # what it could be is not known


def test_the_next_time_of_a_window_that_comes_round_pauses_too():
    more = "pause_escalations: true\nnever_suppress: [SEV-3]"
    text = BACKUP.replace(
        "starts: 2026-01-07T12:00\n    ends: 2026-01-07T13:00", 'cron: "0 12 * * *"\n    duration: 1h'
    )
    story = Playbook(rules(windows=text + "".join(f"    {line}\n" for line in more.splitlines())), start=BEFORE).fires()
    assert story.after(minutes=2).incident.deadlines["holding/pause"] == NOON + timedelta(hours=1)
    assert story.after(hours=1).incident.deadlines["holding/pause"] == NOON + timedelta(days=1)


def test_an_answer_that_expires_in_the_window_asks_people_when_it_ends():
    text = RULES.replace("    levels:", "    ack_expires: 10m\n    levels:")
    windows = BACKUP + "    pause_escalations: true\n"
    story = Playbook(rules(text, windows=windows), start=BEFORE).fires().paged("L1:pd-ada").when(Acknowledged("ada"))
    story.after(minutes=10).paged()
    assert story.incident.phase == "held"
    story.after(minutes=51).paged("L1:pd-ada")


def test_an_answered_escalation_is_not_paused():
    before = NOON - timedelta(minutes=1)
    story = (
        Playbook(backup("pause_escalations: true"), start=before).fires().paged("L1:pd-ada").when(Acknowledged("ada"))
    )
    assert story.after(hours=3).incident.phase == "acknowledged"


def test_a_shadow_holds_nothing_and_says_what_it_would_have_held():
    story = Playbook(backup("mode: shadow")).fires().paged("L1:pd-ada")
    [would] = [e for _, e in story.story.happened if isinstance(e, WouldHold)]
    assert would.by == "maintenance window backup (rules.yaml:23): it is loud"
    assert story.incident.phase == "triggered"


def news(more, *, start=NOON - timedelta(seconds=5), kind="notifications"):
    return Playbook(backup(f"suppress: {kind}\n{more}"), start=start).fires(an_alert("A")).paged("L1:pd-ada")


def test_news_of_what_was_paged_before_waits_for_the_end_where_a_window_says_so():
    assert len(news("", kind="pages").fires(an_alert("B")).after(seconds=10).asked(UpdatePage)) == 1
    story = news("").fires(an_alert("B")).after(seconds=10)
    assert story.asked(UpdatePage) == []
    story.fires(an_alert("C")).after(minutes=50)
    assert story.asked(UpdatePage) == []
    told = story.after(minutes=10).asked(UpdatePage)
    assert {(page.target, page.what) for page in told} >= {("pd-ada", "3 alerts fire now")}


def test_news_that_the_window_does_not_cover_is_told_with_what_has_waited():
    story = news("").fires(an_alert("B")).after(minutes=1)
    [told] = story.fires(an_alert("D", service="other")).after(seconds=10).asked(UpdatePage)
    assert "3 alerts fire now" in told.what


def test_news_is_told_of_what_the_window_would_not_hold():
    assert len(news("never_suppress: [SEV-3]").fires(an_alert("B")).after(seconds=10).asked(UpdatePage)) == 1
    assert len(news("max_suppressed: 1").fires(an_alert("B")).after(seconds=10).asked(UpdatePage)) == 1


def test_news_is_told_of_what_an_unknown_fact_could_make_worse_than_the_window_holds():
    text = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}}\n"
    windows = BACKUP + "    suppress: notifications\n    never_suppress: [SEV-1]\n"
    made_of = rules(text, facts="{errors: {promql: e}}", windows=windows)
    for known, told in (({}, 1), ({"errors": 0.1}, 0)):
        story = Playbook(made_of, start=NOON - timedelta(seconds=5)).fires(an_alert("A")).paged("L1:pd-ada")
        story.when(Measured(known)).fires(an_alert("B")).after(seconds=10)
        assert len(story.asked(UpdatePage)) == told


def test_when_windows_have_changed_what_is_held_is_looked_at_again():
    story = Playbook(backup()).fires().held("backup")
    story.when(Reconsidered()).quiet()
    story.story.rules = rules()
    story.when(Reconsidered()).paged("L1:pd-ada")


def test_a_window_that_is_amended_ends_at_another_time():
    window = a_window(cron="0 12 * * *", duration="1h")
    noon = NOON + timedelta(minutes=30)
    for ends in (noon + timedelta(minutes=1), noon + timedelta(hours=5)):
        times = window.amended([Amendment(noon, ends)]).occasions(NOON, NOON + timedelta(days=1, hours=1))
        assert [(o.starts, o.ends) for o in times] == [
            (NOON, ends),
            (NOON + timedelta(days=1), NOON + timedelta(days=1, hours=1)),
        ]
    longer = Windows([window.amended([Amendment(noon, noon + timedelta(hours=5))])])
    assert longer.open(noon + timedelta(hours=4))[0][1] == noon + timedelta(hours=5)


def amended(window, *amendments):
    """The occasions of today, when what is open at one time ends at another, each in minutes after noon."""
    at = [Amendment(NOON + timedelta(minutes=open_at), NOON + timedelta(minutes=ends)) for open_at, ends in amendments]
    day = (NOON - timedelta(hours=12), NOON + timedelta(hours=12))
    return [tuple((t - NOON) // timedelta(minutes=1) for t in o) for o in window.amended(at).occasions(*day)]


def test_a_window_is_amended_again_and_again():
    window = a_window(cron="0 12 * * *", duration="1h")
    assert amended(window, (30, 120), (110, 240), (200, 180)) == [(0, 180)]
    many = [(30 + n / 1000, 120 + n / 1000) for n in range(3000)]
    assert amended(window, *many) == [(0, 122)]
    longer = window.amended(
        [Amendment(NOON + timedelta(minutes=m), NOON + timedelta(minutes=m + 50)) for m in (50, 90)]
    )
    late = NOON + timedelta(minutes=130)  # the time as it was planned is long over
    assert [o.ends for o in longer.occasions(late, late + timedelta(hours=1))] == [NOON + timedelta(minutes=140)]


def test_a_window_is_amended_in_its_grace():
    window = a_window(cron="0 12 * * *", duration="1h", grace="10m")
    assert amended(window, (65, 120)) == [(0, 120)]
    assert amended(window, (65, 55)) == [(0, 55)]  # with its grace, that is at once
    assert amended(window, (71, 120)) == [(0, 60)]
    assert window.open_occasion(NOON + timedelta(minutes=65)) == (NOON, NOON + timedelta(hours=1))
    assert window.open_occasion(NOON + timedelta(minutes=70)) is None


def test_whether_a_window_still_opens_is_found_at_once():
    assert a_window(cron="0 * * * *", duration="10m").opens_after(NOON)
    assert not a_window(cron="0 * * * *", duration="10m", ends="2026-01-06T00:00").opens_after(NOON)
    assert a_window(cron="0 * * * *", duration="10m", starts="2026-05-01T00:00").opens_after(NOON)
    assert not a_window(starts="2026-01-07T00:00", duration="1h").opens_after(NOON)


@pytest.mark.parametrize(
    ("times", "opens"),
    [
        ({"cron": "0 * * * *", "duration": "90m"}, "2026-01-07T13:00"),
        ({"cron": "0 2 29 2 *", "duration": "1h"}, "2028-02-29T02:00"),
        ({"cron": "0 14 * * *", "duration": "1h", "also": ["2026-01-07T13:30"]}, "2026-01-07T13:30"),
        ({"cron": "0 14 * * *", "duration": "1h", "ends": "2026-01-07T00:00"}, None),
        ({"starts": "2031-01-01", "ends": "2031-01-02"}, "2031-01-01T00:00"),
        ({"starts": "2026-01-07T11:00", "duration": "2h"}, None),
    ],
)
def test_the_next_time_that_a_window_opens_is_known_however_far_ahead(times, opens):
    found = a_window(**times).next_occasion(NOON)
    assert (found.starts if found else None) == (datetime.fromisoformat(f"{opens}+00:00") if opens else None)


def test_a_window_within_the_hour_that_clocks_skip_says_so():
    with pytest.raises(ValueError, match=r'"ends" must be later than "starts": clocks in Europe/Berlin skip that hour'):
        a_window(zone="Europe/Berlin", starts="2026-03-29T02:10", ends="2026-03-29T03:05")
    with pytest.raises(ValueError, match=r'"ends" must be later than "starts" \['):
        a_window(zone="Europe/Berlin", starts="2026-03-29T02:10", ends="2026-03-29T02:05")


def test_exceptions_and_additions():
    window = a_window(
        zone="Europe/Berlin",
        rrule="FREQ=WEEKLY",
        starts="2026-01-04T22:00",
        duration="2h",
        **{"except": ["2026-01-11", "2026-01-18T22:00", "2026-01-25T21:00"]},
        also=["2026-01-12T22:00"],
    )
    found = window.occasions(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
    assert [f"{o.starts:%d %H}" for o in found] == ["04 21", "12 21", "25 21"]


def test_a_window_is_found_whatever_it_asks_for():
    windows = Windows(
        a_window(name=name, starts="2026-01-07T00:00", ends="2026-01-08T00:00", matchers=matchers)
        for name, matchers in {
            "value": ["service=checkout"],
            "regex": ['service=~"check.*"'],
            "both": ['alertname!="X"', "service=checkout"],
            "other": ["service=search"],
            "empty": ["team=", "service=checkout"],
        }.items()
    )
    found = {window.name for window, _ in windows.covering(an_alert().labels, NOON)}
    assert found == {"value", "regex", "both", "empty"}
    assert windows.covering(an_alert().labels, NOON + timedelta(days=1)) == []
    assert windows.covering(an_alert().labels, NOON) != []  # clocks go back, too


VALUES = st.sampled_from(["", "a", "b", "c", "ab", "abc", "b-c"])
SOME_MATCHERS = st.builds(
    lambda name, op, value: f'{name}{op}"{value}"',
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(
        ["", "a", "b", "a|b", "b|c", ".*", "a.*", "ab?", "ab*c", "ab.*", "b-.+", "a{0}", "(?i)AB", "a(b|c)"]
    ),
)


@given(
    st.lists(st.lists(st.lists(SOME_MATCHERS, min_size=1, max_size=3), min_size=1, max_size=3), max_size=8),
    st.dictionaries(st.sampled_from(["x", "y", "z"]), VALUES),
)
def test_the_index_finds_what_a_look_at_every_window_finds(sets, labels):
    windows = []
    for number, any_of in enumerate(sets):
        with suppress(ValueError):  # what covers alerts of every kind is refused
            times = {"starts": "2026-01-07T00:00", "ends": "2026-01-08T00:00"}
            windows.append(a_window(name=str(number), matchers=None, any_of=any_of, **times))
    found = {window.name for window, _ in Windows(windows).covering(labels, NOON)}
    assert found == {window.name for window in windows if window.covers(labels)}


def test_people_may_resolve_what_is_held():
    story = Playbook(backup("redirect: pd-noc")).fires().paged("window:pd-noc").when(Resolved("done", "ana"))
    assert story.asked(ResolvePage)
    assert story.asked(Page) == []


def test_who_is_sent_home_by_a_window_that_redirects_is_replaced():
    made_of = backup("redirect: pd-noc\npause_escalations: true")
    story = Playbook(made_of, start=NOON - timedelta(minutes=2)).fires().paged("L1:pd-ada")
    story.after(minutes=2).paged("window:pd-noc")
    story.after(minutes=50).paged()


def test_who_is_paged_instead_is_not_rung_again_when_the_window_is_extended():
    windows = BACKUP + "    redirect: pd-noc\n    pause_escalations: true\n"
    story = Playbook(rules(windows=windows), start=BEFORE).fires().paged("L1:pd-ada")
    story.after(minutes=1).paged("window:pd-noc")
    story.story.rules = rules(windows=windows.replace("13:00", "14:00"))
    story.when(Reconsidered()).held("backup")


def test_a_late_refusal_of_another_page_ends_no_hold():
    story = Playbook(backup("pause_escalations: true"), start=NOON - timedelta(minutes=2)).fires().paged("L1:pd-ada")
    [ring] = story.incident.rings
    story.after(minutes=2).held("backup")
    story.when(Undeliverable("Page", ring.key, "pd-ada", "no")).paged()
    assert story.incident.phase == "held"


def test_when_fallback_and_target_have_both_refused_nobody_is_held_up_whoever_was_first():
    covered = replace(backup("redirect: pd-noc"), fallbacks={"pd-noc": Fallback("mail")})
    story = Playbook(covered).fires().paged("window:pd-noc")
    [ring] = story.incident.rings
    story.after(minutes=1).paged("window:mail")
    story.when(Undeliverable("Page", f"{ring.key}>mail", "mail", "no")).paged()
    story.when(Undeliverable("Page", ring.key, "pd-noc", "no")).paged("L1:pd-ada")


def test_the_next_time_is_the_first_that_begins_later_however_far_ahead():
    hourly = a_window(cron="0 * * * *", duration="10m", starts="2028-02-01T00:00")
    looked = []

    class Counted:
        def between(self, after, until):
            for one in hourly._series[0].between(after, until):
                looked.append(one)
                yield one

    counted = hourly.model_copy()
    counted._series = (Counted(),)
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert counted.next_occasion(now).starts == datetime(2028, 2, 1, tzinfo=UTC)
    assert len(looked) < 10
