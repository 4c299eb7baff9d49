"""How thoroughly properties are tried (`HYPOTHESIS_PROFILE=thorough` looks longer), and where logs go in tests."""

import os
import sys

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("quick", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(autouse=True)
def logs():
    """Let what this process logs stay out of what commands print, which tests run in it too."""
    structlog.reset_defaults()  # an earlier test may have run a command, which says how logs are written
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.__stderr__))
