"""What PagerDuty is sent, and which settings reach it."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from rigs import KEY, NOTICE, PAGE, RIGS, ROUTING_KEY, Running, running

from relay.config.secrets import SecretMissing
from relay.demo.standins.faults import Fault
from relay.incident.effects import AcknowledgePage, ResolvePage, UpdatePage
from relay.integrations.pagerduty import PagerDutyTarget

RIG = RIGS[0]


@pytest.fixture
async def it(tmp_path: Path):
    async with running(RIG, tmp_path) as it:
        yield it


async def test_a_page_is_a_trigger_with_all_that_the_responder_needs(it: Running) -> None:
    await it.ask(PAGE)

    (entry,) = it.vendor.journal
    assert entry.body == {
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": KEY,
        "client": "Relay",
        "client_url": "https://relay.example.com/i/PAY-12",
        "links": [
            {"href": "https://relay.example.com/i/PAY-12", "text": "Relay PAY-12"},
            {"href": "https://wiki.example.com/r", "text": "Runbook: HighErrorRate"},
        ],
        "payload": {
            "summary": NOTICE.title,
            "source": "checkout",
            "component": "checkout",
            "severity": "critical",
            "timestamp": "2026-01-07T12:00:00+00:00",
            "custom_details": {
                "text": NOTICE.text.split("\n"),
                "alerts": list(NOTICE.alerts),
                "firing": 2,
                "labels": {"service": "checkout", "cluster": "eu-1"},
                "incident": "PAY-12",
                "severity": "SEV-2",
            },
        },
    }


async def test_acknowledge_and_resolve_say_the_key_and_nothing_else(it: Running) -> None:
    for effect in (AcknowledgePage("pay", KEY, "ada"), ResolvePage("pay", KEY, "over")):
        await it.ask(effect)

    assert [entry.body for entry in it.vendor.journal] == [
        {"routing_key": ROUTING_KEY, "event_action": action, "dedup_key": KEY} for action in ("acknowledge", "resolve")
    ]


async def test_an_update_says_first_what_has_changed_and_rings_nobody_again(it: Running) -> None:
    await it.ask(PAGE)
    await it.ask(UpdatePage("pay", KEY, NOTICE, "12 alerts fire now"))

    assert it.vendor.journal[1].body["payload"]["summary"] == f"12 alerts fire now | {NOTICE.title}"
    assert it.vendor.pages() == (KEY,)
    assert it.vendor.triggers(KEY) == 2


@pytest.mark.parametrize(
    ("severity", "said"), [(1, "critical"), (2, "critical"), (3, "error"), (4, "warning"), (5, "info")]
)
async def test_severities(it: Running, severity: int, said: str) -> None:
    await it.ask(replace(PAGE, notice=replace(NOTICE, severity=severity)))

    payload = it.vendor.journal[0].body["payload"]
    assert (payload["severity"], payload["custom_details"]["severity"]) == (said, f"SEV-{severity}")


async def test_a_link_that_would_cost_the_page_is_left_out(it: Running) -> None:
    bad = {"nothing": "", "no web": "javascript:alert(1)", "endless": "https://x/" + "y" * 5_000}

    outcome = await it.ask(replace(PAGE, notice=replace(NOTICE, links={**bad, **NOTICE.links})))

    assert outcome.kind == "done"
    assert [link["href"] for link in it.vendor.journal[0].body["links"]] == list(NOTICE.links.values())


async def test_a_storm_costs_alerts_before_it_costs_text(it: Running) -> None:
    notice = replace(
        NOTICE,
        text="\n".join(f"line {number} " + "x" * 990 for number in range(199)),
        alerts=tuple(f"alert {number} " + "y" * 7_900 for number in range(50)),
    )

    await it.ask(replace(PAGE, notice=notice))

    details = it.vendor.journal[0].body["payload"]["custom_details"]
    assert details["alerts"] == [*notice.alerts[:10], "… and 40 more"]
    assert details["text"] == notice.text.split("\n")


async def test_a_refusal_quotes_what_is_wrong(it: Running) -> None:
    it.vendor.faults.add(
        Fault("status", 400, body='{"status": "invalid event", "message": "invalid", "errors": ["no source"]}')
    )

    outcome = await it.ask(PAGE)

    assert (outcome.kind, outcome.said) == ("never", "PagerDuty refused it (HTTP 400): invalid; no source")


async def test_a_success_is_a_202_that_says_success(it: Running) -> None:
    it.vendor.faults.add(Fault("status", 200, body='{"status": "success"}'))
    it.vendor.faults.add(Fault("status", 202, body='{"status": "invalid event"}'))

    assert [(await it.ask(PAGE)).kind for _ in range(3)] == ["again", "again", "done"]


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://events.pagerduty.com/v2/enqueue"),
        ({"region": "eu"}, "https://events.eu.pagerduty.com/v2/enqueue"),
        ({"region": "eu", "url": "http://proxy:8080/pd/"}, "http://proxy:8080/pd/v2/enqueue"),
    ],
)
def test_the_region_or_the_url_says_where_to(tmp_path: Path, settings: dict, url: str) -> None:
    assert RIG.target(tmp_path, **settings).courier()._url == url


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"routing_key_file": "a", "routing_key_env": "B"},
        {"routing_key": ROUTING_KEY},
        {"routing_key_file": "a", "region": "mars"},
        {"routing_key_file": "a", "url": "ftp://x"},
        {"routing_key_file": "a", "url": "https://"},
        {"routing_key_file": "a", "url": "proxy:8080"},
        {"routing_key_file": "a", "url": "https://me:secret@x"},
        {"routing_key_file": "a", "url": "https://x/?key=secret"},
        {"routing_key_file": "a", "url": "https://[x"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict) -> None:
    with pytest.raises(ValidationError):
        PagerDutyTarget.model_validate({"type": "pagerduty", **settings})


@pytest.mark.parametrize("key", [ROUTING_KEY[:-1], ROUTING_KEY + "x", "R0"])
def test_a_key_of_the_wrong_length_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    (tmp_path / "key").write_text(key)
    target = PagerDutyTarget.model_validate({"type": "pagerduty", "routing_key_file": str(tmp_path / "key")})

    with pytest.raises(SecretMissing, match=rf"holds {len(key)} characters") as refused:
        target.courier()

    assert key not in str(refused.value)


def test_a_key_that_is_not_there_is_told_by_its_place() -> None:
    target = PagerDutyTarget.model_validate({"type": "pagerduty", "routing_key_env": "NO_SUCH_KEY"})

    with pytest.raises(SecretMissing, match="NO_SUCH_KEY"):
        target.courier()
    assert target.warnings() == ()
