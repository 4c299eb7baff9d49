"""`relay serve` as a process: what it says, and what it does where it cannot say it."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from service import RULES

from relay.demo.processes import end, free_port


@asynccontextmanager
async def serving(directory, stderr, *options):
    """Relay as a process that writes its log into `stderr`, and a question for it that is repeated until it answers."""
    (directory / "rules").mkdir()
    (directory / "pd").write_text("0" * 32)
    (directory / "rules" / "all.yaml").write_text(RULES.format(secrets=directory, pagerduty="http://127.0.0.1:9"))
    port = free_port()
    command = [sys.executable, "-m", "relay", "serve", "--listen", f"127.0.0.1:{port}", *options]
    child = await asyncio.create_subprocess_exec(*command, cwd=directory, stderr=stderr)

    async def ask(path):
        async with asyncio.timeout(20), aiohttp.ClientSession() as client:
            while True:
                assert child.returncode is None, "Relay has ended"
                try:
                    async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                        if answer.status == 200:
                            return await answer.text()
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    ask.child = child
    try:
        yield ask
    finally:
        await end(child)


def a_full_disk():
    return Path("/dev/full").open("w")


def nobody_reads():
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w")


@pytest.mark.servers
@pytest.mark.parametrize("log", [a_full_disk, nobody_reads])
async def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, log):
    with log() as sink:
        async with serving(tmp_path, sink) as ask:
            await ask("/-/ready")
            metrics = await ask("/metrics")
            lost = next(line for line in metrics.splitlines() if line.startswith("relay_log_failures_total "))
            assert float(lost.split()[1]) >= 3  # two warnings of closed doors, and that it listens
            await ask("/-/ready")


@pytest.mark.servers
async def test_a_hangup_takes_the_rules_anew(tmp_path):
    with (tmp_path / "log").open("w") as sink:
        async with serving(tmp_path, sink) as ask:
            await ask("/-/ready")
            (tmp_path / "rules" / "all.yaml").write_text("routes: 5\n")
            ask.child.send_signal(signal.SIGHUP)
            async with asyncio.timeout(20):
                while "relay_config_last_reload_successful 0.0" not in await ask("/metrics"):
                    await asyncio.sleep(0.05)
            ask.child.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(ask.child.wait(), 20) == 0
    assert "the rules cannot be used, the last good ones stay" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("command", "has"), [("serve", False), ("incident", True)])
def test_the_service_does_not_carry_what_only_tables_on_a_terminal_need(command, has):
    program = (
        "import sys; from relay.cli import main; "
        f"main(['{command}', '--help'], standalone_mode=False); "
        "sys.exit('rich.console' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (has, "")
