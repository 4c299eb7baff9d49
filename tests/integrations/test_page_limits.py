"""Whatever a notice holds, every vendor takes the page, and the reader is told something of it."""

import itertools
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rigs import KEY, NOON, NOTICE, RIGS, Rig, running

from relay.incident.effects import AcknowledgePage, Notice, Page, ResolvePage, UpdatePage
from relay.integrations.exchange import encode
from relay.integrations.fitting import length

PIECES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "\n",
            "\r\n",
            " ",
            "|",
            "\0",
            "\ud800",
            "\\",
            '"',
            "é",
            "e\u0301",
            "👩‍👩‍👧‍👦",
            "🇩🇪",
            "क्षि",
            "\u200b",
            "z\u0334\u0335",
        ]
    ),
)
TEXTS = st.builds(lambda piece, times: piece * times, PIECES, st.sampled_from([0, 1, 1, 7, 130, 1_025, 16_000]))
PAIRS = st.one_of(
    st.dictionaries(TEXTS, TEXTS, max_size=4),
    st.builds(
        lambda n, text: {f"{i}{text}": f"{text}{i}" for i in range(n)}, st.integers(0, 300), st.text(max_size=400)
    ),
)
LINKS = st.one_of(
    PAIRS, st.dictionaries(TEXTS, TEXTS.map(lambda text: f"https://wiki.example.com/{text}"), max_size=40)
)
NOTICES = st.builds(
    Notice,
    incident=TEXTS,
    title=TEXTS,
    text=TEXTS,
    severity=st.integers(1, 5),
    service=TEXTS,
    started_at=st.datetimes(timezones=st.just(UTC)),
    alerts=st.one_of(
        st.lists(TEXTS, max_size=4),
        st.builds(lambda text, n: [text] * n, st.text(max_size=300), st.integers(0, 3000)),
    ).map(tuple),
    firing=st.integers(0, 10**9),
    labels=PAIRS,
    links=LINKS,
)
KEYS = st.one_of(st.just(KEY), TEXTS.filter(lambda text: bool(text.strip())))


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
@given(notice=NOTICES, key=KEYS, what=TEXTS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_notice_is_taken_and_told(rig: Rig, notice: Notice, key: str, what: str, tmp_path: Path) -> None:
    async with running(rig, tmp_path) as it:
        outcome = await it.ask(Page("pay", key, notice))
        assert outcome.kind == "done", outcome.said
        (entry,) = it.vendor.journal
        _tells_something(rig, notice, entry.body)

        for effect in (
            UpdatePage("pay", key, notice, what),
            AcknowledgePage("pay", key, by=what),
            ResolvePage("pay", key, because=what),
        ):
            assert (await it.ask(effect)).kind == "done"
        assert (len(it.vendor.pages()), it.vendor.open_keys()) == (1, frozenset())
        assert not [entry for entry in it.vendor.journal if entry.status != 202]


def _tells_something(rig: Rig, notice: Notice, body: Any) -> None:
    if rig.name == "pagerduty":
        details = body["payload"]["custom_details"]
        assert details["firing"] == notice.firing
        assert bool(details["text"]) == bool(notice.text.splitlines())
        assert bool(details["alerts"]) == bool(notice.alerts)
        assert bool(details["labels"]) == bool(notice.labels)
    else:
        assert body["details"]["firing"] == str(notice.firing)
        assert len(body["details"]) > 4 or not notice.labels.keys() - {"incident", "severity", "firing", "started_at"}
        assert body["description"].startswith(notice.text[:100].replace("\ud800", "?"))


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
async def test_the_largest_of_all_is_taken(rig: Rig, tmp_path: Path) -> None:
    worst = "\0" * 65_536  # six bytes of JSON for each
    many = {f"{number}{worst}": worst for number in range(100)}
    links = {name: f"https://x/{worst[:4_000]}" for name in many}
    notice = Notice(worst, worst, f"{worst}\n" * 100, 1, worst, NOON, (worst,) * 100, 100, many, links)

    async with running(rig, tmp_path) as it:
        outcome = await it.ask(Page("pay", worst, notice))

        assert outcome.kind == "done", outcome.said
        _tells_something(rig, notice, it.vendor.journal[0].body)


async def test_an_event_uses_the_room_there_is_and_no_more(tmp_path: Path) -> None:
    async with running(RIGS[0], tmp_path) as it:
        for last in range(0, 8_000, 250):
            notice = replace(NOTICE, text="\n".join(["x" * 7_990] * 63 + ["y" * last]))
            assert (await it.ask(Page("pay", KEY, notice))).kind == "done"

        sizes = [len(encode(entry.body)) for entry in it.vendor.journal]
        assert 511_000 < max(sizes) <= 512_000
        assert min(sizes) < 300_000, "some were too large, and shrunk"


async def test_details_use_the_room_there_is_and_no_more(tmp_path: Path) -> None:
    async with running(RIGS[1], tmp_path) as it:
        for longest in range(700, 1_000, 10):
            notice = replace(NOTICE, labels={f"{number}": "🔥" * (longest // 2) for number in range(10)})
            assert (await it.ask(Page("pay", KEY, notice))).kind == "done"

        sizes = [sum(map(length, itertools.chain(*e.body["details"].items()))) for e in it.vendor.journal]
        assert 7_900 < max(sizes) <= 8_000
        assert min(sizes[-5:]) < 6_000, "the last ones were too large, and shrunk"


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
@pytest.mark.parametrize("blank", ["", " \n\t"])
async def test_a_notice_that_says_nothing_is_a_page_all_the_same(rig: Rig, blank: str, tmp_path: Path) -> None:
    notice = Notice("PAY-12", blank, blank, 3, blank, NOON, (), 0, {blank: blank}, {blank: blank})

    async with running(rig, tmp_path) as it:
        assert (await it.ask(Page("pay", KEY, notice))).kind == "done"
        assert (await it.ask(UpdatePage("pay", KEY, notice, blank))).kind == "done"

        body = it.vendor.journal[0].body
        assert (body.get("message") or body["payload"]["summary"]) == "Incident PAY-12"
