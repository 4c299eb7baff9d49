"""Rules change while other changes are under way: none is lost, none comes back, and nothing waits for them."""

import asyncio
import threading

import pytest
from playbook import NOON
from service import service

import relay.http.service as starting
from relay.clock import ManualClock
from relay.engine import rules_in_use
from relay.engine.metrics import Metrics
from relay.engine.rules_in_use import RulesInUse
from relay.engine.windows import Window
from relay.store.window_log import ADDED, WindowAct

RULES = """\
people: {{ada: {{name: Ada, via: hook}}}}
targets: {{hook: {{type: webhook, url_env: HOOK}}}}
policies:
  p: {{levels: [{{name: L1, page: [{{person: ada}}], wait: 1h}}], last_resort: [{{person: ada}}]}}
route: {{policy: p, group_by: [service]}}
windows: [{0}]
"""
A_DAY = {"zone": "UTC", "starts": "2026-01-07T00:00:00", "ends": "2026-01-08T00:00:00"}
OLD = (
    "{name: old, reason: r, owner: o, zone: UTC, matchers: [service=a], starts: 2026-01-07T00:00, "
    "ends: 2026-01-08T00:00}"
)
PUBLISHED = '{{name: w{0}, reason: r, owner: o, zone: UTC, matchers: [service=a], calendar: {{url: "http://x/{0}"}}}}'
CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//EN
BEGIN:VEVENT
UID:u
SUMMARY:s
DTSTART:20260107T110000Z
DURATION:PT3H
END:VEVENT
END:VCALENDAR
"""


def added(*names):
    window = {"reason": "r", "owner": "o", "matchers": ["service=cards"], **A_DAY}
    return [WindowAct(name, ADDED, "ana", NOON, {**window, "name": name}) for name in names]


@pytest.fixture
def rules(tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK", "http://127.0.0.1:9/x")
    (tmp_path / "all.yaml").write_text(RULES.format(OLD))
    return RulesInUse(tmp_path, "", {}, ManualClock(NOON), Metrics())


@pytest.fixture
def slow_once(monkeypatch):
    """Lets the first call of what the rules are changed with take its time."""
    entered, goes_on = threading.Event(), threading.Event()

    def slow(name):
        was = getattr(rules_in_use, name)

        def instead(*given):
            found = was(*given)
            if not entered.is_set():
                entered.set()
                assert goes_on.wait(5), "the event loop waits for this"
            return found

        monkeypatch.setattr(rules_in_use, name, instead)
        return entered, goes_on

    yield slow
    goes_on.set()


async def both(slow, first, then):
    """Begin one change; begin the other while the first is in the middle; let both end."""
    entered, goes_on = slow
    async with asyncio.TaskGroup() as tasks:
        one = tasks.create_task(first)
        await asyncio.to_thread(entered.wait, 5)
        other = tasks.create_task(then())
        await asyncio.sleep(0.05)
        goes_on.set()
    return one.result(), other.result()


def names(rules):
    return [window.name for window in rules.rules.windows]


async def test_a_window_that_is_added_during_a_reload_stays(rules, slow_once):
    await both(slow_once("join_windows"), rules.reload(), lambda: rules.take_acts(added("new")))
    assert names(rules) == ["old", "new"]


async def test_a_window_that_leaves_the_files_while_another_is_added_is_gone(rules, tmp_path, slow_once):
    def change():
        (tmp_path / "all.yaml").write_text(RULES.format(""))
        return rules.reload()

    _, rejected = await both(slow_once("join_windows"), rules.take_acts(added("new")), change)
    assert (rejected, names(rules)) == (None, ["new"])


async def test_of_two_reloads_the_one_that_read_the_newer_files_counts(rules, tmp_path, slow_once):
    def change():
        (tmp_path / "all.yaml").write_text(RULES.format(""))
        return rules.reload()

    assert await both(slow_once("load"), rules.reload(), change) == (None, None)
    assert names(rules) == []


async def test_an_older_list_of_acts_undoes_no_newer_one(rules):
    await rules.take_acts(added("one", "two"))
    await rules.take_acts(added("one"))
    assert names(rules) == ["old", "one", "two"]


async def test_nothing_waits_while_rules_are_read(rules, slow_once):
    entered, goes_on = slow_once("load")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rules.reload())
        await asyncio.to_thread(entered.wait, 5)
        assert names(rules) == ["old"]
        goes_on.set()


async def test_a_calendar_is_read_once_and_again_when_it_or_its_window_is_another(rules, tmp_path, monkeypatch):
    read, with_calendar = list[str](), Window.with_calendar

    def count(window, text):
        read.append(window.name)
        return with_calendar(window, text)

    monkeypatch.setattr(Window, "with_calendar", count)
    (tmp_path / "all.yaml").write_text(RULES.format(", ".join(PUBLISHED.format(n) for n in range(3))))
    await rules.reload()
    for n in range(3):
        await rules.take_calendar(f"w{n}", CALENDAR)
    assert [window.name for window, _ in rules.rules.windows.open(NOON)] == ["w0", "w1", "w2"]
    await rules.take_acts(added("new"))
    assert read == ["w0", "w1", "w2"]
    await rules.take_calendar("w1", CALENDAR.replace("PT3H", "PT30M"))
    assert read == ["w0", "w1", "w2", "w1"]
    assert [window.name for window, _ in rules.rules.windows.open(NOON)] == ["w0", "w2", "new"]
    await rules.reload()
    assert len(read) == 7


@pytest.mark.servers
async def test_files_that_change_while_relay_starts_are_taken(tmp_path, monkeypatch):
    opened = starting.open_database

    def migrates_at_leisure(url):
        written = tmp_path / "rules" / "all.yaml"
        written.write_text(written.read_text().replace("[service]", "[service, alertname]"))
        return opened(url)

    monkeypatch.setattr(starting, "open_database", migrates_at_leisure)
    async with service(tmp_path) as relay, asyncio.timeout(8):
        while relay.running.rules.rules.root.group_by != ("service", "alertname"):
            await asyncio.sleep(0.1)
