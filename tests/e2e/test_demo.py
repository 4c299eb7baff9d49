"""The demo is the whole path against a real Prometheus and a real Alertmanager: its story must be right."""

import asyncio
import sys

import pytest

pytestmark = pytest.mark.servers


async def test_the_story_of_the_demo_is_right():
    command = [sys.executable, "-m", "relay", "demo"]
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(240):
        said, _ = await child.communicate()
    told = said.decode()
    assert child.returncode == 0, told
    assert "The story was right." in told
    assert "held until" in told
    assert "SEV-3 → SEV-2" in told
