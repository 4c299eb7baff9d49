"""The whole service in this process, on real sockets, with real time."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from relay.clock import Clock, WallClock
from relay.config.settings import Settings, Source, Token
from relay.http.service import Running, running

KEY = "0123456789abcdef0123456789abcdef"
HOOK = "hook-secret"
TOKENS = {"viewer": "viewer-secret", "responder": "responder-secret", "admin": "admin-secret"}

RULES = """\
targets:
  pd-ada: {{type: pagerduty, routing_key_file: {secrets}/pd, per_minute: 0, url: "{pagerduty}"}}
  pd-bob: {{type: pagerduty, routing_key_file: {secrets}/pd, per_minute: 0, url: "{pagerduty}"}}
people:
  ada: {{name: Ada, via: pd-ada}}
  bob: {{name: Bob, via: pd-bob}}
policies:
  p:
    levels:
      - {{name: L1, page: [{{person: ada}}], wait: 1h}}
      - {{name: L2, page: [{{person: bob}}], wait: 1h}}
    last_resort: [{{person: bob}}]
route: {{policy: p, group_by: [service]}}
"""


@dataclass(slots=True)
class Service:
    """A running service, and a client of it."""

    running: Running
    client: aiohttp.ClientSession
    rules: Path
    _base: str = field(init=False)

    def __post_init__(self) -> None:
        self._base = f"http://127.0.0.1:{self.running.address[1]}"

    async def ask(
        self, method: str, path: str, body: Any = None, role: str | None = None, **options: Any
    ) -> tuple[int, Any]:
        """Status and answer (JSON where it is that)."""
        headers = dict(options.pop("headers", {}))
        if role:
            headers["Authorization"] = f"Bearer {TOKENS[role]}"
        if body is not None and not isinstance(body, bytes):
            options["json"] = body
        elif body is not None:
            options["data"] = io.BytesIO(body)
        async with self.client.request(
            method, self._base + path, headers=headers, allow_redirects=False, **options
        ) as answer:
            json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if json else answer.text())

    async def post(self, body: Any, source: str = "prod") -> tuple[int, Any]:
        path = f"/api/v1/webhooks/alertmanager/{source}"
        return await self.ask("POST", path, body, headers={"Authorization": f"Bearer {HOOK}"})


@asynccontextmanager
async def service(
    directory: Path,
    pagerduty: str = "http://127.0.0.1:9",
    rules: str = RULES,
    source: dict[str, Any] | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Service]:
    """Start the service in a directory; `source` has more settings of the source `prod`."""
    (directory / "rules").mkdir(exist_ok=True)
    (directory / "pd").write_text(KEY)
    (directory / "hook").write_text(f"{HOOK}\nold-hook-secret\n")
    for role, secret in TOKENS.items():
        (directory / role).write_text(secret)
    written = directory / "rules" / "all.yaml"
    written.write_text(rules.format(secrets=directory, pagerduty=pagerduty))
    made = Settings(
        rules=directory / "rules",
        listen="127.0.0.1:0",
        data=directory / "data",
        sources={"prod": Source(token_file=str(directory / "hook"), **(source or {}))},
        tokens={role: Token(role=role, token_file=str(directory / role)) for role in TOKENS},
        **settings,
    )
    async with running(made, clock or WallClock()) as started, aiohttp.ClientSession() as client:
        yield Service(started, client, written)
