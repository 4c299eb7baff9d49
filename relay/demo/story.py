"""An outage, told as it happens: a real Prometheus, a real Alertmanager, Relay, and stand-ins for the pagers."""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from relay.clock import WallClock
from relay.demo import monitoring
from relay.demo.narrator import Narrator, Say
from relay.demo.processes import free_port, process
from relay.demo.programs import need
from relay.demo.rules import SECRETS, write
from relay.demo.standins import opsgenie, pagerduty
from relay.demo.standins.standin import StandIn

WINDOW = timedelta(seconds=45)
"""How long the maintenance window of the story is open, from the start of Relay."""
PATIENCE = 60.0
"""Seconds that the story waits for what must happen."""


@dataclass(slots=True)
class Stage:
    """Everything that runs, and a client for it."""

    relay: str
    shop: str
    prometheus: str
    alertmanager: str
    pagerduty: StandIn
    jsm: StandIn
    client: aiohttp.ClientSession
    narrator: Narrator
    claims: list[tuple[str, bool]] = field(default_factory=list)

    async def incidents(self) -> list[dict[str, Any]]:
        """Relay's incidents with their timelines, the oldest first."""
        headers = {"Authorization": f"Bearer {SECRETS['token-ada']}"}
        async with self.client.get(f"{self.relay}/api/v1/incidents?phase=all", headers=headers) as answer:
            listed = (await answer.json())["incidents"]
        found = []
        for incident in reversed(listed):
            async with self.client.get(f"{self.relay}/api/v1/incidents/{incident['id']}", headers=headers) as answer:
                found.append(await answer.json())
        return found

    async def about(self, service: str) -> dict[str, Any]:
        """The incident of a service; empty if there is none."""
        return next((i for i in await self.incidents() if i["group"].get("service") == service), {})

    async def acknowledge(self, who: str, service: str) -> None:
        """Somebody says that they are on it."""
        id_ = (await self.about(service)).get("id")
        if id_ is None:
            return self.claim(f"there is an incident of {service} that {who} can acknowledge", False)
        headers = {"Authorization": f"Bearer {SECRETS[f'token-{who}']}"}
        self.narrator.tell(who, f"relay incident ack {id_}")
        async with self.client.post(f"{self.relay}/api/v1/incidents/{id_}/ack", json={}, headers=headers) as answer:
            if answer.status != 200:
                self.claim(f"{who} can acknowledge {id_}", False)

    async def fault(self, name: str, *, on: bool) -> None:
        """Switch a fault of the shop on or off."""
        ask = self.client.post if on else self.client.delete
        async with ask(f"{self.shop}/faults/{name}") as answer:
            answer.raise_for_status()

    async def until(self, claim: str, holds: Callable[[], Any]) -> None:
        """Wait until something holds, telling what happens meanwhile; it becomes a claim, true or not."""
        held = False
        try:
            async with asyncio.timeout(PATIENCE):
                while not held:
                    found = holds()
                    held = bool(await found if asyncio.iscoroutine(found) else found)
                    await self.narrator.look(self)
                    await asyncio.sleep(0 if held else 0.2)
        except TimeoutError:
            pass
        self.claim(claim, held)

    def claim(self, what: str, holds: bool) -> None:
        """Note whether the story went as it should."""
        self.claims.append((what, holds))
        if not holds:
            self.narrator.tell("story", f"✗ this did not happen: {what}")


async def run(keep: bool, say: Say) -> int:
    """Tell the story; 0 if it was right, else 1. Raises `ProgramMissing` or `DidNotStart`."""
    programs = need(["prometheus", "prometheus-alertmanager"], say)
    with tempfile.TemporaryDirectory(prefix="relay-demo-") as directory:
        async with stage(Path(directory), programs, say) as on_stage:
            await _tell(on_stage)
            right = _judge(on_stage, say)
            if keep:
                await _keep(on_stage, Path(directory), say)
    return 0 if right else 1


@asynccontextmanager
async def stage(directory: Path, programs: dict[str, Path], say: Say) -> AsyncIterator[Stage]:
    """Start everything, and stop it when the context ends."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        say("starting the shop, Prometheus, Alertmanager, Relay, and stand-ins for PagerDuty and JSM")
        pager = await enter(pagerduty.stand_in())
        jsm = await enter(opsgenie.stand_in(SECRETS["jsm-payments"], "jsm"))
        shop, relay = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        shop_command = [sys.executable, "-m", "relay.demo.shop", shop.partition(":")[2]]
        await enter(process(shop_command, directory / "shop.log", f"http://{shop}/metrics"))
        webhook = f"http://{relay}/api/v1/webhooks/alertmanager/demo"
        alertmanager = await enter(
            monitoring.alertmanager(
                programs["prometheus-alertmanager"], directory / "alertmanager", webhook, SECRETS["alertmanager"]
            )
        )
        rules = Path(__file__).with_name("shop.rules.yml")
        prometheus = await enter(
            monitoring.prometheus(
                programs["prometheus"], directory / "prometheus", rules, {"shop": shop}, (alertmanager,)
            )
        )
        write(directory, pager.url, jsm.url, prometheus, WallClock().now(), WINDOW)
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "relay",
            "serve",
            "--config",
            "relay.yaml",
            "--listen",
            relay,
        ]
        where: list[str | Path] = [
            "--rules",
            "rules",
            "--data",
            "data",
            "--external-url",
            f"http://{relay}",
        ]
        await enter(process([*command, *where], directory / "relay.log", f"http://{relay}/-/ready", directory))
        client = await enter(aiohttp.ClientSession())
        narrator = Narrator(say)
        yield Stage(
            f"http://{relay}", f"http://{shop}", prometheus, f"http://{alertmanager}", pager, jsm, client, narrator
        )


async def _tell(stage: Stage) -> None:
    tell = stage.narrator.tell
    tell("shop", "the ledger's replica falls behind, while it is being upgraded")
    await stage.fault("ledger-replica-lag", on=True)
    await stage.until("the ledger's alert is held by the maintenance window", _phase(stage, "ledger", "held"))
    stage.claim("nobody is paged for it", not stage.pagerduty.pages() and not stage.jsm.pages())
    tell("shop", "checkout begins to fail")
    await stage.fault("checkout-errors", on=True)
    await stage.until("Ada is rung on PagerDuty", lambda: _rang(stage.pagerduty, "/L1/payments"))
    await stage.until("Prometheus' answer makes it a SEV-2", _is(stage, "checkout", "severity", "SEV-2"))
    tell("ada", "sleeps")
    await stage.until("Bob is rung, on another key, after nobody answered", lambda: _rang(stage.jsm, "/L2/bob"))
    await stage.acknowledge("bob", "checkout")
    await stage.until("both phones stop ringing", lambda: _stopped(stage.pagerduty) and _stopped(stage.jsm))
    await stage.until("when the window ends, Dee is paged for the ledger", lambda: _rang(stage.pagerduty, "/L1/dee"))
    stage.claim("the page says what held it until now", _says(stage.pagerduty, "/L1/dee", "ledger-upgrade"))
    await stage.acknowledge("dee", "ledger")
    tell("shop", "both faults are mended")
    await stage.fault("checkout-errors", on=False)
    await stage.fault("ledger-replica-lag", on=False)
    await stage.until("the incident of checkout is resolved", _phase(stage, "checkout", "resolved"))
    await stage.until("the incident of the ledger is resolved", _phase(stage, "ledger", "resolved"))
    await stage.until("every page is closed", lambda: not stage.pagerduty.open_keys() and not stage.jsm.open_keys())
    rung = [*stage.pagerduty.pages(), *stage.jsm.pages()]
    stage.claim("three pages rang, and none twice", len(rung) == len(set(rung)) == 3)


def _phase(stage: Stage, service: str, phase: str) -> Callable[[], Any]:
    return _is(stage, service, "phase", phase)


def _is(stage: Stage, service: str, name: str, value: str) -> Callable[[], Any]:
    async def holds() -> bool:
        return bool((await stage.about(service)).get(name) == value)

    return holds


def _rang(pager: StandIn, part: str) -> bool:
    return any(part in key for key in pager.pages())


def _stopped(pager: StandIn) -> bool:
    return any(entry.action == "acknowledge" and entry.status == 202 for entry in pager.journal)


def _says(pager: StandIn, key: str, words: str) -> bool:
    return any(key in entry.key and entry.action == "trigger" and words in str(entry.body) for entry in pager.journal)


def _judge(stage: Stage, say: Say) -> bool:
    say("")
    for what, held in stage.claims:
        say(f"  {'✓' if held else '✗'} {what}")
    right = all(held for _, held in stage.claims)
    say("\nThe story was right." if right else "\nThe story was NOT right.")
    return right


async def _keep(stage: Stage, directory: Path, say: Say) -> None:
    say(f"""
Everything goes on running until Ctrl-C.
  Relay         {stage.relay}   (RELAY_URL={stage.relay} RELAY_TOKEN={SECRETS["token-ada"]} relay incident list)
  the shop      {stage.shop}   (curl -X POST {stage.shop}/faults/checkout-errors)
  Prometheus    {stage.prometheus}
  Alertmanager  {stage.alertmanager}
  PagerDuty     {stage.pagerduty.url}/_journal
  JSM           {stage.jsm.url.partition("/jsm")[0]}/_journal
  files         {directory}""")
    await asyncio.Event().wait()
