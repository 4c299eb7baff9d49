"""Maintenance windows over the API and the command line, on a running service."""

import asyncio
import re
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from service import TOKENS, service
from world import told

from relay.cli import main
from relay.clock import WallClock
from relay.store.window_log import WindowAct, append_act

pytestmark = pytest.mark.servers

IN_FILE = """
windows:
  - name: nightly
    reason: backups
    owner: ana
    zone: UTC
    cron: "0 2 * * *"
    duration: 3h
    matchers: [service=ledger]
"""


@pytest.fixture
async def relay(tmp_path):
    async with service(tmp_path) as running:
        running.rules.write_text(running.rules.read_text() + IN_FILE)
        await running.running.rules.reload()
        yield running


def body(**changed):
    now = WallClock().now()
    window = {
        "name": "rack",
        "reason": "a new switch",
        "owner": "ana",
        "zone": "UTC",
        "matchers": ["service=checkout"],
        "starts": (now - timedelta(minutes=1)).isoformat(),
        "ends": (now + timedelta(hours=1)).isoformat(),
    }
    return {**window, **changed}


async def post(relay, path, asked, role="responder"):
    return await relay.ask("POST", f"/api/v1/windows{path}", asked, role)


async def phase(relay, wanted):
    for _ in range(500):
        _, found = await relay.ask("GET", "/api/v1/incidents?phase=all", role="viewer")
        if found["incidents"] and found["incidents"][0]["phase"] == wanted:
            return found["incidents"][0]
        await asyncio.sleep(0.01)
    raise AssertionError(found)


def alert():
    return {"version": "4", "groupKey": "{}:{}", "status": "firing", "alerts": [told()]}


async def test_a_window_that_is_added_holds_and_when_it_is_ended_it_pages(relay):
    status, said = await post(relay, "", body())
    assert (status, said["said"].partition(" UTC")[0]) == (
        200,
        f"window rack added: it is open now, until {said['window']['ends'][:10]} {said['window']['ends'][11:16]}",
    )
    await relay.post(alert())
    held = await phase(relay, "held")
    assert held["held_by"] == "maintenance window rack (made by responder): a new switch"
    status, said = await post(relay, "/rack/end", {})
    assert status == 200
    assert said["window"]["open_until"] is None
    triggered = await phase(relay, "triggered")
    assert triggered["pages"][0]["level"] == "L1"
    _, acts = await relay.ask("GET", "/api/v1/window-acts", role="viewer")
    assert [(act["by"], act["kind"], act["name"]) for act in acts["acts"]] == [
        ("responder", "amended", "rack"),
        ("responder", "added", "rack"),
    ]


async def test_a_page_that_a_window_redirects_is_shown_while_it_holds(relay):
    target = next(iter(relay.running.rules.types()))
    assert (await post(relay, "", body(redirect=target)))[0] == 200
    await relay.post(alert())
    held = await phase(relay, "held")
    assert [page["level"] for page in held["pages"]] == ["window"]


async def test_an_extended_window_holds_on(relay):
    await post(relay, "", body(ends=(WallClock().now() + timedelta(seconds=1)).isoformat()))
    later = WallClock().now() + timedelta(hours=2)
    _, said = await post(relay, "/rack/end", {"ends": later.isoformat()})
    assert datetime.fromisoformat(said["window"]["open_until"]) == later
    await relay.post(alert())
    held = await phase(relay, "held")
    assert datetime.fromisoformat(held["deadlines"]["holding/look"]) == later


async def test_a_window_in_its_grace_is_extended_and_ended_at_once(relay):
    now = WallClock().now()
    await post(relay, "", body(ends=(now + timedelta(minutes=1)).isoformat(), grace="10m"))
    assert "and lets go of what began before 10m later" in (await post(relay, "/rack/end", {}))[1]["said"]
    await relay.post(alert())
    await phase(relay, "held")
    _, listed = await relay.ask("GET", "/api/v1/windows", role="viewer")
    rack = next(window for window in listed["windows"] if window["name"] == "rack")
    assert now <= datetime.fromisoformat(rack["ends"]) <= WallClock().now()
    assert datetime.fromisoformat(rack["open_until"]) - datetime.fromisoformat(rack["ends"]) == timedelta(minutes=10)
    later = now + timedelta(hours=2)
    _, said = await post(relay, "/rack/end", {"ends": later.isoformat()})
    assert datetime.fromisoformat(said["window"]["ends"]) == later
    assert (await post(relay, "/rack/end", {}))[0] == 200
    _, said = await post(relay, "/rack/end", {})
    assert said["said"] == "window rack lets go of what it holds"
    await phase(relay, "triggered")


async def test_an_end_that_is_over_already_is_refused(relay):
    await post(relay, "", body())
    for over in (timedelta(seconds=30), timedelta(days=30)):
        status, said = await post(relay, "/rack/end", {"ends": (WallClock().now() - over).isoformat()})
        assert (status, said["error"]) == (422, "this time is over: leave it out to end the window now")
    _, listed = await relay.ask("GET", "/api/v1/windows", role="viewer")
    assert next(window["open_until"] for window in listed["windows"] if window["name"] == "rack")


async def test_what_a_window_refers_to_must_be_there(relay):
    async def refused(**changed):
        status, said = await post(relay, "", body(**changed))
        assert status == 422
        return said["error"]

    assert await refused(redirect="pd-nobody") == 'redirect: there is no target "pd-nobody": did you mean "pd-bob"?'
    both = await refused(redirect="nobody", announce={"to": ["pd-ada", "mail"], "at_start": True})
    assert 'redirect: there is no target "nobody"' in both
    assert 'announce: there is no target "mail"' in both
    assert 'announce: "pd-ada" is a target of the type pagerduty, which only rings people' in both
    assert (await post(relay, "", body(redirect="pd-ada")))[0] == 200


async def test_what_would_never_open_or_covers_everything_is_refused(relay):
    now = WallClock().now()
    long_ago = {"starts": (now - timedelta(days=9)).isoformat(), "ends": (now - timedelta(days=8)).isoformat()}
    status, said = await post(relay, "", body(**long_ago))
    assert (status, said["error"]) == (422, "this time is over: the window would never be open")
    for matchers in (['alertname=~".+"'], ['alertname!=""'], ['alertname!~"(One)?"']):
        status, said = await post(relay, "", body(matchers=matchers))
        assert (status, "cover nearly every alert" in said["error"]) == (422, True)
    assert (await post(relay, "", {**body(matchers=['alertname=~".+"']), "force": True}))[0] == 200


async def test_a_window_amended_a_thousand_times_is_one_all_the_same(relay):
    await post(relay, "", body())
    now, writer = WallClock().now(), relay.running.sweep._writer

    def amend(connection):
        for n in range(1, 1500):
            ends = (now + timedelta(hours=1, seconds=n)).isoformat()
            append_act(connection, WindowAct("rack", "amended", "bob", now, {"ends": ends}))

    await writer.transact(amend)
    _, said = await post(relay, "/rack/end", {"ends": (now + timedelta(hours=3)).isoformat()})
    assert datetime.fromisoformat(said["window"]["ends"]) == now + timedelta(hours=3)


async def test_a_window_of_another_replica_is_taken_in(relay, tmp_path):
    await relay.post(alert())
    await phase(relay, "triggered")
    writer = relay.running.sweep._writer
    act = WindowAct("rack", "added", "bob", WallClock().now(), body(matchers=["service=search"]))
    await writer.transact(lambda connection: append_act(connection, act))
    for _ in range(800):
        _, found = await relay.ask("GET", "/api/v1/windows", role="viewer")
        if len(found["windows"]) == 2:
            break
        await asyncio.sleep(0.01)
    assert {w["name"]: w["place"] for w in found["windows"]}.get("rack") == "made by bob"


async def test_an_end_beyond_the_calendar_is_refused_and_one_that_was_kept_before_ends_nothing(relay):
    await post(relay, "", body(grace="5m"))
    for far in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"):
        status, said = await post(relay, "/rack/end", {"ends": far})
        assert (status, "write a year from 1970 to 2999" in said["error"]) == (422, True)
    kept = WindowAct("rack", "amended", "eve", WallClock().now(), {"ends": "9999-12-31T23:59:59+00:00"})
    await relay.running.sweep._writer.transact(lambda connection: append_act(connection, kept))
    assert (await post(relay, "", body(name="other")))[0] == 200  # which takes in all that was kept
    assert await relay.running.rules.reload() is None
    assert (await post(relay, "/rack/end", {}))[0] == 200


async def test_what_cannot_be_done_is_refused_in_words(relay):
    assert (await post(relay, "", body(), role="viewer"))[0] == 403
    status, said = await post(relay, "", body(matchers=["a!=b"], zone="Berlin"))
    assert status == 422
    assert 'zone: "Berlin" cannot be used: write a time zone as the IANA database names it' in said["error"]
    status, said = await post(relay, "", body(matchers=["service"], resaon="x", owner=""))
    assert said["error"].split("; ") == [
        'owner: "owner" is empty: write one',
        'matchers.0: "service" cannot be used: write a matcher as Alertmanager does: '
        'name="value", name!="value", name=~"regex" or name!~"regex"',
        'resaon: unknown key "resaon": did you mean "reason"?',
    ]
    status, said = await post(relay, "", body(ends="2020-01-01T00:00Z"))
    assert said["error"] == 'window: this cannot be used: "ends" must be later than "starts"'
    status, said = await post(relay, "", body(name="nightly"))
    assert (status, 'there is a window "nightly" already' in said["error"]) == (409, True)
    assert (await post(relay, "/no/end", {}))[1]["error"] == 'there is no window "no"'
    status, said = await post(relay, "", body(calendar={"url": "https://example.com/x.ics"}, starts=None, ends=None))
    assert status == 422
    ahead = WallClock().now() + timedelta(days=1)
    await post(relay, "", body(starts=ahead.isoformat(), ends=(ahead + timedelta(hours=1)).isoformat()))
    assert (await post(relay, "/rack/end", {"ends": ahead.isoformat()}))[0] == 409
    assert (await post(relay, "/rack/end", {}))[1]["said"] == "window rack removed"


async def test_a_window_of_a_rule_file_that_is_not_open_is_changed_there(relay):
    ahead = WallClock().now() + timedelta(days=1)
    times = f"starts: {ahead:%Y-%m-%dT%H:%M}, duration: 1h"
    move = f"  - {{name: move, reason: r, owner: o, zone: UTC, {times}, matchers: [rack=r1]}}\n"
    relay.rules.write_text(relay.rules.read_text() + move)
    await relay.running.rules.reload()
    line = len(relay.rules.read_text().splitlines())
    status, said = await post(relay, "/move/end", {})
    assert status == 409
    assert said["error"] == f'window "move" is not open now: it stands in {relay.rules}:{line}, change it there'


async def test_the_command_line(relay):
    url = f"http://127.0.0.1:{relay.running.address[1]}"

    def run(*words, role="responder"):
        environment = {"RELAY_URL": url, "RELAY_TOKEN": TOKENS[role]}
        return CliRunner(env=environment).invoke(main, ["window", *words], catch_exceptions=False)

    async def say(*words):
        return await asyncio.to_thread(run, *words)

    told = ("--reason", "cables", "--owner", "ana")
    said = await say("add", "rack 7", "-m", "rack=r7", *told, "--for", "2h")
    assert said.exit_code == 0
    assert re.fullmatch(r"window rack 7 added: it is open now, until [-\d]{10} [:\d]{5} UTC \(2h\)\n", said.output)
    assert "window rack 7 ends at" in (await say("extend", "rack 7", "--by", "1h")).output
    rack = next(one for one in relay.running.rules.rules.windows if one.name == "rack 7")
    ends = rack.open_occasion(WallClock().now()).ends
    for sooner in (ends, ends - timedelta(hours=1), ends - timedelta(days=30)):
        said = await say("extend", "rack 7", "--until", sooner.isoformat())
        assert f'"rack 7" is open until {ends:%Y-%m-%d %H:%M} UTC already, and this is not later' in said.output
        assert (said.exit_code, "relay window end ends it now" in said.output) == (2, True)
    listed = (await say("list")).output
    assert "rack 7" in listed
    assert "nightly" in listed
    assert "window rack 7 ends at" in (await say("end", "rack 7")).output
    assert "amended rack 7 to end at" in (await say("log")).output
    assert (await say("extend", "rack 7", "--by", "1h")).exit_code == 2
    assert (await say("extend", "rack 7")).exit_code == 2

    until = (WallClock().now() + timedelta(hours=3)).isoformat()
    more = ("--until", until, "--never-suppress", "SEV-2", "--max-suppressed", "5", "--redirect", "pd-ada")
    said = await say("add", "rack 8", "-m", "rack=r8", *told, *more, "--grace", "10m", "--suppress", "notifications")
    assert said.output.startswith("window rack 8 added: it is open now, until ")
    window = next(one for one in relay.running.rules.rules.windows if one.name == "rack 8")
    assert (window.never_suppress, window.max_suppressed, window.redirect) == ((2,), 5, "pd-ada")
    assert (window.grace, window.suppress) == (timedelta(minutes=10), "notifications")
    assert window.ends.isoformat() == until
    everything = ("add", "all", "-m", 'alertname=~".+"', *told, "--for", "2h")
    assert "cover nearly every alert" in (await say(*everything)).output
    assert (await say(*everything, "--force", "--pause-escalations")).exit_code == 0
    assert (await say("add", "never", "-m", "a=b", *told, "--for", "2h", "--until", until)).exit_code == 2
    said = await say("add", "never", "-m", "a=b", "--reason", "", "--owner", "ana", "--for", "2h")
    assert (said.exit_code, said.output) == (2, 'reason: "reason" is empty: write one\n')
    for two in ('service=ledger, job="x"', '{service="ledger",job="x"}'):
        said = await say("add", "never", "-m", two, *told, "--for", "2h")
        assert (said.exit_code, "is more than one matcher: write -m once for each" in said.output) == (2, True)
    said = await say("add", "never", "-m", "service=caf\udce9", *told, "--for", "2h")
    assert (said.exit_code, '"service=caf\ufffd" is not UTF-8 text: it would cover nothing' in said.output) == (2, True)
    past = await say("add", "never", "-m", "a=b", *told, "--from", "2020-01-01T00:00", "--for", "1h")
    assert "this time is over" in past.output


async def test_a_window_that_is_far_ahead_and_one_that_is_over_are_told_apart(relay):
    opens = WallClock().now().replace(microsecond=0) + timedelta(days=500)
    far = {"starts": opens.isoformat(), "ends": (opens + timedelta(hours=1)).isoformat()}
    await post(relay, "", body(name="far", matchers=["a=b"], **far))
    await post(relay, "", body(name="past", matchers=["a=c"]))
    await post(relay, "/past/end", {})
    await post(relay, "", body(name="open", matchers=["a=d"]))
    psp = "  - {name: psp, reason: r, owner: o, zone: UTC, calendar: {url: 'http://127.0.0.1:9/x'}, matchers: [a=e]}\n"
    relay.rules.write_text(relay.rules.read_text() + psp)
    await relay.running.rules.reload()
    _, listed = await relay.ask("GET", "/api/v1/windows", role="viewer")
    listed = [window for window in listed["windows"] if window["name"] != "nightly"]
    assert [(window["name"], window["over"]) for window in listed] == [
        ("open", False),
        ("far", False),
        ("psp", False),
        ("past", True),
    ]
    assert listed[1]["next"]["starts"] == f"{opens:%Y-%m-%dT%H:%M:%SZ}"
    environment = {"RELAY_URL": f"http://127.0.0.1:{relay.running.address[1]}", "RELAY_TOKEN": TOKENS["viewer"]}
    shown = await asyncio.to_thread(CliRunner(env=environment).invoke, main, ["window", "list"])
    rows = {line.split()[0]: line.split()[1:4] for line in shown.output.splitlines() if line.strip()}
    assert (rows["far"][:2], rows["past"][:2], rows["psp"][:2]) == (
        ["-", f"{opens:%Y-%m-%d}"],
        ["-", "over"],
        ["-", "-"],
    )


async def test_who_adds_a_window_is_told_when_it_is_open_on_the_clocks_that_are_meant(relay):
    environment = {"RELAY_URL": f"http://127.0.0.1:{relay.running.address[1]}", "RELAY_TOKEN": TOKENS["responder"]}

    async def add(*words):
        words = ("window", "add", "berlin", "-m", "rack=r7", "--reason", "cables", "--owner", "ana", *words)
        return await asyncio.to_thread(CliRunner(env=environment).invoke, main, words, catch_exceptions=False)

    year = WallClock().now().year + 1
    wrong = await add("--zone", "Berlin", "--for", "1h")
    assert (wrong.exit_code, "write a time zone as the IANA database names it" in wrong.output) == (2, True)
    times = ("--from", f"{year}-07-10T13:00", "--until", f"{year}-07-10T16:00")
    said = await add("--zone", "Europe/Berlin", *times)
    assert said.output == (
        f"window berlin added: it opens at {year}-07-10 11:00 UTC, until {year}-07-10 14:00 UTC (3h)\n"
    )
    [window] = [window for window in relay.running.rules.rules.windows if window.name == "berlin"]
    assert (str(window.zone), window.starts.isoformat()) == ("Europe/Berlin", f"{year}-07-10T11:00:00+00:00")
    await post(relay, "/berlin/end", {})
    said = await add("--zone", "Asia/Tokyo", "--from", f"{year}-07-10T13:00+02:00", "--for", "30m")
    assert f"it opens at {year}-07-10 11:00 UTC, until {year}-07-10 11:30 UTC (30m)" in said.output
    weekly = {"days": ["mon"], "from": "00:00", "to": "00:00"}
    _, said = await post(relay, "", body(name="weekly", starts=f"{year}-01-01", ends=None, weekly=weekly))
    assert re.search(r"it opens at [-\d]{10} 00:00 UTC, until [-\d]{10} 00:00 UTC \(1d\)$", said["said"])


async def test_of_two_windows_of_one_name_one_is_refused(relay):
    answers = await asyncio.gather(*(post(relay, "", body(matchers=[f"service={n}"])) for n in range(4)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    [(_, said)] = [one for one in answers if one[0] == 200]
    _, listed = await relay.ask("GET", "/api/v1/windows", role="viewer")
    assert [one["matchers"] for one in listed["windows"] if one["name"] == "rack"] == [said["window"]["matchers"]]
