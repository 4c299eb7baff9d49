"""The rules and settings of the demo: small, and with every wait short enough to watch."""

from datetime import datetime, timedelta
from pathlib import Path

RULES = """\
targets:
  pagerduty-ada: {{type: pagerduty, routing_key_file: {secrets}/pagerduty-ada, url: "{pagerduty}"}}
  pagerduty-dee: {{type: pagerduty, routing_key_file: {secrets}/pagerduty-dee, url: "{pagerduty}"}}
  jsm-payments: {{type: opsgenie, flavour: jsm, api_key_file: {secrets}/jsm-payments, url: "{jsm}"}}

people:
  ada: {{name: Ada, via: pagerduty-ada}}
  bob: {{name: Bob, via: jsm-payments, user: bob@example.com}}
  dee: {{name: Dee, via: pagerduty-dee}}

rotations:
  payments: {{zone: UTC, starts: 2026-01-05, people: [ada]}}

policies:
  payments:
    levels:
      - {{name: L1, page: [{{rotation: payments}}], wait: 6s}}
      - {{name: L2, page: [{{person: bob}}], wait: 30s}}
    last_resort: [{{person: dee}}]
  database:
    levels:
      - {{name: L1, page: [{{person: dee}}], wait: 1m}}
    last_resort: [{{person: bob}}]

route:
  policy: payments
  group_by: [service]
  routes:
    - {{name: database, matchers: ['team="database"'], policy: database}}

facts:
  error_ratio:
    promql: |
      sum(rate(http_requests_total{{service="{{{{service}}}}",code=~"5.."}}[5s]))
        / sum(rate(http_requests_total{{service="{{{{service}}}}"}}[5s]))

severity:
  default: SEV-4
  rules:
    - {{name: a tenth of the requests fail, severity: SEV-2, facts: {{error_ratio: {{at_least: 0.1}}}}}}
    - {{severity: SEV-3, matchers: ['severity="critical"']}}

windows:
  - name: ledger-upgrade
    reason: the replica of the ledger is upgraded
    owner: dee
    zone: UTC
    starts: {starts}
    ends: {ends}
    matchers: ['service="ledger"']
"""

SETTINGS = """\
prometheus: {{url: "{prometheus}"}}
sources:
  demo: {{token_file: {secrets}/alertmanager}}
tokens:
  ada: {{role: responder, token_file: {secrets}/token-ada}}
  bob: {{role: responder, token_file: {secrets}/token-bob}}
  dee: {{role: responder, token_file: {secrets}/token-dee}}
"""

SECRETS = {
    "pagerduty-ada": "ada".ljust(32, "0"),
    "pagerduty-dee": "dee".ljust(32, "0"),
    "jsm-payments": "jsm-demo-key",
    "alertmanager": "demo-alertmanager",
    "token-ada": "demo-ada",
    "token-bob": "demo-bob",
    "token-dee": "demo-dee",
}
"""Of stand-ins on this machine; they open nothing anywhere."""


def write(directory: Path, pagerduty: str, jsm: str, prometheus: str, now: datetime, window: timedelta) -> None:
    """Write rules, settings and secrets; a maintenance window of the ledger is open for `window` from now."""
    secrets = directory / "secrets"
    secrets.mkdir(mode=0o700)
    for name, secret in SECRETS.items():
        (secrets / name).write_text(secret)
    (directory / "rules").mkdir()
    starts, ends = now - timedelta(minutes=1), now + window
    rules = RULES.format(
        secrets=secrets,
        pagerduty=pagerduty,
        jsm=jsm,
        starts=starts.isoformat(),
        ends=ends.isoformat(timespec="seconds"),
    )
    (directory / "rules" / "demo.yaml").write_text(rules)
    (directory / "relay.yaml").write_text(SETTINGS.format(secrets=secrets, prometheus=prometheus))
