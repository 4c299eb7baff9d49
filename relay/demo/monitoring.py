"""A real Prometheus and a real Alertmanager, quick enough for a story: they look every second."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from relay.demo.processes import free_port, process


@asynccontextmanager
async def prometheus(
    program: Path, directory: Path, rules: Path, targets: Mapping[str, str], alertmanagers: tuple[str, ...]
) -> AsyncIterator[str]:
    """Run Prometheus on `targets` (job to host:port) with a rule file; gives its address."""
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
    }
    written = _write(directory, "prometheus.yml", yaml.safe_dump(config))
    command: list[str | Path] = [
        program,
        f"--config.file={written}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--rules.alert.resend-delay=2s",
    ]
    address = f"http://127.0.0.1:{port}"
    async with process(command, directory / "prometheus.log", f"{address}/-/ready"):
        yield address


@asynccontextmanager
async def alertmanager(
    program: Path, directory: Path, webhook: str, token: str, cluster: Sequence[str] = ("--cluster.listen-address=",)
) -> AsyncIterator[str]:
    """Run Alertmanager with one receiver, which posts to `webhook` with a bearer token; gives its host:port.

    `cluster` is how it finds others; alone, if not told.
    """
    port = free_port()
    http = {
        "authorization": {"credentials_file": str(_write(directory, "token", token))},
        "follow_redirects": False,
    }
    config = {
        "route": {
            "receiver": "relay",
            "group_by": ["service", "alertname"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1m",
        },
        "receivers": [
            {
                "name": "relay",
                "webhook_configs": [{"url": webhook, "send_resolved": True, "max_alerts": 0, "http_config": http}],
            }
        ],
    }
    written = _write(directory, "alertmanager.yml", yaml.safe_dump(config))
    command: list[str | Path] = [
        program,
        f"--config.file={written}",
        f"--storage.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *cluster,
    ]
    async with process(command, directory / "alertmanager.log", f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


def _write(directory: Path, name: str, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    written = directory / name
    written.write_text(text)
    return written
