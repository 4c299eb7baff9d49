"""Strict stand-ins for the vendors, for tests, the demo and the benchmark.

`async with pagerduty.stand_in() as pager:` listens on `pager.url`; see `StandIn` for what can be asked of it.
"""

from relay.demo.standins import opsgenie, pagerduty
from relay.demo.standins.standin import StandIn

API_KEY = "stand-in-genie-key"
"""The key that stand-ins of Opsgenie take when they run as a program."""


def make(vendor: str, limit: int | None, delay: float) -> StandIn:
    """Make a stand-in by its name: `pagerduty`, `opsgenie` or `jsm`. Raises `KeyError` for another."""
    return {
        "pagerduty": lambda: pagerduty.stand_in(limit),
        "opsgenie": lambda: opsgenie.stand_in(API_KEY, "opsgenie", delay, limit),
        "jsm": lambda: opsgenie.stand_in(API_KEY, "jsm", delay, limit),
    }[vendor]()
