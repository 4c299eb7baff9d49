"""What a route is: where, for whom, what it takes and gives. The OpenAPI document is written from these."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from pydantic import BaseModel

from relay.config.settings import Role

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `role` None means that the handler sees to access itself, or that there is nothing to protect."""

    method: str
    path: str
    handler: Handler
    summary: str
    role: Role | None = None
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    query: tuple[tuple[str, str], ...] = ()
    """Names of query parameters, and what they mean."""
    refusals: tuple[int, ...] = ()
    """Beyond those of every route with a role, or a model to take."""
