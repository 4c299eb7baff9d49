"""An exposition of many checks, as a worker has it after a round of probes."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from synthetic.checks import load
from synthetic.exposition import Exposition
from synthetic.run import Result
from synthetic.watch import Watch

NOON = datetime(2026, 1, 7, 12, tzinfo=UTC)


def exposition(count: int) -> Exposition:
    """Make one, with all that an HTTPS probe measures."""
    with TemporaryDirectory() as directory:
        lines = (
            f"  - {{name: c{n}, kind: http, target: 'https://shop.example/{n}', service: s{n}}}" for n in range(count)
        )
        (Path(directory) / "p.yaml").write_text("checks:\n" + "\n".join(lines) + "\n")
        checks = load(Path(directory))
    made = Exposition("here")
    list(made.plan(checks, checks.checks.values()))
    phases = {("probe_http_duration_seconds", f'phase="{phase}"'): 0.01 for phase in ("resolve", "connect", "tls")}
    plain = ("probe_success", "probe_duration_seconds", "probe_http_status_code", "probe_http_ssl", "probe_ip_protocol")
    samples = {**phases, **dict.fromkeys(((name, "") for name in plain), 1.0)}
    result = Result(True, "", "", NOON, 0.03, samples, ())
    for check in checks.checks.values():
        made.take(check, result, Watch(check.confirm), 0.001, NOON)
    return made
