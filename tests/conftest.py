"""How thoroughly properties are tried (`HYPOTHESIS_PROFILE=thorough` looks longer), and what every test runs on."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def logs():
    """Let what this process logs stay out of what commands print, which tests run in it too."""
    structlog.reset_defaults()  # an earlier test may have run a command, which says how logs are written
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.__stderr__))


def pytest_asyncio_loop_factories(item):
    """Run everything on the event loop that it runs on in service, since they differ: probe workers have asyncio's."""
    workers = item.path.is_relative_to(Path(__file__).with_name("synthetic"))
    return {"asyncio": asyncio.new_event_loop} if workers else {"uvloop": uvloop.new_event_loop}
