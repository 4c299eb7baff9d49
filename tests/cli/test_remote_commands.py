"""Commands against a running service: what they say, what they do, and what they say when it cannot be done."""

import asyncio
import json
import re

import pytest
from click.testing import CliRunner
from service import TOKENS, service
from world import told

from relay.cli import main
from relay.demo.standins import pagerduty
from relay.demo.standins.faults import Fault


@pytest.fixture
async def relay(tmp_path):
    async with pagerduty.stand_in() as vendor, service(tmp_path, vendor.url) as running:
        await running.post(webhook(told()))
        async with asyncio.timeout(5):
            while (await running.ask("GET", "/api/v1/incidents/INC-1", role="viewer"))[0] != 200:
                await asyncio.sleep(0.01)
        yield running


def webhook(*alerts):
    return {"version": "4", "groupKey": "{}:{}", "alerts": alerts}


def on(running):
    async def say(*words, role="responder", url=None):
        environment = {
            "RELAY_URL": url or f"http://127.0.0.1:{running.running.address[1]}",
            "RELAY_TOKEN": TOKENS.get(role),
            "COLUMNS": "150",
        }
        return await asyncio.to_thread(CliRunner().invoke, main, words, env=environment, catch_exceptions=False)

    return say


async def test_incidents_are_listed_and_shown(relay):
    say = on(relay)
    listed = await say("incident", "list")
    assert listed.exit_code == 0
    assert [line.split()[:3] for line in listed.output.splitlines() if "INC-" in line][-1] == [
        "INC-1",
        "SEV-3",
        "triggered",
    ]
    shown = (await say("incident", "show", "1")).output
    assert shown.startswith("INC-1  SEV-3 checkout: HighErrorRate (1 alert fires")
    assert "paged     Ada through pd-ada (L1)" in shown
    assert "policies.p" not in shown
    explained = (await say("explain", "inc-1")).output
    assert "paged Ada through pd-ada: L1 of p: Ada named by the policy" in explained


async def test_what_comes_next_is_explained_as_the_running_service_would_decide(relay):
    say = on(relay)
    explained = (await say("explain", "1", "--for", "2h")).output
    now, _, later = explained.partition("if nothing else happens within 2h:\n")
    assert "paged Bob" not in now
    assert [line.split("  ", 1)[1].partition(":")[0] for line in later.splitlines() if " paged " in line] == [
        "paged Bob through pd-bob",
        "paged Bob through pd-bob",
    ]  # L2 after an hour, and the last resort after another
    await say("incident", "ack", "1")
    assert "nothing is due" in (await say("explain", "INC-1")).output
    for option in (("--at", "2030-01-01"), ("--fact", "x=1"), ("--rules", "rules")):
        refused = await say("explain", "INC-1", *option)
        assert (refused.exit_code, f"{option[0]} is for labels" in refused.output) == (2, True)
    assert (await say("explain", "INC-1", "--for", "2d")).exit_code != 0


@pytest.mark.parametrize(
    "words", [("incident", "show", "\u00b2"), ("incident", "show", "\u0661"), ("incident", "ack", "x")]
)
async def test_what_is_no_id_is_refused_here(relay, words):
    said = await on(relay)(*words)
    assert (said.exit_code, "is not an incident: write INC-12 or 12" in said.output) == (2, True)


def test_a_token_that_can_be_none_is_refused_in_words(tmp_path):
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    for words, environment in (((), {"RELAY_TOKEN": "tök–"}), (("--token-file", str(tmp_path / "token")), {})):
        said = CliRunner().invoke(main, ["incident", "list", *words], env=environment, catch_exceptions=False)
        assert (said.exit_code, "holds no token" in said.output) == (2, True)


def test_an_empty_token_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "token").write_text("\n")
    words = ["incident", "list", "--token-file", str(tmp_path / "token")]
    said = CliRunner().invoke(main, words, env={"RELAY_TOKEN": "x"}, catch_exceptions=False)
    assert (said.exit_code, f"the token file {tmp_path / 'token'} is empty" in said.output) == (2, True)


async def test_a_note_in_another_encoding_does_not_keep_an_acknowledgement_from_being_taken(relay):
    """A terminal that writes Latin-1 gives Python what no UTF-8 can hold."""
    said = await on(relay)("incident", "ack", "1", "--note", "caf\udce9 is dow\udc6e")
    assert (said.exit_code, said.output) == (0, "INC-1: acknowledged by responder\n")
    assert "responder: caf\ufffd is dow\ufffd" in (await on(relay)("incident", "show", "1")).output
    said = await on(relay)("window", "end", "caf\udce9")
    assert (said.exit_code, said.output) == (2, 'there is no window "caf\ufffd"\n')
    said = await on(relay)("incident", "list", "--phase", "caf\udce9")
    assert (said.exit_code, "caf\ufffd" in said.output) == (2, True)


async def test_people_act_in_words(relay):
    say = on(relay)
    for words, said in [
        (["note", "INC-1", "looking"], "INC-1: responder: looking"),
        (["ack", "1", "--note", "mine"], "INC-1: acknowledged by responder"),
        (["escalate", "inc-1", "--reason", "need Bob"], "INC-1: escalated by responder: need Bob"),
        (["resolve", "INC-1", "--because", "restarted"], "INC-1: resolved by responder: restarted"),
    ]:
        answer = await say("incident", *words)
        assert (answer.exit_code, answer.output.strip()) == (0, said)
    assert "no incidents that are held" in (await say("incident", "list", "--phase", "held")).output


async def test_answers_for_machines(relay):
    say = on(relay)
    assert json.loads((await say("incident", "show", "1", "-o", "json")).output)["id"] == "INC-1"
    assert json.loads((await say("incident", "ack", "1", "-o", "json")).output)["said"].startswith("INC-1")
    assert json.loads((await say("verify", "-o", "json")).output)["problems"] == {}
    assert json.loads((await say("quarantine", "-o", "json")).output)["quarantine"] == []


async def test_what_could_not_be_used_is_listed(relay):
    assert (await on(relay)("quarantine")).output == "nothing is in quarantine\n"
    await relay.post(webhook(told("Other"), {"labels": 5}))
    assert "prod  alert 1 of webhook" in (await on(relay)("quarantine")).output


async def test_what_is_still_to_be_sent_is_listed(tmp_path):
    async with service(tmp_path) as running:
        await running.post(webhook(told()))
        say = on(running)
        async with asyncio.timeout(5):
            while "tried 1 times" not in (said := (await say("outbox")).output):
                await asyncio.sleep(0.05)
        assert "INC-1  SEV-3  Page to pd-ada: tried 1 times, due 20" in said
        [errand] = json.loads((await say("outbox", "-o", "json")).stdout)["errands"]
        assert errand["key"] == "INC-1/1.0/L1/ada"


async def test_what_was_refused_is_listed(tmp_path):
    async with pagerduty.stand_in() as vendor, service(tmp_path, vendor.url) as running:
        vendor.faults.add(Fault("status", 400, body='{"message": "no such key"}'), times=2)
        await running.post(webhook(told("Other", service="ledger")))
        say = on(running)
        async with asyncio.timeout(5):
            while "refused Page: " not in (said := (await say("outbox", "--refused")).output):
                await asyncio.sleep(0.05)
        assert re.search(r"^20\S+T\S+  INC-\d+  pd-ada refused Page: ", said, re.M), said
        first = json.loads((await say("outbox", "--refused", "-o", "json")).stdout)["refusals"][0]
        assert first["incident"].startswith("INC-")


async def test_nothing_waits(relay):
    async with asyncio.timeout(5):
        while (await on(relay)("outbox")).output != "nothing waits to be sent\n":
            await asyncio.sleep(0.05)


async def test_timelines_are_verified(relay):
    said = await on(relay)("verify")
    assert said.exit_code == 0
    assert said.output.strip().endswith("timelines are sound")


@pytest.mark.parametrize(
    ("words", "role", "complaint", "code"),
    [
        (["incident", "show", "99"], "viewer", "INC-99", 2),
        (["incident", "ack", "1"], "viewer", "responder", 3),
        (["incident", "list"], None, "set RELAY_TOKEN or --token-file", 3),
        (["incident", "list", "--phase", "burning"], "viewer", "burning", 2),
    ],
)
async def test_a_refusal_is_told_in_the_services_words(relay, words, role, complaint, code):
    said = await on(relay)(*words, role=role)
    assert said.exit_code == code
    assert complaint in said.stderr


async def test_what_is_no_incident_is_wrong_usage(relay):
    said = await on(relay)("incident", "ack", "abc")
    assert said.exit_code == 2
    assert "write INC-12 or 12" in said.stderr


async def test_acting_twice_is_refused_with_what_can_be_done(relay):
    say = on(relay)
    await say("incident", "resolve", "1")
    again = await say("incident", "ack", "1")
    assert again.exit_code == 2
    assert "INC-1" in again.stderr


async def test_a_service_that_is_not_there(relay):
    said = await on(relay)("incident", "list", url="http://127.0.0.1:9")
    assert said.exit_code == 3
    assert "http://127.0.0.1:9 cannot be reached" in said.stderr


async def test_a_server_that_is_not_relay(relay):
    metrics = f"http://127.0.0.1:{relay.running.address[1]}/metrics?"
    said = await on(relay)("incident", "list", url=metrics)
    assert said.exit_code == 3
    assert "not as Relay does: check --url" in said.stderr


async def test_a_token_file_that_is_missing_is_wrong_usage(relay, tmp_path):
    said = await on(relay)("incident", "list", "--token-file", str(tmp_path / "nothing"))
    assert said.exit_code == 2
    assert "cannot be read" in said.stderr


async def test_a_token_that_is_not_known_is_named_by_its_place(relay, tmp_path):
    say = on(relay)
    (tmp_path / "tokn").write_text("wrong")
    TOKENS["typo"] = "wrong"
    try:
        assert "does not know the token in RELAY_TOKEN" in (await say("incident", "list", role="typo")).output
    finally:
        del TOKENS["typo"]
    said = await say("incident", "list", "--token-file", str(tmp_path / "tokn"))
    assert (said.exit_code, f"does not know the token in {tmp_path / 'tokn'}" in said.output) == (3, True)
    assert "set RELAY_TOKEN or --token-file to your token" in (await say("incident", "list", role="nobody")).output


async def test_a_netrc_does_not_speak_for_who_asks(relay, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert (await on(relay)("incident", "list")).exit_code == 0


@pytest.mark.parametrize("url", ["127.0.0.1:9096", "foo", "http://127.0.0.1:99999", "ftp://x"])
async def test_what_is_no_address_is_told_with_one_that_is(relay, url):
    said = await on(relay)("incident", "list", url=url)
    assert (said.exit_code, "write one such as http://127.0.0.1:9096" in said.output) == (2, True)
