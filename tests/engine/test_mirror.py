"""Windows that are mirrored into a real Alertmanager; and its matchers held against ours."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from playbook import rules

from relay.clock import ManualClock, WallClock
from relay.config.matchers import Matcher, all_match, parse_matcher
from relay.demo.monitoring import alertmanager
from relay.demo.programs import need
from relay.engine.metrics import Metrics
from relay.engine.mirror import Mirror, changes, wanted_silences
from relay.incident.maintenance import Windows
from relay.integrations.alertmanager import fingerprint
from relay.integrations.alertmanager_api import AlertmanagerApi, Silence

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)
REGEX = "'service=~\"a|b\"'"


def windows(ends=NOON + timedelta(hours=1), starts=NOON - timedelta(hours=1), more="mirror: true", name="w"):
    body = f"name: {name}, reason: a switch, owner: ana, zone: UTC, {more}, any_of: [[{REGEX}, env!=test], [x=y]]"
    return rules(windows=f'[{{{body}, starts: "{starts.isoformat()}", ends: "{ends.isoformat()}"}}]').windows


def a_silence(window="w", id_="1", ends=NOON + timedelta(hours=1), matchers=("x=y",), comment=None):
    because = next(iter(windows())).because if comment is None else comment
    read = tuple(parse_matcher(text) for text in matchers)
    return Silence(read, NOON - timedelta(hours=1), ends, f"Relay, window {window}", because, id_)


BOTH = (a_silence(matchers=("env!=test", REGEX.strip("'")), id_="2"), a_silence())


def asked(wanted, *there):
    return [(one.id, "end" if one.ends <= one.starts else f"{one.ends - NOON}") for one in changes(wanted, there)]


def test_what_is_open_and_asks_for_it_is_wanted_and_nothing_else():
    assert len(wanted_silences(windows(), NOON)) == 2
    assert wanted_silences(windows(more="mirror: false"), NOON) == []
    assert wanted_silences(windows(more="mirror: true, mode: shadow"), NOON) == []
    assert wanted_silences(windows(starts=NOON + timedelta(minutes=1)), NOON) == []
    assert wanted_silences(windows(), NOON + timedelta(hours=1)) == []


def test_only_what_differs_is_asked_for():
    wanted = wanted_silences(windows(), NOON)
    assert asked(wanted) == [("", "1:00:00"), ("", "1:00:00")]
    assert asked(wanted, *BOTH) == []
    longer = wanted_silences(windows(ends=NOON + timedelta(hours=2)), NOON)
    assert asked(longer, *BOTH) == [("2", "2:00:00"), ("1", "2:00:00")]
    assert asked([], *BOTH) == [("2", "end"), ("1", "end")]
    assert asked(wanted, *BOTH, a_silence(id_="3")) == [("3", "end")]  # of another replica, at the same time
    assert asked(wanted, *BOTH, a_silence("gone", id_="4")) == [("4", "end")]
    assert asked(wanted[1:], a_silence(comment="another reason")) == [("1", "1:00:00")]


def test_times_that_overlap_want_one_silence_until_the_last_of_them_ends():
    twice = "mirror: true, cron: '0 0 * * *', duration: 25h"
    body = f"name: w, reason: a switch, owner: ana, zone: UTC, {twice}, matchers: [x=y]"
    overlapping = rules(windows=f"[{{{body}}}]").windows
    [one] = wanted_silences(overlapping, NOON.replace(hour=0, minute=30))
    assert (one.starts, one.ends) == (NOON - timedelta(hours=36), NOON + timedelta(hours=13))
    assert changes([one], [Silence(one.matchers, one.starts, one.ends, one.by, one.comment, "7")]) == []


def test_the_grace_is_not_silent_as_what_begins_in_it_pages():
    assert wanted_silences(windows(more="mirror: true, grace: 10m"), NOON + timedelta(hours=1)) == []


def test_silences_of_others_are_left_alone():
    others = Silence((parse_matcher("x=y"),), NOON, NOON + timedelta(hours=1), "ana", "mine", "9")
    assert changes([], [others]) == []


@pytest.mark.parametrize("more", ["never_suppress: [SEV-1]", "max_suppressed: 3", "redirect: pd-noc"])
def test_what_alertmanager_cannot_know_is_refused_with_mirror(more):
    with pytest.raises(ValueError, match="keeps alerts from Relay"):
        windows(more=f"mirror: true, {more}")


class Fake:
    """An Alertmanager that remembers what it is asked for; or never answers."""

    def __init__(self, hangs=False):
        self.hangs, self.made = hangs, asyncio.Queue()

    async def silences(self, session):
        if self.hangs:
            await asyncio.Event().wait()
        return []

    async def silence(self, silence, session):
        await self.made.put(silence)


async def test_a_source_that_does_not_answer_keeps_no_other_from_being_silenced():
    well = Fake()
    mirror = Mirror({"hangs": [Fake(hangs=True)], "well": [well]}, windows, ManualClock(NOON), Metrics())
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(mirror.run())
        assert (await well.made.get()).by == "Relay, window w"
        running.cancel()


@pytest.fixture
async def real(tmp_path):
    program = need(["prometheus-alertmanager"], print)["prometheus-alertmanager"]
    async with (
        alertmanager(program, tmp_path / "am", "http://127.0.0.1:9/nobody", "x") as address,
        aiohttp.ClientSession() as session,
    ):
        yield f"http://{address}", session


@pytest.mark.servers
async def test_a_real_alertmanager_is_silent_as_long_as_the_window_is_open(real):
    url, session = real
    now = WallClock().now()
    clock = ManualClock(now)
    open_now = windows(now + timedelta(hours=1), now - timedelta(hours=1))
    extended = windows(now + timedelta(hours=2), now - timedelta(hours=1))
    current = [open_now]
    api = AlertmanagerApi(url, "prod", "relay")
    down = AlertmanagerApi("http://127.0.0.1:9", "prod", "relay")
    mirror = Mirror({"prod": [down, api]}, lambda: current[0], clock, Metrics())

    async def silences():
        return sorted(await api.silences(session), key=str)

    await mirror.look("prod", session)
    one, other = await silences()
    assert {one.by, other.by} == {"Relay, window w"}
    assert {len(one.matchers), len(other.matchers)} == {1, 2}
    assert "a switch" in one.comment
    await mirror.look("prod", session)
    assert await silences() == [one, other]
    current[0] = extended
    await mirror.look("prod", session)
    assert all(abs(silence.ends - now - timedelta(hours=2)) < timedelta(seconds=1) for silence in await silences())
    assert len(await silences()) == 2
    current[0] = Windows()
    await mirror.look("prod", session)
    assert await silences() == []


POOL = {"service": ["a", "b", "ab", "ä b"], "env": ["test", "prod", "a.b", 'q"uote\\'], "team": ["x", "X", "a|b"]}
VALUES = [
    "",
    "a",
    "b",
    "a|b",
    "ab",
    ".*",
    ".+",
    "a.*",
    "[ab]+",
    "(?i)x",
    "a\\.b",
    "ä.b",
    "^a$",
    "prod|test",
    'q"uote\\',
    "\\w+",
    "a||b",
]


@pytest.mark.servers
async def test_matchers_mean_what_they_mean_to_a_real_alertmanager(real):
    """As filters of its API; and what we cannot read as a regular expression, it refuses, too."""
    url, session = real
    chance = random.Random(4)
    alerts = [
        {"alertname": "A", "n": str(n)}
        | {name: chance.choice(pool) for name, pool in POOL.items() if chance.random() < 0.8}
        for n in range(60)
    ]
    async with session.post(f"{url}/api/v2/alerts", json=[{"labels": labels} for labels in alerts]) as answer:
        assert answer.status == 200
    known = {fingerprint(labels): labels for labels in alerts}
    found = refused = 0
    for _ in range(300):
        texts = [
            (chance.choice([*POOL, "absent"]), chance.choice(["=", "!=", "=~", "!~"]), chance.choice(VALUES))
            for _ in range(chance.randint(1, 3))
        ]
        asked = [("filter", str(Matcher(*text))) for text in texts]
        async with session.get(f"{url}/api/v2/alerts", params=asked) as answer:
            told = await answer.json()
        try:
            ours = [parse_matcher(str(Matcher(*text))) for text in texts]
        except ValueError:
            assert answer.status == 400, (texts, told)
            refused += 1
            continue
        assert answer.status == 200, (texts, told)
        expected = {print_ for print_, labels in known.items() if all_match(ours, labels)}
        assert {alert["fingerprint"] for alert in told} == expected, texts
        found += bool(expected)
    assert refused
    assert 60 < found < 300
