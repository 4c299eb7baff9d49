"""What Opsgenie and Jira Service Management are sent, and which settings reach them."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from rigs import GENIE_KEY, KEY, NOTICE, PAGE, RIGS, running

from relay.config.secrets import SecretMissing
from relay.demo.standins.faults import Fault
from relay.incident.effects import AcknowledgePage, ResolvePage, UpdatePage
from relay.integrations.opsgenie import OpsgenieTarget

OPSGENIE, JSM = RIGS[1], RIGS[2]
UPDATE = UpdatePage("pay", KEY, replace(NOTICE, severity=1, title="SEV-1 checkout"), "raised to SEV-1")


async def test_a_page_is_an_alert_with_all_that_the_responder_needs(tmp_path: Path) -> None:
    async with running(OPSGENIE, tmp_path, tags=["relay", "payments"]) as it:
        await it.ask(PAGE)

        (entry,) = it.vendor.journal
        assert entry.body == {
            "message": NOTICE.title,
            "alias": KEY,
            "description": f"{NOTICE.text}\n\n2 firing:\nHighErrorRate: 7 % of requests fail\nSlowCheckout: p99 is 4 s"
            "\n\nRelay PAY-12: https://relay.example.com/i/PAY-12\nRunbook: HighErrorRate: https://wiki.example.com/r",
            "details": {
                "service": "checkout",
                "cluster": "eu-1",
                "incident": "PAY-12",
                "severity": "SEV-2",
                "firing": "2",
                "started_at": "2026-01-07T12:00:00+00:00",
            },
            "entity": "checkout",
            "source": "Relay",
            "priority": "P2",
            "responders": [{"type": "team", "name": "payments"}],
            "tags": ["relay", "payments"],
        }


async def test_a_person_is_rung_alone_while_the_team_looks_on(tmp_path: Path) -> None:
    async with running(OPSGENIE, tmp_path) as it:
        await it.ask(replace(PAGE, user="ada@example.com"))

        body = it.vendor.journal[0].body
        assert body["responders"] == [{"type": "user", "username": "ada@example.com"}]
        assert body["visibleTo"] == [{"type": "team", "name": "payments"}]


async def test_without_teams_the_key_says_who_is_rung(tmp_path: Path) -> None:
    async with running(JSM, tmp_path) as it:
        await it.ask(PAGE)

        assert not {"responders", "visibleTo", "tags"} & it.vendor.journal[0].body.keys()


async def test_an_update_changes_message_and_priority_and_then_leaves_a_note(tmp_path: Path) -> None:
    async with running(OPSGENIE, tmp_path) as it:
        await it.ask(PAGE)
        await it.ask(UPDATE)

        assert [(entry.action, entry.body) for entry in list(it.vendor.journal)[1:]] == [
            ("message", {"message": "SEV-1 checkout"}),
            ("priority", {"priority": "P1"}),
            ("notes", {"note": "raised to SEV-1\nSEV-1 checkout", "source": "Relay"}),
        ]
        assert it.vendor.pages() == (KEY,)


async def test_an_update_that_broke_amid_leaves_its_note_once(tmp_path: Path) -> None:
    async with running(OPSGENIE, tmp_path) as it:
        await it.ask(PAGE)
        it.vendor.faults.add(Fault("status", 503), times=2)

        assert [(await it.ask(UPDATE)).kind for _ in range(3)] == ["again", "again", "done"]
        assert [entry.action for entry in it.vendor.journal].count("notes") == 1


async def test_jira_documents_notes_alone_so_an_update_is_a_note(tmp_path: Path) -> None:
    async with running(JSM, tmp_path) as it:
        await it.ask(PAGE)
        await it.ask(UPDATE)

        assert [entry.action for entry in it.vendor.journal] == ["create", "notes"]


async def test_acknowledge_and_close_say_who_and_why(tmp_path: Path) -> None:
    async with running(JSM, tmp_path) as it:
        for effect in (PAGE, AcknowledgePage("pay", KEY, "ada"), ResolvePage("pay", KEY, "every alert has ended")):
            await it.ask(effect)

        assert [entry.body for entry in list(it.vendor.journal)[1:]] == [
            {"user": "ada", "source": "Relay"},
            {"note": "every alert has ended", "source": "Relay"},
        ]


async def test_only_the_vendors_own_404_tells_that_nothing_is_open(tmp_path: Path) -> None:
    async with running(OPSGENIE, tmp_path) as it:
        for effect in (AcknowledgePage("pay", KEY, "ada"), ResolvePage("pay", KEY, "over"), UPDATE):
            assert (await it.ask(effect)).kind == "done"
            it.vendor.faults.add(Fault("status", 404, body="<html>no such page</html>"))
            assert (await it.ask(effect)).kind == "never", "the address is wrong: somebody must look"

        assert [entry.action for entry in it.vendor.journal if not entry.fault] == ["acknowledge", "close", "message"]


async def test_a_404_to_a_new_page_is_no_success(tmp_path: Path) -> None:
    async with running(JSM, tmp_path) as it:
        it.vendor.faults.add(Fault("status", 404, body='{"message": "?", "requestId": "1"}'))

        assert (await it.ask(PAGE)).kind == "never"


async def test_a_wrong_key_is_refused_for_good(tmp_path: Path) -> None:
    async with running(OPSGENIE, tmp_path) as it:
        (tmp_path / "secret").write_text("another")
        it.courier = it.target.courier()

        outcome = await it.ask(PAGE)

        assert (outcome.kind, outcome.said) == ("never", "Opsgenie refused it (HTTP 401): Could not authenticate")


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://api.opsgenie.com/v2/alerts"),
        ({"region": "eu"}, "https://api.eu.opsgenie.com/v2/alerts"),
        ({"flavour": "jsm"}, "https://api.atlassian.com/jsm/ops/integration/v2/alerts"),
        ({"flavour": "jsm", "region": "eu"}, "https://api.atlassian.com/jsm/ops/integration/v2/alerts"),
        ({"url": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080/v2/alerts"),
    ],
)
def test_flavour_and_region_say_where_to(tmp_path: Path, settings: dict, url: str) -> None:
    assert OPSGENIE.target(tmp_path, **settings).courier()._alerts == url


def test_the_end_of_opsgenie_is_announced_with_its_date(tmp_path: Path) -> None:
    (warning,) = OPSGENIE.target(tmp_path).warnings()

    assert "5 April 2027" in warning
    assert "flavour: jsm" in warning
    assert JSM.target(tmp_path).warnings() == ()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"api_key_file": "a", "api_key_env": "B"},
        {"api_key": GENIE_KEY},
        {"api_key_file": "a", "flavour": "pagerduty"},
        {"api_key_file": "a", "tags": ["x" * 51]},
        {"api_key_file": "a", "tags": ["x"] * 21},
        {"api_key_file": "a", "teams": ["x"] * 51},
        {"api_key_file": "a", "url": "https://x#y"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict) -> None:
    with pytest.raises(ValidationError):
        OpsgenieTarget.model_validate({"type": "opsgenie", **settings})


@pytest.mark.parametrize("key", ["one\ntwo", "a key", "schlüssel"])
def test_what_cannot_be_a_key_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    (tmp_path / "key").write_text(key)
    target = OpsgenieTarget.model_validate({"type": "opsgenie", "api_key_file": str(tmp_path / "key")})

    with pytest.raises(SecretMissing) as refused:
        target.courier()

    assert key not in str(refused.value)
