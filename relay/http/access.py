"""Who may do what: sources post alerts, and people and programs use the API, each with a token of their own.

A token is compared by its SHA-256, so that neither a timing nor a memory dump gives one away.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from relay.config.secrets import read_secret
from relay.config.settings import Role, Settings

RANK: dict[Role, int] = {"viewer": 0, "responder": 1, "admin": 2}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the API."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Say whether the caller's role includes another."""
        return RANK[self.role] >= RANK[role]


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens in use, as digests."""

    sources: Mapping[str, frozenset[str]]
    callers: Mapping[str, Caller]

    def may_post(self, request: web.Request, source: str, path_secret: str | None) -> bool:
        """Say whether a request may post alerts under a source's name: bearer token, basic password or secret path."""
        allowed = self.sources.get(source)
        offered = path_secret if path_secret is not None else _offered(request.headers.get("Authorization", ""))
        return allowed is not None and offered is not None and digest(offered) in allowed

    def caller(self, request: web.Request, *, browser: bool = False) -> Caller | None:
        """Find out who calls, by the bearer token; of a `browser`, by its password, too."""
        authorization = request.headers.get("Authorization", "")
        if authorization.lower().startswith("basic ") and not browser:
            return None  # a browser adds it to what any other site lets it send
        offered = _offered(authorization)
        return self.callers.get(digest(offered)) if offered else None


ACCESS = web.AppKey("access", Access)


def read_access(settings: Settings) -> Access:
    """Read every token. Raises `SecretMissing`."""
    sources = {name: frozenset(digest(t) for t in source.tokens()) for name, source in settings.sources.items()}
    callers = {}
    for name, token in settings.tokens.items():
        hashed = token.sha256 or digest(read_secret(token.token_file, token.token_env))
        callers[hashed] = Caller(name, token.role)
    return Access(sources, callers)


def digest(token: str) -> str:
    """SHA-256 of a token, 64 hex digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _offered(authorization: str) -> str | None:
    """The secret of an Authorization header: Alertmanager sends `Bearer`, `Basic`, or any scheme it was told."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "basic":
        return rest.strip() or None
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[2] or None
    except (binascii.Error, ValueError):
        return None


def require(request: web.Request, role: Role, *, browser: bool = False) -> Caller:
    """Give the caller, or answer 401 or 403 in words. A `browser` is told to ask its user."""
    caller = request.app[ACCESS].caller(request, browser=browser)
    if caller is None:
        raise web.HTTPUnauthorized(
            text="this needs a token: send Authorization: Bearer <token>"
            + (", or give it as the password, with any user name" if browser else ""),
            headers={"WWW-Authenticate": 'Basic realm="Relay: your token is the password"' if browser else "Bearer"},
        )
    if not caller.may(role):
        raise web.HTTPForbidden(text=f"{caller.name} is a {caller.role}; this needs the role {role}")
    return caller
