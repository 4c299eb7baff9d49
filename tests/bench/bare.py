"""The floor: an aiohttp handler that reads a webhook, parses it and answers. `bare.py PORT`."""

import json
import sys

from aiohttp import web


async def receive(request: web.Request) -> web.Response:
    json.loads(await request.read())
    return web.Response(text='{"status":"stored"}', content_type="application/json")


async def ready(request: web.Request) -> web.Response:
    return web.Response()


app = web.Application(client_max_size=64 * 1024 * 1024)
app.router.add_post("/", receive)
app.router.add_get("/", ready)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
