"""An Alertmanager's API v2 on a real socket, which answers what a test says."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from relay.clock import WallClock
from relay.integrations.alertmanager import fingerprint


class Alertmanager:
    def __init__(self):
        self.alerts = {}
        self.silences = []
        self.up_since = WallClock().now() - timedelta(days=1)
        self.status = 200
        self.garbage = None
        self.asked = []
        self.receivers = ["relay", "chat"]
        self.url = ""

    def ends(self, name="HighErrorRate"):
        """It is over: its list has the alert no more, silenced or not."""
        del self.alerts[name]

    def fires(self, name="HighErrorRate", receiver="relay", muted="", **labels):
        labels = {"alertname": name, "service": "checkout", **labels}
        self.alerts[name] = {
            "labels": labels,
            "annotations": {"summary": "it is broken"},
            "startsAt": "2026-01-07T11:58:00.000Z",
            "endsAt": "2026-01-07T12:04:00.000Z",
            "updatedAt": "2026-01-07T12:00:00.000Z",
            "generatorURL": "http://prometheus/graph",
            "fingerprint": fingerprint(labels),
            "receivers": [{"name": receiver}],
            "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []},
        }
        if muted:
            self.alerts[name]["status"] = {"state": "suppressed", "silencedBy": [muted], "inhibitedBy": []}
            self.silences.append({"id": muted, "createdBy": "ana", "comment": "planned\nwork"})

    async def answer(self, request):
        self.asked.append(request.rel_url)
        if self.garbage is not None:
            return web.Response(text=self.garbage)
        if self.status != 200:
            return web.Response(status=self.status)
        match request.path:
            case "/api/v2/alerts":
                only = request.query["receiver"]
                wanted = [a for a in self.alerts.values() if only == f"^(?:{a['receivers'][0]['name']})$"]
                return web.json_response(wanted)
            case "/api/v2/receivers":
                return web.json_response([{"name": name} for name in self.receivers])
            case "/api/v2/silences":
                return web.json_response(self.silences)
            case "/api/v2/status":
                return web.json_response({"uptime": self.up_since.isoformat()})
        return web.Response(status=404)


@pytest.fixture
async def alertmanagers() -> AsyncIterator[list[Alertmanager]]:
    """Two of one cluster."""
    both, servers = [Alertmanager(), Alertmanager()], []
    for one in both:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", one.answer)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        one.url = str(server.make_url("")).rstrip("/")
    yield both
    for server in servers:
        await server.close()
