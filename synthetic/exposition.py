"""What Prometheus is told: blackbox_exporter's names, and what it does not tell: states, reasons, freshness.

Written by hand in the text format, in small pieces: to write 200,000 series at once would hold every probe up for
seconds, and falsify what it measures.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime

from synthetic.checks import Check, Checks
from synthetic.run import Result, label
from synthetic.watch import Watch

HELP = {
    "probe_success": "1 if the last run was a success.",
    "probe_duration_seconds": "How long the last run took.",
    "probe_state": "What is believed here: 0 OK, 1 SUSPECT, 2 FAILING.",
    "probe_state_since_timestamp_seconds": "When that began: for FAILING, the end of the first run that failed.",
    "probe_last_run_timestamp_seconds": "When the last run ended.",
    "probe_start_lag_seconds": "How late the last run began.",
    "probe_check_interval_seconds": "How often the check is to run.",
    "probe_runs_total": "Runs by result: success, failure, timeout, skipped.",
    "probe_failure_info": "1 while the last run failed, with the reason.",
    "probe_check_info": "1 for each check that the files name, whoever runs it.",
    "probe_dependency_info": "1 for each check that another depends on.",
    "probe_location_info": "1 for each location that the files name.",
    "probe_dns_lookup_time_seconds": "How long the name was looked up.",
    "probe_ip_protocol": "4 or 6.",
    "probe_ip_addr_hash": "A hash of the address, to see when it changes.",
    "probe_http_status_code": "The status of the last answer.",
    "probe_http_duration_seconds": "How long each phase took, redirects included.",
    "probe_http_content_length": "The length that the answer names, -1 for none.",
    "probe_http_uncompressed_body_length": "The length of the body.",
    "probe_http_redirects": "Redirects that were followed.",
    "probe_http_ssl": "1 if the last request was encrypted.",
    "probe_http_version": "The version of HTTP that was answered.",
    "probe_http_last_modified_timestamp_seconds": "What the answer's Last-Modified says.",
    "probe_failed_due_to_regex": "1 if a regular expression was not met.",
    "probe_expect_info": "1 with the labels that a step of a conversation takes from the line that it expected.",
    "probe_ssl_earliest_cert_expiry": "When the first of the certificates that the server shows expires.",
    "probe_ssl_last_chain_expiry_timestamp_seconds": "When the first of those by which it is trusted expires.",
    "probe_ssl_last_chain_info": "What the server's own certificate says.",
    "probe_tls_version_info": "The version of TLS.",
    "probe_tls_cipher_info": "The cipher of TLS.",
    "probe_icmp_duration_seconds": "How long each phase took.",
    "probe_icmp_reply_hop_limit": "The hop limit (TTL) with which the reply came.",
    "probe_dns_duration_seconds": "How long each phase took.",
    "probe_dns_query_succeeded": "1 if the question was answered.",
    "probe_dns_answer_rrs": "Records in the answer section.",
    "probe_dns_authority_rrs": "Records in the authority section.",
    "probe_dns_additional_rrs": "Records in the additional section.",
    "probe_dns_serial": "The serial of the zone.",
    "probe_step_success": "1 if the step was a success; a step that was not come to is not there.",
    "probe_step_duration_seconds": "How long the step took.",
    "probe_step_http_status_code": "The status of the step's answer.",
    "probe_grpc_duration_seconds": "How long each phase took.",
    "probe_grpc_ssl": "1 if the connection was encrypted.",
    "probe_grpc_status_code": "The status of the call, by gRPC's numbers.",
    "probe_grpc_healthcheck_response": "1 for the state that the server told.",
    "probe_database_duration_seconds": "How long each phase took.",
    "probe_database_is_replica": "1 for a replica, 0 for a primary.",
    "probe_database_replication_lag_seconds": "How far the replica, or the last one of the primary's, is behind.",
    "probe_database_query_value": "The value that the query gave, when it is a number.",
    "probe_browser_duration_seconds": "How long the last page took, from its start, to each point.",
    "probe_browser_page_errors": "Exceptions that scripts of the pages did not catch.",
}
"""Every metric of probes, in the order in which they are told."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
AT_ONCE = 400
"""Checks of one metric that are written before others get their turn."""
_KEPT = ("success", "failure", "timeout", "skipped")
_RESULTS = {result: label("result", result) for result in _KEPT}


def write_value(value: float) -> str:
    """A number as the text format has it."""
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


class Exposition:
    """The last values of every series, as lines: to be asked for them costs no more than putting them together."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._lines: dict[str, dict[str, str]] = {name: {} for name in HELP}
        """Metric to check to its lines."""
        self._labels: dict[str, str] = {}
        self._planned: dict[str, Check] = {}
        self._told: dict[str, set[str]] = {}
        """Check to the metrics that its last run has measured."""
        self._runs: dict[str, dict[str, int]] = {}

    def plan(self, checks: Checks, mine: Iterable[Check]) -> Iterator[None]:
        """Tell of what the files name; forget what is known of checks that are gone, or others now.

        It is done step by step, so that others may get their turn in between.
        """
        here = {check.name: check for check in mine}
        for number, name in enumerate(self._planned.keys() - here.keys()):
            self._forget(name)
            if number % AT_ONCE == 0:
                yield
        for number, (name, check) in enumerate(here.items()):
            if self._planned.get(name) is not check:
                self._begin(check)
            if number % AT_ONCE == 0:
                yield
        self._planned = here
        yield from self._name(checks)

    def _begin(self, check: Check) -> None:
        """Tell of a check that is new, or that has changed."""
        name, labels = check.name, self._describe(check)
        if self._labels.get(name) != labels:
            self._forget(name)
        for metric in _LASTING:  # it was measured by what the check was
            self._lines[metric].pop(name, None)
        self._labels[name] = labels
        self._runs.setdefault(name, dict.fromkeys(_KEPT, 0))
        self._put(name, "probe_check_interval_seconds", check.interval.total_seconds())
        self._put_runs(name)

    def _forget(self, name: str) -> None:
        for metric, of_check in self._lines.items():
            if metric not in _NAMED:
                of_check.pop(name, None)
        self._labels.pop(name, None)
        self._told.pop(name, None)
        self._runs.pop(name, None)

    def _name(self, checks: Checks) -> Iterator[None]:
        """Tell of all that the files name, whoever runs it."""
        own = label("location", self._location)
        infos: dict[str, str] = {}
        dependencies: dict[str, str] = {}
        for number, (name, check) in enumerate(checks.checks.items()):
            infos[name] = f"probe_check_info{{{_of(check)},{own}}} 1"
            if check.depends_on:
                dependencies[name] = "\n".join(
                    f"probe_dependency_info{{{label('check', name)},{label('depends_on', other)},{own}}} 1"
                    for other in check.depends_on
                )
            if number % AT_ONCE == 0:
                yield
        self._lines["probe_check_info"] = infos
        self._lines["probe_dependency_info"] = dependencies
        self._lines["probe_location_info"] = {
            name: f"probe_location_info{{{label('location', name)}}} 1"
            for name in sorted(checks.locations | {self._location})
        }

    def take(self, check: Check, result: Result, watch: Watch, lag: float, now: datetime) -> None:
        """Take in a result: its series take the place of those of the run before."""
        name = check.name
        if name not in self._labels:
            return  # it was taken out of the files meanwhile
        fresh: dict[str, list[str]] = {}
        for (metric, labels), value in result.samples.items():
            fresh.setdefault(metric, []).append(self._line(name, metric, labels, value))
        for metric in self._told.get(name, set()) - fresh.keys() - _LASTING:
            self._lines[metric].pop(name, None)
        for metric, lines in fresh.items():
            self._lines[metric][name] = "\n".join(lines)
        self._told[name] = {*fresh, *({"probe_failure_info"} if result.reason else ())}
        if result.reason:
            self._put(name, "probe_failure_info", 1.0, label("reason", result.reason))
        self._put(name, "probe_state", float(watch.state))
        self._put(name, "probe_state_since_timestamp_seconds", (watch.since or now).timestamp())
        self._put(name, "probe_last_run_timestamp_seconds", now.timestamp())
        self._put(name, "probe_start_lag_seconds", lag)
        self._count(name, "success" if result.success else "timeout" if "timeout" in result.reason else "failure")

    def skip(self, check: Check) -> None:
        """Count a run that did not come to be."""
        if check.name in self._labels:
            self._count(check.name, "skipped")

    async def write(self) -> AsyncIterator[bytes]:
        """Write everything, in pieces."""
        for name, of_check in self._lines.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            yield f"# HELP {name} {HELP[name]}\n# TYPE {name} {kind}\n".encode()
            lines = list(of_check.values())
            for start in range(0, len(lines), AT_ONCE):
                yield ("\n".join(lines[start : start + AT_ONCE]) + "\n").encode()
                await asyncio.sleep(0)

    def _describe(self, check: Check) -> str:
        more = {"location": self._location, "kind": check.kind, "instance": check.target}
        return ",".join([_of(check), *(label(name, value) for name, value in more.items())])

    def _line(self, name: str, metric: str, labels: str, value: float) -> str:
        own = self._labels[name]
        return (
            f"{metric}{{{own},{labels}}} {write_value(value)}" if labels else f"{metric}{{{own}}} {write_value(value)}"
        )

    def _put(self, name: str, metric: str, value: float, labels: str = "") -> None:
        self._lines[metric][name] = self._line(name, metric, labels, value)

    def _count(self, name: str, result: str) -> None:
        self._runs[name][result] += 1
        self._put_runs(name)

    def _put_runs(self, name: str) -> None:
        self._lines["probe_runs_total"][name] = "\n".join(
            self._line(name, "probe_runs_total", labels, float(self._runs[name][result]))
            for result, labels in _RESULTS.items()
        )


_NAMED = ("probe_check_info", "probe_dependency_info", "probe_location_info")
"""What is told of the files, and not of the runs here."""
_LASTING = frozenset({"probe_ssl_earliest_cert_expiry"})
"""What a run that does not measure it leaves as it is: a certificate expires even while nobody can connect."""


def _of(check: Check) -> str:
    told: Mapping[str, str] = {
        "check": check.name,
        "service": check.service,
        "layer": check.layer,
        "role": check.role,
    }
    return ",".join(label(name, value) for name, value in told.items())


def write_once(result: Result) -> str:
    """Write one result as blackbox_exporter's `/probe` does."""
    lines: list[str] = []
    for metric in HELP:
        found = [(labels, value) for (name, labels), value in result.samples.items() if name == metric]
        if found:
            lines += [f"# HELP {metric} {HELP[metric]}", f"# TYPE {metric} gauge"]
            lines += [
                f"{metric}{{{labels}}} {write_value(v)}" if labels else f"{metric} {write_value(v)}"
                for labels, v in found
            ]
    return "\n".join(lines) + "\n"
