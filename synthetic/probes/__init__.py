"""The kinds of probes, each a module with `probe(keys, target, run)`; some need libraries that come with an extra."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from synthetic.run import Failed, Run

Probe = Callable[[Any, str, Run], Awaitable[None]]

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "grpc": ("h2", "google.protobuf"),
    "postgres": ("psycopg",),
    "mysql": ("pymysql",),
    "redis": ("hiredis",),
    "browser": ("playwright",),
}
"""Kind, and extra of the package, to the libraries that it stands on."""


@cache
def probe_of(kind: str) -> Probe:
    """Give the probe of a kind. Raises `Failed` when its extra is not installed."""
    try:
        found: Probe = import_module(f"synthetic.probes.{kind}").probe
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith(EXTRAS.get(kind, ())):
            raise
        raise Failed("unsupported", f"this kind needs an extra: pip install 'relay[{kind}]'") from None
    return found
