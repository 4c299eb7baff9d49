"""A small shop whose faults can be switched on: `python -m relay.demo.shop PORT`.

It serves nobody; it tells Prometheus what a shop with steady traffic would. `POST /faults/NAME` switches a fault on,
`DELETE` off.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

FAULTS = ("checkout-errors", "ledger-replica-lag", "search-slow")
TICK = 0.2
"""Seconds between two steps of the traffic."""


class Shop:
    """Three services, and what is wrong with them."""

    def __init__(self) -> None:
        self.faults: set[str] = set()
        self.registry = CollectorRegistry()
        self._requests = Counter("http_requests", "Requests.", ["service", "code"], registry=self.registry)
        self._lag = Gauge("replica_lag_seconds", "Lag of the replica.", ["service"], registry=self.registry)
        self._latency = Gauge("latency_p99_seconds", "Slowest hundredth.", ["service"], registry=self.registry)

    def step(self) -> None:
        """A moment of traffic: twenty requests a service."""
        for service in ("checkout", "ledger", "search"):
            failing = 8 if service == "checkout" and "checkout-errors" in self.faults else 0
            self._requests.labels(service, "200").inc(20 - failing)
            self._requests.labels(service, "500").inc(failing)
        self._lag.labels("ledger").set(90 if "ledger-replica-lag" in self.faults else 0.2)
        self._latency.labels("search").set(4 if "search-slow" in self.faults else 0.1)


_SHOP = web.AppKey("shop", Shop)


async def _traffic(app: web.Application) -> AsyncIterator[None]:
    async def flow() -> None:
        while True:
            app[_SHOP].step()
            await asyncio.sleep(TICK)

    async with asyncio.TaskGroup() as tasks:
        flowing = tasks.create_task(flow())
        yield
        flowing.cancel()


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(request.app[_SHOP].registry), content_type="text/plain")


async def _fault(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in FAULTS:
        raise web.HTTPNotFound(text=f"there is no fault {name}; there are {', '.join(FAULTS)}")
    faults = request.app[_SHOP].faults
    faults.add(name) if request.method == "POST" else faults.discard(name)
    return web.json_response({"faults": sorted(faults)})


def build() -> web.Application:
    """The shop as a web application."""
    app = web.Application()
    app[_SHOP] = Shop()
    app.cleanup_ctx.append(_traffic)
    app.router.add_get("/metrics", _metrics)
    app.router.add_post("/faults/{name}", _fault)
    app.router.add_delete("/faults/{name}", _fault)
    return app


if __name__ == "__main__":
    web.run_app(build(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
