"""The real Prometheus answers as its stand-in in the other tests does."""

import asyncio
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from relay.incident.effects import Measure
from relay.incident.events import Measured
from relay.integrations.prometheus import Prometheus

pytestmark = pytest.mark.servers


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a Prometheus that scrapes nothing."""
    (tmp_path / "prometheus.yml").write_text("{}\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={address}",
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        for _ in range(200):
            if (await measure(f"http://{address}", ready="vector(1)")).values:
                break
            await asyncio.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def measure(url: str, **queries: str) -> Measured:
    async with aiohttp.ClientSession() as session:
        return await Prometheus(url).carry_out(Measure(queries), session)


async def test_it_is_understood(url: str) -> None:
    measured = await measure(
        url,
        vector="vector(1.5)",
        scalar="2",
        nan="0/0",
        infinite="1/0",
        empty="no_such_metric",
        many='vector(1) or label_replace(vector(2), "a", "b", "", "")',
        text='"abc"',
        range="up[5m]",
        wrong="sum(",
    )

    assert measured.values == {"vector": 1.5, "scalar": 2.0}
    expected = {
        "nan": "NaN",
        "infinite": "+Inf",
        "empty": "empty",
        "many": "2 series",
        "text": "string",
        "range": "matrix",
        "wrong": "refused it (HTTP 400): invalid parameter",
    }
    assert measured.unknown.keys() == expected.keys()
    assert [name for name, words in expected.items() if words not in measured.unknown[name]] == []
