"""Targets as people write them: URLs, `host:port`, names and addresses."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

_PORTS = {"http": 80, "https": 443}
SAFE = "%/:=&?~+!$,;'@()*[]|"
"""Characters of a URL that stay as they are written."""


@dataclass(frozen=True, slots=True)
class Url:
    """An HTTP URL, ready to be asked for."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query, percent-encoded; it begins with a slash."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are meant for."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The host as the Host header writes it: without the port that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def read_url(text: str) -> Url:
    """Read an http or https URL. Raises ValueError with what to write."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("write a URL such as https://shop.example/health, with a port up to 65535") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("write a URL such as https://shop.example/health")
    if parts.username is not None or parts.password is not None:
        raise ValueError("write the URL without a name and a password: basic_auth takes them from a file")
    return Url(parts.scheme, read_host(parts.hostname), port or _PORTS[parts.scheme], _path(parts))


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=SAFE)
    return f"{path}?{quote(parts.query, safe=SAFE)}" if parts.query else path


def read_host_port(text: str, default: int | None = None) -> tuple[str, int]:
    """Read `host:port` or `[::1]:port`. Raises ValueError; the port may be left out where there is a default."""
    address = _address(text)
    if address and default is not None:
        return address, default
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or default
    except ValueError:
        host = port = None
    if not host or not port or parts.path or parts.username is not None:
        raise ValueError("write host:port, such as db.example:5432 or [2001:db8::1]:5432")
    return read_host(host), port


def read_host(text: str) -> str:
    """Read a name or an address; a name in other letters is given as DNS writes it. Raises ValueError."""
    address = _address(text)
    if address:
        return address
    try:
        name = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    if not name or any(c not in "abcdefghijklmnopqrstuvwxyz0123456789-_." for c in name):
        raise ValueError("write a host's name or address, such as db.example, 192.0.2.1 or [2001:db8::1]")
    return name


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return None
