"""The worker's own HTTP server: metrics, `/probe` as blackbox_exporter has it, logs of runs, runs on demand."""

import base64
import hmac
import html
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from aiohttp import web
from prometheus_client import Gauge
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from relay.config.complaints import Rejected
from relay.config.types import spell_exactly
from synthetic.checks import Check
from synthetic.exposition import TEXT, write_once
from synthetic.history import Remembered, tell
from synthetic.inquiry import read_inquiry
from synthetic.push import written
from synthetic.run import Result
from synthetic.worker import Worker

MOST_BYTES = 64 * 1024
RELOAD_OK = Gauge("relay_synthetic_config_last_reload_successful", "1 if the probe files last read are in use.")


class Asked(BaseModel):
    """Which checks are to run now: by name, or by tag."""

    model_config = ConfigDict(extra="forbid")

    checks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    because: Literal["asked", "suspected"] = "asked"
    """`suspected`: by a worker elsewhere, which asks others already."""

    @model_validator(mode="after")
    def _something(self) -> "Asked":
        if not self.checks and not self.tags:
            raise ValueError("name checks or tags: that nothing ran must not look like success")
        return self


class Server:
    """Answers for one worker. `reload` takes the files anew, and gives what is wrong with them."""

    def __init__(
        self,
        worker: Worker,
        token: str,
        reload: Callable[[], Awaitable[Rejected | None]],
        token_of_peers: str = "",
    ) -> None:
        self._worker = worker
        self._token_of_peers = token_of_peers
        self._token = token
        self._reload = reload

    def build(self) -> web.Application:
        """The application."""
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_get("/", self.index)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/probe", self.probe)
        app.router.add_get("/logs", self.logs)
        app.router.add_get("/screenshot", self.screenshot)
        app.router.add_get("/-/healthy", self.healthy)
        app.router.add_get("/-/ready", self.healthy)
        app.router.add_post("/-/reload", self.reload)
        app.router.add_get("/api/v1/checks", self.checks)
        app.router.add_post("/api/v1/run", self.run)
        return app

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Everything for Prometheus, written in pieces."""
        response = web.StreamResponse(headers={"Content-Type": TEXT})
        await response.prepare(request)
        async for piece in written(self._worker.exposition):
            await response.write(piece)
        await response.write_eof()
        return response

    async def probe(self, request: web.Request) -> web.Response:
        """Run a module against a target, as `/probe` of blackbox_exporter."""
        patience = request.headers.get("X-Prometheus-Scrape-Timeout-Seconds", "")
        try:
            inquiry = read_inquiry(request.query, patience, self._worker.checks.modules)
        except ValueError as wrong:
            return web.Response(status=400, text=f"{wrong}\n")
        if inquiry.shows_secrets:  # else anybody could have them sent to a server of their own
            self._require(request, why=f'the module "{inquiry.module}" shows secrets to its target: ')
        remembered = await self._worker.ask(inquiry)
        if remembered is None:
            return web.Response(status=503, text="too many probes are running: ask again later\n")
        text = write_once(remembered.result)
        if request.query.get("debug") == "true":
            return web.Response(text=f"{tell(remembered)}\n{text}")
        return web.Response(body=text.encode(), headers={"Content-Type": TEXT})

    async def logs(self, request: web.Request) -> web.Response:
        """The log of one run."""
        found = self._find(request)
        if found is None:
            return web.Response(status=404, text="there is no such run, or it is forgotten\n")
        return web.Response(text=tell(found))

    async def screenshot(self, request: web.Request) -> web.Response:
        """What a browser saw when a run failed."""
        self._require(request)
        found = self._find(request)
        if found is None or not found.result.screenshot:
            return web.Response(status=404, text="there is no screenshot of such a run, or it is forgotten\n")
        return web.Response(body=found.result.screenshot, content_type="image/jpeg")

    def _find(self, request: web.Request) -> Remembered | None:
        id_ = request.query.get("id", "")
        return self._worker.history.find(int(id_)) if id_.isascii() and id_.isdigit() else None

    async def index(self, request: web.Request) -> web.Response:
        """A page of the last runs, for people."""
        rows = "".join(
            f'<tr><td><a href="logs?id={one.id}">{one.id}</a><td>{html.escape(one.name)}<td>{html.escape(one.target)}'
            f"<td>{'success' if one.result.success else html.escape(one.result.reason)}"
            f"<td>{one.result.began_at:%Y-%m-%d %H:%M:%S}"
            for one in self._worker.history.all()
        )
        page = (
            f"<!doctype html><title>relay-synthetic {html.escape(self._worker.location)}</title>"
            '<meta name="viewport" content="width=device-width"><h1>Probes of '
            f"{html.escape(self._worker.location)}</h1><p><a href=metrics>metrics</a><table>"
            f"<tr><th>run<th>check<th>target<th>result<th>at (UTC){rows}</table>"
        )
        headers = {"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff"}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def healthy(self, request: web.Request) -> web.Response:
        """While it lives, it can probe."""
        return web.json_response({"status": "ok"})

    async def reload(self, request: web.Request) -> web.Response:
        """Take the files anew."""
        self._require(request)
        if rejected := await self._reload():
            return web.json_response({"error": str(rejected)}, status=422)
        return web.json_response({"status": "reloaded"})

    async def checks(self, request: web.Request) -> web.Response:
        """The checks of this location, and what is believed of them."""
        self._require(request)
        listed = [
            {
                "name": check.name,
                "kind": check.kind,
                "target": check.target,
                "service": check.service,
                "layer": check.layer,
                "role": check.role,
                "tags": check.tags,
                "interval": spell_exactly(check.interval),
                "state": watch.state.name,
                "since": watch.since.isoformat() if watch.since else None,
            }
            for check, watch in self._worker.mine()
        ]
        return web.json_response({"location": self._worker.location, "checks": listed})

    async def run(self, request: web.Request) -> web.Response:
        """Run checks now, and tell what came of it."""
        self._require(request, self._token_of_peers)
        try:
            asked = Asked.model_validate_json(await request.read())
        except ValidationError as wrong:
            return web.json_response({"error": _in_words(wrong)}, status=422)
        if missing := self._worker.unknown(asked.checks, asked.tags):
            return web.json_response({"error": f"there is no such check or tag here: {', '.join(missing)}"}, status=404)
        names = [*asked.checks, *self._worker.tagged(asked.tags)]
        if asked.because == "suspected":
            self._worker.told_of(names)
        results = await self._worker.run_now(dict.fromkeys(names))
        told = [describe(check, result, self._worker.location) for check, result in results]
        return web.json_response({"location": self._worker.location, "results": told})

    def _require(self, request: web.Request, another: str = "", why: str = "") -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogateescape")
        wanted = [token.encode() for token in (self._token, another) if token]
        if not wanted:
            raise web.HTTPForbidden(text=f"{why}this worker has no token: start it with --token-file")
        if not any([hmac.compare_digest(given, token) for token in wanted]):
            raise web.HTTPUnauthorized(text=f"{why}the token is missing, or another one")


def describe(check: Check, result: Result, location: str) -> dict[str, Any]:
    """A result as the API tells it."""
    return {
        "check": check.name,
        "location": location,
        "target": check.target,
        "success": result.success,
        "reason": result.reason,
        "text": result.text,
        "seconds": result.seconds,
        "began_at": result.began_at.isoformat(),
        "samples": {f"{name}{{{labels}}}" if labels else name: v for (name, labels), v in result.samples.items()},
        "log": list(result.log),
        **({"screenshot": base64.b64encode(result.screenshot).decode()} if result.screenshot else {}),
    }


def _in_words(wrong: ValidationError) -> str:
    said = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in wrong.errors()]
    return "; ".join(f"{way}: {text}" if way else text for way, text in said)
