"""Calendars that others publish: fetched, kept over a restart, and believed for as long as a window says."""

from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playbook import NOON

from relay.clock import ManualClock
from relay.engine.metrics import Metrics
from relay.engine.rehearsal import scratch_database
from relay.engine.rules_in_use import RulesInUse
from relay.engine.window_watch import WindowWatch
from relay.engine.writer import Writer

EVENT = "BEGIN:VEVENT\nUID:{0}\nSUMMARY:{0}\nDTSTART:20260107T{1}0000Z\nDURATION:PT3H\nEND:VEVENT\n"
CALENDAR = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//example//EN\n{}END:VCALENDAR\n"
RULES = """\
people:
  ada: {{name: Ada, via: hook}}
targets:
  hook: {{type: pagerduty, routing_key_file: "{2}"}}
policies:
  p: {{levels: [{{name: L1, page: [{{person: ada}}], wait: 1h}}], last_resort: [{{person: ada}}]}}
route: {{policy: p, group_by: [service]}}
windows:
  - name: cards
    reason: they say so
    owner: ana
    zone: UTC
    matchers: [service=cards]
    calendar: {{{0}, refresh: 15m, stale_after: 1h, stale: {1}}}
"""


class Published:
    """A calendar on a server that answers as told; and who watches it."""

    def __init__(self, directory, database, server, session):
        self.answer = (200, CALENDAR.format(EVENT.format("now", 11)))
        self.asked = 0
        self.clock = ManualClock(NOON)
        self.changed = 0
        self.database, self.writers = database, list[Writer]()
        self._directory, self._session = directory, session
        (directory / "key").write_text("0123456789abcdef0123456789abcdef")
        self.url = str(server.make_url("/maintenance.ics"))
        self.start("keep")

    def start(self, stale, address=""):
        """A process starts: what the one before it had in memory is gone."""
        (self._directory / "rules.yaml").write_text(
            RULES.format(address or f'url: "{self.url}"', stale, self._directory / "key")
        )
        self.rules = RulesInUse(self._directory / "rules.yaml", "", {}, self.clock, Metrics())
        self.metrics = Metrics()
        self.writers.append(Writer(self.database))
        self.watch = WindowWatch(self.rules, self.writers[-1], self.clock, self.metrics, self._change)

    async def change_address(self, address):
        written = self._directory / "rules.yaml"
        written.write_text(written.read_text().replace(f'url: "{self.url}"', address))
        assert await self.rules.reload() is None

    def _change(self):
        self.changed += 1

    async def look(self, **time):
        self.clock.advance(timedelta(**time))
        await self.watch.refresh(self._session)

    @property
    def open(self):
        return [window.name for window, _ in self.rules.rules.windows.open(self.clock.now())]

    @property
    def failures(self):
        return self.metrics.calendar_failures.labels("cards")._value.get()


@pytest.fixture
async def published(tmp_path):
    async def answer(request):
        there.asked += 1
        status, text = there.answer
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_get("/maintenance.ics", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        with scratch_database() as database:
            there = Published(tmp_path, database, server, session)
            yield there
            for writer in there.writers:
                writer.close()


async def test_it_is_read_as_often_as_the_window_says(published):
    assert published.open == []
    await published.look()
    assert (published.open, published.changed) == (["cards"], 1)
    await published.look(minutes=14)
    assert published.asked == 1
    published.answer = (200, CALENDAR.format(EVENT.format("later", 20)))
    await published.look(minutes=1)
    assert (published.asked, published.open, published.changed) == (2, [], 2)


async def test_it_is_read_as_often_though_the_clock_is_set_back(published):
    await published.look()
    published.clock.step(timedelta(hours=-3))
    await published.look(minutes=14)
    assert published.asked == 1
    await published.look(minutes=1)
    assert published.asked == 2


async def test_an_event_that_cannot_be_used_is_left_out_with_a_warning(published, capfd):
    odd = EVENT.format("odd", 11).replace("DURATION:PT3H", "DURATION:PT5M\nRRULE:FREQ=MINUTELY")
    published.answer = (200, CALENDAR.format(odd + EVENT.format("now", 11)))
    await published.look()
    assert published.open == ["cards"]
    assert 'mend the event "odd" of the calendar: write FREQ=' in capfd.readouterr().err


@pytest.mark.parametrize("answer", [(503, "down"), (404, "gone"), (200, "<html>sign in</html>")])
async def test_what_is_known_stays_in_use_while_it_cannot_be_read(published, answer):
    await published.look()
    published.answer = answer
    await published.look(minutes=15)
    assert (published.open, published.failures) == (["cards"], 1)
    await published.look(seconds=59)
    assert published.failures == 1
    await published.look(seconds=1)
    assert published.failures == 2  # it is asked again every minute
    await published.look(minutes=60)
    assert published.open == ["cards"]


async def test_stale_times_are_ignored_where_the_window_says_so(published):
    published.start("ignore")
    await published.look()
    published.answer = (503, "down")
    await published.look(minutes=60)
    assert published.open == ["cards"]
    await published.look(minutes=1)
    assert published.open == []
    published.answer = (200, CALENDAR.format(EVENT.format("now", 11)))
    await published.look(minutes=1)
    assert published.open == ["cards"]


async def test_it_is_known_after_a_restart_though_nobody_answers(published):
    await published.look()
    published.answer = (503, "down")
    published.start("keep")
    assert published.open == []
    await published.watch.remember()
    assert published.open == ["cards"]
    await published.look(minutes=30)
    assert (published.open, published.failures) == (["cards"], 1)


async def test_what_is_stale_after_a_restart_is_ignored_where_the_window_says_so(published):
    await published.look()
    published.answer = (503, "down")
    published.start("ignore")
    await published.watch.remember()
    await published.look(minutes=61)
    assert published.open == []


async def test_what_another_address_told_is_not_taken_over(published, tmp_path):
    await published.look()
    for address in (f'url: "{published.url}?other"', f'url_file: "{tmp_path / "nowhere"}"'):
        published.start("keep", address)
        await published.watch.remember()
        assert published.open == []


async def test_an_address_that_is_a_secret_is_kept_as_a_digest(published, tmp_path):
    (tmp_path / "secret").write_text(published.url)
    published.start("keep", f'url_file: "{tmp_path / "secret"}"')
    await published.look()
    assert published.open == ["cards"]
    stored = published.database.read(lambda c: str(c.exec_driver_sql("SELECT * FROM calendar_told").all()))
    assert published.url not in stored
    published.start("keep", f'url_file: "{tmp_path / "secret"}"')
    await published.watch.remember()
    assert published.open == ["cards"]


async def test_a_calendar_that_says_the_same_as_before_moves_nothing(published):
    await published.look()
    await published.look(minutes=15)
    assert (published.asked, published.changed, published.open) == (2, 1, ["cards"])


@pytest.mark.parametrize(("answer", "open_", "changed"), [(200, ["cards"], 3), (503, [], 2)])
async def test_of_another_address_after_a_reload_only_what_it_tells_itself_holds(published, answer, open_, changed):
    await published.look()
    published.answer = (answer, published.answer[1])
    await published.change_address(f'url: "{published.url}?new"')
    await published.look(seconds=5)
    assert (published.asked, published.open, published.changed) == (2, open_, changed)


async def test_an_address_that_cannot_be_read_for_a_moment_changes_nothing(published, tmp_path):
    secret = tmp_path / "address"
    secret.write_text(published.url)
    published.start("keep", f'url_file: "{secret}"')
    await published.look()
    secret.unlink()
    await published.look(seconds=5)
    secret.write_text(published.url)
    await published.look(seconds=5)
    assert (published.asked, published.open, published.changed) == (1, ["cards"], 1)


async def test_a_calendar_that_could_not_be_taken_in_is_taken_in_the_next_time(published, monkeypatch):
    take, failed = published.rules.take_calendar, []

    async def fail_once(window, text):
        if not failed:
            failed.append(window)
            raise RuntimeError("can't start new thread")
        await take(window, text)

    monkeypatch.setattr(published.rules, "take_calendar", fail_once)
    with pytest.raises(RuntimeError):
        await published.look()
    await published.look(minutes=15)
    assert published.open == ["cards"]


async def test_an_address_that_comes_just_as_it_is_asked_for_is_the_same_later(published, tmp_path, monkeypatch):
    secret = tmp_path / "address"
    secret.write_text(published.url)
    published.start("keep", f'url_file: "{secret}"')
    with monkeypatch.context() as missing:
        missing.setattr("relay.engine.window_watch._digest", lambda window: "")
        await published.look()
    await published.look(seconds=5)
    assert (published.asked, published.open, published.changed) == (1, ["cards"], 1)
