"""Relay as a process of its own, which can be killed, with a strict stand-in for PagerDuty beside it."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from service import HOOK, KEY, RULES, TOKENS

from relay.demo.processes import end, free_port, tail

START_WITHIN = 20
PATIENCE = aiohttp.ClientTimeout(total=10)


@dataclass
class Relay:
    """A Relay that can be started, killed and started again on the same data."""

    directory: Path
    client: aiohttp.ClientSession
    options: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    child: asyncio.subprocess.Process | None = None
    environment: dict[str, str] = field(default_factory=dict)
    """What it has besides that of the tests."""

    @property
    def log(self) -> Path:
        return self.directory / "relay.log"

    async def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "relay",
            "serve",
            "--config",
            "relay.yaml",
            "--rules",
            "rules",
            "--data",
            "data",
        ]
        with self.log.open("ab") as sink:
            self.child = await asyncio.create_subprocess_exec(
                *command,
                "--listen",
                f"127.0.0.1:{self.port}",
                *self.options,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                stdout=sink,
                stderr=sink,
            )
        try:
            async with asyncio.timeout(START_WITHIN):
                while await self.status("/-/ready") != 200:
                    assert self.child.returncode is None, tail(self.log)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not ready:\n{tail(self.log)}") from None

    async def kill(self) -> None:
        """kill -9: no farewell of any kind."""
        self.child.send_signal(signal.SIGKILL)
        await self.child.wait()

    async def terminate(self) -> int:
        await end(self.child)
        return self.child.returncode

    async def status(self, path: str) -> int:
        try:
            async with self.client.get(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def post(self, *alerts: dict) -> int:
        """Post a webhook; the status, or 0 when nobody has answered in the time that Alertmanager waits."""
        url = f"http://127.0.0.1:{self.port}/api/v1/webhooks/alertmanager/prod"
        body = {"version": "4", "groupKey": "{}:{}", "status": "firing", "alerts": list(alerts)}
        try:
            headers = {"Authorization": f"Bearer {HOOK}"}
            async with self.client.post(url, json=body, headers=headers, timeout=PATIENCE) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def get(self, path: str) -> dict:
        headers = {"Authorization": f"Bearer {TOKENS['admin']}"}
        async with self.client.get(f"http://127.0.0.1:{self.port}{path}", headers=headers) as answer:
            return json.loads(await answer.text())

    async def incidents(self) -> list[dict]:
        found, before = [], ""
        while True:
            page = await self.get(f"/api/v1/incidents?phase=all&limit=500{before}")
            found += page["incidents"]
            if page["next"] is None:
                return found
            before = f"&before={page['next']}"


@asynccontextmanager
async def relay(directory: Path, pagerduty: str, rules: str = RULES, options: list[str] | None = None):
    (directory / "rules").mkdir()
    (directory / "pd").write_text(KEY)
    (directory / "hook").write_text(HOOK)
    (directory / "admin").write_text(TOKENS["admin"])
    (directory / "rules" / "all.yaml").write_text(rules.format(secrets=directory, pagerduty=pagerduty))
    (directory / "relay.yaml").write_text(
        f"sources: {{prod: {{token_file: {directory}/hook}}}}\n"
        f"tokens: {{admin: {{role: admin, token_file: {directory}/admin}}}}\n"
    )
    async with aiohttp.ClientSession() as client:
        running = Relay(directory, client, options or [])
        try:
            yield running
        finally:
            if running.child is not None:
                await end(running.child)


async def until(holds, seconds: float = 30.0, every: float = 0.05) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(every)
