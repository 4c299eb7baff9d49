"""Logs never show what variables hold."""

import json
import subprocess
import sys

import pytest

FAILING = """
import sys, structlog
from relay.config.logs import configure

def log_in(password):
    raise RuntimeError("the door is shut")

configure(sys.argv[1])
try:
    log_in("hunter" + str(2))
except RuntimeError:
    structlog.get_logger().exception("it failed", user="me")
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_traceback_is_told_without_the_values_of_variables(log_format):
    done = subprocess.run([sys.executable, "-c", FAILING, log_format], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert ("the door is shut" in done.stderr, "log_in" in done.stderr) == (True, True)
    assert "hunter2" not in done.stderr
    if log_format == "json":
        [line] = done.stderr.splitlines()
        assert (json.loads(line)["event"], json.loads(line)["user"]) == ("it failed", "me")
