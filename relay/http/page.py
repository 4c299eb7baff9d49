"""An incident for people, as a page that a phone shows: read, and nothing else.

A browser has no bearer token to send, so the page asks for one as a password (HTTP Basic, any user name). A browser
sends that with whatever another site lets it ask for, too: therefore no door but this one takes it.
"""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from relay.config.types import spell
from relay.http.access import require
from relay.http.alertmanager import CLOCK
from relay.http.api import look_up
from relay.http.routes import Route
from relay.http.views import AlertView, RingView

MOST_ALERTS = 20
MOST_ENTRIES = 200
_HERE = Path(__file__).parent
_STYLE = (_HERE / "incident.css").read_text(encoding="utf-8")
_STYLED_BY = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLED_BY}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


async def page(request: web.Request) -> web.Response:
    """Show an incident."""
    require(request, "viewer", browser=True)
    found = await look_up(request)
    now = request.app[CLOCK].now()
    text = _TEMPLATE.render(it=found, now=now, style=_STYLE, most_alerts=MOST_ALERTS, most_entries=MOST_ENTRIES)
    return web.Response(text=text, content_type="text/html", headers=_HEADERS)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _since(until: datetime, began: datetime) -> str:
    return spell(until - began)


def _called(ring: RingView) -> str:
    return f"{ring.person} through {ring.target}" if ring.person else ring.target


def _links(alert: AlertView) -> Iterator[tuple[str, str]]:
    """Where an alert says to look; what is no web address is none that may be followed."""
    said = {
        "Runbook": alert.annotations.get("runbook_url", ""),
        "Dashboard": alert.annotations.get("dashboard_url", ""),
        "Query": alert.generator_url,
    }
    return ((name, url) for name, url in said.items() if url.startswith(("http://", "https://")))


_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_TEMPLATES.filters.update(moment=_moment, since=_since, called=_called, links=_links)
_TEMPLATE = _TEMPLATES.get_template("incident.html")

ROUTES = (
    Route(
        "GET",
        "/incidents/{id}",
        page,
        "Show an incident to people, as a page of HTML; a token is taken as the password of HTTP Basic, too",
        role="viewer",
        refusals=(404, 503),
    ),
)
