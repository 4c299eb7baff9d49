"""What blackbox_exporter tells of every run, also of one that ended early: rules such as `… <= 199` stand on it."""

from collections.abc import Mapping

from synthetic.run import label

_UNAVAILABLE = 14.0
"""gRPC's code for a server that cannot be reached: 0 would say that it had answered well."""


def _phases(metric: str, *phases: str) -> dict[tuple[str, str], float]:
    return {(metric, label("phase", phase)): 0.0 for phase in phases}


def _zeros(*metrics: str) -> dict[tuple[str, str], float]:
    place = ("probe_dns_lookup_time_seconds", "probe_ip_protocol", "probe_ip_addr_hash")
    return {(metric, ""): 0.0 for metric in (*place, *metrics)}


ALWAYS: Mapping[str, Mapping[tuple[str, str], float]] = {
    "http": {
        **_zeros(
            "probe_http_status_code",
            "probe_http_version",
            "probe_http_ssl",
            "probe_http_redirects",
            "probe_http_content_length",
            "probe_http_uncompressed_body_length",
            "probe_failed_due_to_regex",
        ),
        **_phases("probe_http_duration_seconds", "resolve", "connect", "tls", "processing", "transfer"),
    },
    "tcp": _zeros("probe_failed_due_to_regex"),
    "tls": _zeros(),
    "dns": {
        **_zeros(
            "probe_dns_query_succeeded", "probe_dns_answer_rrs", "probe_dns_authority_rrs", "probe_dns_additional_rrs"
        ),
        **_phases("probe_dns_duration_seconds", "resolve", "connect", "request"),
    },
    "icmp": {**_zeros(), **_phases("probe_icmp_duration_seconds", "resolve", "setup", "rtt")},
    "grpc": {
        **_zeros("probe_grpc_ssl"),
        ("probe_grpc_status_code", ""): _UNAVAILABLE,
        **_phases("probe_grpc_duration_seconds", "resolve", "connect", "tls", "check"),
        **{
            ("probe_grpc_healthcheck_response", label("serving_status", state)): 0.0
            for state in ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
        },
    },
}
"""Kind to the samples that a run of it begins with; what is measured takes their place."""
