"""What is asked of `/probe`: which module, of which target, as which host. It is read as blackbox_exporter reads it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from synthetic.checks import DNS_PORT, Module
from synthetic.databases import PORTS
from synthetic.kinds import HttpKeys, Tls
from synthetic.targets import read_host, read_host_port, read_url

SPARE = 0.5
"""Seconds of Prometheus' scrape timeout that are left for the answer's way, as in blackbox_exporter."""
_SHOWN = ("authorization", "cookie", "proxy-authorization")
"""Headers that let somebody in, wherever they are written."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A module, and what it is to be run against."""

    module: str
    keys: Module
    target: str

    @property
    def shows_secrets(self) -> bool:
        """Whether the target gets to see what is not everybody's: who names the target could read it there."""
        return any(_secret(key) for key in _keys_of(self.keys.model_dump(by_alias=True, exclude_defaults=True)))


def read_inquiry(query: Mapping[str, str], scrape_timeout: str, modules: Mapping[str, Module]) -> Inquiry:
    """Read the parameters of a request, and Prometheus' header. Raises ValueError with what is wrong."""
    name, target = query.get("module", "http_2xx"), query.get("target", "")
    keys = modules.get(name)
    if keys is None:
        raise ValueError(f'Unknown module "{name}"')
    if not target:
        raise ValueError("Target parameter is missing")
    keys = keys.model_copy(update={"timeout": min(keys.timeout, _patience(scrape_timeout, keys.timeout))})
    try:
        inquiry = Inquiry(name, keys, _read_target(keys, target))
    except ValueError as wrong:
        raise ValueError(f"the target of {keys.kind} is wrong: {wrong}") from None
    hostname = query.get("hostname")
    return replace(inquiry, keys=_as_host(keys, hostname)) if hostname else inquiry


def _read_target(keys: Module, target: str) -> str:
    """Give the target as the probe of its kind takes it. Raises ValueError with what to write."""
    match keys.kind:
        case "http" | "journey" | "browser":
            target = target if "://" in target else f"http://{target}"
            read_url(target)
        case "icmp":
            read_host(target)
        case "dns":
            read_host_port(target, DNS_PORT)
        case "postgres" | "mysql" | "redis":
            read_host_port(target, PORTS[keys.kind])
        case "grpc":
            bare = target.removeprefix("https://").removeprefix("http://")
            host, port = read_host_port(bare, 443 if keys.tls else 80)
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            read_host_port(target)
    return target


def _as_host(keys: Module, hostname: str) -> Module:
    """Ask for a host by another name than the target's: in the Host header, and in TLS. Raises ValueError."""
    try:
        host = read_host(hostname)
    except ValueError as wrong:
        raise ValueError(f"the hostname is wrong: {wrong}") from None
    tls = getattr(keys, "tls", None)
    if not isinstance(keys, HttpKeys) and not isinstance(tls, Tls):
        raise ValueError(f"a module of the kind {keys.kind} without TLS has no use for a hostname")
    update: dict[str, Any] = {}
    if isinstance(keys, HttpKeys):
        written = {value for name, value in keys.headers.items() if name.lower() == "host"}
        if written - {host}:
            raise ValueError(f"the module has the Host header {min(written)}, and the hostname is {host}")
        others = {name: value for name, value in keys.headers.items() if name.lower() != "host"}
        update["headers"] = {**others, "Host": host}
    if isinstance(tls, Tls) and not tls.server_name:
        update["tls"] = tls.model_copy(update={"server_name": host})
    return keys.model_copy(update=update)


def _patience(scrape_timeout: str, otherwise: timedelta) -> timedelta:
    """What Prometheus will wait for, less a little."""
    try:
        seconds = float(scrape_timeout)
    except ValueError:
        return otherwise
    return timedelta(seconds=max(0.1, seconds - SPARE)) if 0 < seconds < 3600 else otherwise


def _keys_of(document: Any) -> Iterator[str]:
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield str(key)
            yield from _keys_of(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from _keys_of(value)


def _secret(key: str) -> bool:
    """Whether a key names what is not everybody's: files of keys, tokens and passwords, secrets, certain headers."""
    key = key.lower()
    return (key.endswith(("_file", "_files")) and key != "ca_file") or "secret" in key or key in _SHOWN
