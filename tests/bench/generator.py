"""Alerts: number n of a run is always the same. About 650 bytes each, twelve labels, realistic cardinalities."""

import json
import random

NAMES = [
    f"{subject}{trouble}"
    for subject in ("Checkout", "Ledger", "Search", "Kafka", "Postgres", "Redis", "Nginx", "Kubelet", "Etcd", "Disk")
    for trouble in (
        "Errors",
        "Slow",
        "Down",
        "Lagging",
        "Saturated",
        "Restarting",
        "Full",
        "Throttled",
        "Stale",
        "Flapping",
    )
]
SEVERITIES = ("critical", "warning", "warning", "info")
ID = rb"bx-\d{9}"
"""How an alert is found in anybody's page, table or answer."""


def alert(number: int, group: int) -> dict:
    """One alert; those of one `group` share alertname, cluster and namespace."""
    chance = random.Random(group)
    labels = {
        "alertname": NAMES[group % len(NAMES)],
        "cluster": f"cluster-{chance.randrange(6)}",
        "namespace": f"namespace-{group // len(NAMES)}",
        "severity": chance.choice(SEVERITIES),
        "team": f"team-{chance.randrange(12)}",
        "service": f"service-{chance.randrange(120)}",
        "job": "kubernetes-pods",
        "container": "app",
        "prometheus": "monitoring/k8s",
        "instance": f"10.{number % 250}.{number // 250 % 250}.7:8080",
        "pod": f"app-{number:09d}",
        "bench_id": f"bx-{number:09d}",
    }
    return {
        "labels": labels,
        "annotations": {
            "summary": f"bx-{number:09d} {labels['alertname']} in {labels['namespace']}",
            "description": "The objective of this service has been missed for the last ten minutes; see the runbook.",
            "runbook_url": "https://runbooks.example.com/objectives",
        },
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up%3D%3D0",
    }


def as_webhook(alerts: list[dict]) -> bytes:
    """The alerts as Alertmanager posts them."""
    told = [
        {
            **alert,
            "status": "firing",
            "startsAt": "2026-01-07T12:00:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": f"{int(alert['labels']['bench_id'][3:]):016x}",
        }
        for alert in alerts
    ]
    common = {
        name: value for name, value in alerts[0]["labels"].items() if name in ("alertname", "cluster", "namespace")
    }
    body = {"version": "4", "groupKey": f"{{}}:{common}", "status": "firing", "receiver": "relay", "truncatedAlerts": 0}
    more = {"groupLabels": common, "commonLabels": common, "commonAnnotations": {}, "externalURL": "http://am:9093"}
    return json.dumps({**body, **more, "alerts": told}).encode()


def as_list(alerts: list[dict]) -> bytes:
    """The alerts as Prometheus posts them to Alertmanager."""
    return json.dumps(alerts).encode()
