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


LIBRARY = """
import logging
from relay.config.logs import configure
configure("json")
logging.getLogger("a.library").warning("odd: %s", "x")
logging.getLogger("a.library").info("not worth a line")
"""


def test_what_libraries_log_is_a_structured_line_too():
    done = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["logger"], told["level"]) == ("odd: x", "a.library", "warning")


FORGING = """
import sys, structlog
from relay.config.logs import configure
configure(sys.argv[1])
structlog.get_logger().info("A\\n2026-01-01 [info] INC-1 resolved\\x1b[2J", incident="x\\x9b1m\\ny")
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_an_alert_says_makes_no_line_of_its_own_and_drives_no_terminal(log_format):
    done = subprocess.run([sys.executable, "-c", FORGING, log_format], capture_output=True, text=True, check=True)
    [line] = done.stderr.removesuffix("\n").split("\n")
    assert "INC-1 resolved" in line
    assert line.isprintable()
