"""What must hold for the courier of every kind of target, whatever the vendor does."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import get_args

import pytest
from rigs import KEY, NOTICE, PAGE, RIGS, Running, running

from relay.demo.standins.faults import Fault
from relay.demo.standins.standin import StandIn
from relay.incident.effects import AcknowledgePage, Measure, ResolvePage, UpdatePage
from relay.incident.events import Delivered
from relay.integrations import TARGETS, Target

UPDATE = UpdatePage("pay", KEY, replace(NOTICE, severity=1), "raised from SEV-2 to SEV-1")
ACKNOWLEDGE = AcknowledgePage("pay", KEY, "ada")
RESOLVE = ResolvePage("pay", KEY, "every alert has ended")

TROUBLE = {
    "hang": Fault("hang", seconds=60),
    "drip": Fault("drip", seconds=0.02),
    "reset": Fault("reset"),
    "ghost": Fault("ghost"),
    "garbage": Fault("garbage"),
    "captive portal": Fault("html"),
    "overloaded": Fault("status", status=503),
}
"""Whatever it was, the page may or may not have arrived."""
SOON = 0.2
"""Seconds after which a courier gives up, where a test waits for that."""


@pytest.fixture(params=RIGS, ids=lambda rig: rig.name)
async def it(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Running]:
    """A courier and its vendor, for each kind of target."""
    async with running(request.param, tmp_path) as it:
        yield it


def test_every_kind_of_target_is_tested_here() -> None:
    kinds = {kind for target in TARGETS for kind in get_args(target.model_fields["type"].annotation)}

    # mail and webhooks of your own have no vendor's answer that could be missing: they have tests of their own
    assert kinds - {"email", "webhook"} == {rig.settings["type"] for rig in RIGS}
    assert set(get_args(get_args(Target)[0])) == set(TARGETS)


async def test_a_page_is_taken_in_updated_acknowledged_and_closed(it: Running) -> None:
    assert (await it.ask(PAGE)).said == Delivered(KEY, "pay")
    for effect in (UPDATE, ACKNOWLEDGE):
        assert (await it.ask(effect)).said is None
        assert it.vendor.open_keys() == {KEY}
    assert (await it.ask(RESOLVE)).said is None

    assert it.vendor.open_keys() == frozenset()
    assert it.vendor.pages() == (KEY,)
    assert not [entry for entry in it.vendor.journal if entry.acceptance in ("refused", "dropped")]


async def test_each_message_is_one_request_but_an_update_at_opsgenie_is_three(it: Running) -> None:
    """As docs/rules/fallback.md says beside `per_minute`, which counts messages."""
    for effect in (PAGE, UPDATE, ACKNOWLEDGE, RESOLVE):
        before = len(it.vendor.journal)
        await it.ask(effect)
        requests = 3 if effect is UPDATE and it.rig.name == "opsgenie" else 1
        assert len(it.vendor.journal) - before == requests


async def test_nothing_open_is_no_failure_of_what_is_said_about_it(it: Running) -> None:
    for effect in (ACKNOWLEDGE, RESOLVE):
        assert (await it.ask(effect)).kind == "done"

    assert it.vendor.pages() == ()


async def test_what_is_no_page_is_refused_for_good(it: Running) -> None:
    assert (await it.ask(Measure({"errors": "sum(errors)"}))).kind == "never"
    assert not it.vendor.journal


async def test_every_status_is_again_or_never_and_none_is_success_without_the_vendors_own_words(it: Running) -> None:
    got = {}
    for status in HTTPStatus:
        if status >= 200:
            it.vendor.faults.add(Fault("status", status=status))
            got[status.value] = (await it.ask()).kind

    never = {status for status in got if 300 <= status < 500} - {408, 429}
    if it.rig.name != "pagerduty":
        never.add(501)  # as Opsgenie's own client has it
    assert got == {status: "never" if status in never else "again" for status in got}
    assert len(got) > 55


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize(
    "body", ["", "[]", "null", "{}", '{"status": "queued"}', '{"result": "ok"}', "<html>", "{" * 70000]
)
async def test_a_success_without_the_expected_answer_is_none(it: Running, status: int, body: str) -> None:
    it.vendor.faults.add(Fault("status", status=status, body=body))

    outcome = await it.ask()

    assert (outcome.kind, outcome.after) == ("again", None)
    assert "proxy" in outcome.said


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_trouble_is_tried_again_and_rings_once(it: Running, trouble: str) -> None:
    it.vendor.faults.add(TROUBLE[trouble], times=2)
    began = time.monotonic()

    outcomes = [(await it.ask(PAGE, within)).kind for within in (SOON, SOON, None)]

    assert outcomes == ["again", "again", "done"]
    assert time.monotonic() - began < 5, "a courier waits no longer than its time limit"
    assert it.vendor.pages() == (KEY,)
    assert [entry.key for entry in it.vendor.journal] == [KEY] * 3, "the same key on every attempt"


async def test_a_vendor_that_cannot_be_reached_is_tried_again(it: Running) -> None:
    await it.vendor.stop()

    outcome = await it.ask()

    assert outcome.kind == "again"
    assert "cannot connect" in outcome.said


async def test_a_vendor_that_lets_nobody_in_is_tried_again(it: Running, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as queue:
        for _ in range(2):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        target = it.rig.target(tmp_path, url=f"http://127.0.0.1:{full.getsockname()[1]}")
        it.courier = target.courier(timeout=SOON)

        outcome = await it.ask()

    assert outcome.kind == "again"
    assert f"cannot be connected to within {SOON / 2:g} s" in outcome.said


async def test_a_vendor_without_trusted_tls_is_tried_again(it: Running, tmp_path: Path) -> None:
    it.courier = it.rig.target(tmp_path, url=it.vendor.url.replace("http://", "https://")).courier()

    outcome = await it.ask()

    assert outcome.kind == "again"
    assert "TLS" in outcome.said


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_the_secret_is_shown_to_nobody(it: Running, status: int) -> None:
    async with it.rig.stand_in() as trap:
        it.vendor.faults.add(Fault("redirect", status=status, location=f"{trap.url}/v2/enqueue?{it.rig.secret}"))

        outcome = await it.ask()

        assert outcome.kind == "never"
        assert not trap.journal
    assert it.rig.secret not in "".join(it.said)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
async def test_a_vendors_words_are_quoted_without_the_secret(it: Running, status: int) -> None:
    secret = it.rig.secret
    body = f'{{"message": "no\\nkey {secret}!\\u001b[31m", "errors": ["{secret}", "{"x" * 5000}"]}}'
    it.vendor.faults.add(Fault("status", status=status, body=body, headers={"Location": secret, "X-Key": secret}))

    outcome = await it.ask()

    assert f"(HTTP {status}): no key [secret]! [31m; [secret]; xxx" in outcome.said
    assert len(outcome.said) < 450
    assert secret not in "".join(it.said)


async def test_no_trouble_shows_the_secret(it: Running) -> None:
    for fault in (*TROUBLE.values(), Fault("html", body=it.rig.secret), Fault("redirect", 302, location=it.rig.secret)):
        it.vendor.faults.add(fault)
        assert (await it.ask(PAGE, SOON)).kind != "done"

    assert len(it.said) == 4 * (len(TROUBLE) + 2)
    assert it.rig.secret not in "".join(it.said)
    assert it.rig.secret not in repr(it.courier) + str(vars(it.courier).keys())


async def test_an_endless_answer_is_read_up_to_a_limit(it: Running) -> None:
    it.vendor.faults.add(Fault("status", status=202, body=" " * 20_000_000))

    assert (await it.ask()).kind == "again"
    assert (await it.ask()).kind == "done"


@pytest.mark.parametrize(
    ("status", "headers", "after"),
    [
        (429, {"Retry-After": "7"}, 7),
        (429, {"X-RateLimit-Period-In-Sec": "60"}, 60),
        (429, {"ratelimit-reset": "86400"}, 900),
        (503, {"Retry-After": "Wed, 07 Jan 2026 12:00:30 GMT"}, 30),
        (503, {"X-RateLimit-Period-In-Sec": "60"}, None),
        (500, {}, None),
    ],
)
async def test_the_vendors_wait_hint_is_passed_on(it: Running, status: int, headers: dict, after: int | None) -> None:
    it.vendor.faults.add(Fault("status", status=status, headers=headers))

    outcome = await it.ask()

    assert outcome.kind == "again"
    assert outcome.after == (None if after is None else timedelta(seconds=after))


async def test_a_key_of_any_length_and_alphabet_is_the_same_from_trigger_to_close(it: Running) -> None:
    for key in ("Ünï/ço?de & 100% #1/🔥", "k" * 255 + "/1", "k" * 255 + "/2", "🔥" * 600):
        for effect in (PAGE, UPDATE, ACKNOWLEDGE):
            assert (await it.ask(replace(effect, key=key))).kind == "done"
        assert len(it.vendor.open_keys()) == 1, "nothing is acknowledged under another key"
        assert (await it.ask(replace(RESOLVE, key=key))).kind == "done"
        assert not it.vendor.open_keys()

    assert len(set(it.vendor.pages())) == 4


async def test_stand_ins_are_apart(it: Running) -> None:
    async with it.rig.stand_in() as other:
        await it.ask()
        assert isinstance(other, StandIn)
        assert other.pages() == ()
