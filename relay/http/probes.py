"""The probe files, for workers that have none of their own: `rules/probes` beside the rules, as they are."""

import asyncio
import hashlib
import json

from aiohttp import web
from pydantic import BaseModel

from relay.config.files import rule_files
from relay.http.access import require
from relay.http.api import RULES
from relay.http.routes import Route

MOST_BYTES = 8 * 1024 * 1024


class ProbeFiles(BaseModel):
    """Every probe file, by its name below `probes`."""

    files: dict[str, str]


async def probes(request: web.Request) -> web.Response:
    """Give the probe files; 304 to whoever has them already."""
    require(request, "viewer")
    folder = request.app[RULES].path / "probes"

    def read() -> dict[str, str]:
        found = rule_files(folder) if folder.is_dir() else []
        return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in found}

    try:
        files = await asyncio.to_thread(read)
    except (OSError, UnicodeError) as error:
        raise web.HTTPServiceUnavailable(text=f"the probe files cannot be read ({type(error).__name__})") from None
    text = json.dumps({"files": files}, ensure_ascii=False)
    etag = hashlib.sha256(text.encode()).hexdigest()[:32]
    if len(text) > MOST_BYTES:
        raise web.HTTPServiceUnavailable(text="the probe files are larger than 8 MiB in all")
    if any(known.value == etag for known in request.if_none_match or ()):
        answer = web.Response(status=304)
    else:
        answer = web.Response(text=text, content_type="application/json")
    answer.etag = etag
    return answer


ROUTES = (
    Route(
        "GET",
        "/api/v1/probes",
        probes,
        "Give the probe files, for workers that have none of their own",
        role="viewer",
        gives=ProbeFiles,
        refusals=(503,),
    ),
)
