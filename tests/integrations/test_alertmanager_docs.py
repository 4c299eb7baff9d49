"""The configuration that the docs tell people to copy is one that Alertmanager takes."""

import re
import subprocess
from pathlib import Path

import pytest

from relay.config.document import parse
from relay.config.upstream.lint import lint

PAGE = Path(__file__).parents[2] / "docs" / "integrations" / "alertmanager.md"


def sample() -> str:
    """The page's alertmanager.yml."""
    found = re.search(r"```yaml alertmanager.yml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_the_sample_avoids_every_trap_that_a_setting_can_avoid() -> None:
    (receiver,) = parse(sample(), "alertmanager.yml").data["receivers"]
    (webhook,) = receiver["webhook_configs"]

    assert (webhook["send_resolved"], webhook["max_alerts"], webhook["timeout"]) == (True, 0, "10s")
    assert webhook["http_config"]["follow_redirects"] is False


def test_relay_finds_nothing_wrong_with_the_sample() -> None:
    assert lint(parse(sample(), "alertmanager.yml")) == ()


@pytest.mark.servers
def test_amtool_takes_the_sample(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    version = subprocess.run(["amtool", "--version"], capture_output=True, text=True, check=True)
    told = version.stdout + version.stderr
    old = re.search(r"version 0\.(1\d|2[0-7])\.", told)
    config.write_text(re.sub(r"\n *timeout: .*", "", sample()) if old else sample())

    checked = subprocess.run(["amtool", "check-config", str(config)], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout + checked.stderr
