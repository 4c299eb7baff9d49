"""The kinds of probes, each a module with `probe(keys, target, run)`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from synthetic.probes import dns, http, icmp, tcp, tls
from synthetic.run import Run

Probe = Callable[[Any, str, Run], Awaitable[None]]

PROBES: Mapping[str, Probe] = {
    "http": http.probe,
    "tcp": tcp.probe,
    "tls": tls.probe,
    "dns": dns.probe,
    "icmp": icmp.probe,
}
