"""One run of a probe: what it measures, what it finds, and how it ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from synthetic.hiding import hide

REASONS = (
    "dns_nxdomain", "dns_failed", "dns_timeout",
    "connect_refused", "connect_unreachable", "connect_failed", "connect_timeout",
    "tls_expired", "tls_expires_soon", "tls_untrusted", "tls_name", "tls_handshake", "tls_timeout",
    "http_status", "http_protocol", "http_redirect", "http_timeout",
    "body_too_large", "broken_off", "assertion", "timeout",
    "not_serving", "login_failed", "query_failed", "replication_lag", "page_error",
    "credentials", "unsupported", "internal",
)  # fmt: skip
"""Why a probe may fail: a closed list, so that rules and dashboards may name them."""

_TIMEOUTS = {
    "resolve": "dns_timeout", "request": "dns_timeout",
    "connect": "connect_timeout", "tls": "tls_timeout",
    "processing": "http_timeout", "transfer": "http_timeout",
}  # fmt: skip
"""What a probe waited for, to the reason when it does not come."""


class Failed(Exception):
    """The probe failed. The message says what was found, without a secret."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    success: bool
    reason: str
    """Of `REASONS`; empty for a success."""
    text: str
    """What was found, in words."""
    began_at: datetime
    seconds: float
    samples: dict[tuple[str, str], float]
    """Metric name and labels as written (`phase="tls"`) to value, by blackbox_exporter's names."""
    log: tuple[str, ...]
    screenshot: bytes = field(default=b"", repr=False)
    """Of a browser that failed, as JPEG."""


@dataclass(slots=True)
class Run:
    """A run under way: probes tell it what they see."""

    began: float = field(default_factory=time.perf_counter)
    phase: str = "resolve"
    """What it waits for; a deadline that passes is put down to it."""
    samples: dict[tuple[str, str], float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    screenshot: bytes = field(default=b"", repr=False)
    _hidden: dict[str, str] = field(default_factory=dict, repr=False)

    def note(self, text: str) -> None:
        """Write a line of its log."""
        self.log.append(f"+{(time.perf_counter() - self.began) * 1000:.1f}ms {self.redact(text)}")

    def hide(self, value: str, name: str) -> None:
        """Let nothing that is told of this run show a value, however it is encoded; `${name}` stands for it."""
        if value:
            self._hidden[value] = name

    def redact(self, text: str) -> str:
        """A text without what is hidden."""
        return hide(self._hidden, text)

    def measure(self, name: str, value: float, labels: str = "") -> None:
        """Keep a sample; it takes the place of one of the same name and labels."""
        self.samples[name, labels] = value

    def add(self, name: str, value: float, labels: str = "") -> None:
        """Add to a sample."""
        self.samples[name, labels] = self.samples.get((name, labels), 0.0) + value

    def timed_out(self) -> Failed:
        """The failure of a deadline that has passed."""
        seconds = time.perf_counter() - self.began
        return Failed(
            _TIMEOUTS.get(self.phase, "timeout"), f"no end after {seconds:.3g} s, while waiting for: {self.phase}"
        )


@contextmanager
def timed(phase: str, run: Run, phases: dict[str, float]) -> Iterator[None]:
    """Add the seconds of a phase, also of one that fails."""
    run.phase, began = phase, time.perf_counter()
    try:
        yield
    finally:
        phases[phase] = phases.get(phase, 0.0) + time.perf_counter() - began


def label(name: str, value: str) -> str:
    """Write a label as the text format does."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'
