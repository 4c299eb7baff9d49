"""The rules that stories are told by: plain, with windows, fallbacks, expiring answers, criteria and damping."""

from dataclasses import replace
from datetime import timedelta

from playbook import RULES as RULES_TEXT
from playbook import rules

from relay.incident.fallback import Fallback

WINDOWS = """
  - name: backup
    reason: it is loud
    owner: team-ledger
    zone: Europe/Berlin
    weekly: {days: [wednesday, thursday], from: "13:10", to: "13:40"}
    matchers: ['service="ledger"']
    never_suppress: [SEV-1]
"""
EVERYTHING = """
  - {name: mail, reason: r, owner: o, zone: UTC, cron: "20 * * * *", duration: 25m, matchers: [service=search],
     redirect: pd-noc, grace: 3m, pause_escalations: true}
  - {name: few, reason: r, owner: o, zone: UTC, cron: "5 * * * *", duration: 1h, matchers: [service=ledger],
     max_suppressed: 1, never_suppress: [SEV-2], suppress: notifications, pause_escalations: true}
  - {name: tried, reason: r, owner: o, zone: UTC, cron: "0 * * * *", duration: 1h, matchers: [service=checkout],
     mode: shadow}
"""
CRITERIA = """
    jump: [{at_least: SEV-2, to: L2}, {after: 10m, to: L3}]
    quiet: {at_most: SEV-4, hours: {zone: UTC, from: "09:00", to: "13:30"}}
    repeat: 1
"""
PLAIN = rules()
JUDGING = RULES_TEXT.replace("default: SEV-3", "default: SEV-4\n  lower_after: 5m").replace(
    "    jump: [{at_least: SEV-1, to: L2}]\n", CRITERIA.lstrip("\n")
)
DAMPED = JUDGING.replace("group_by: [service]}", "group_by: [service], hold_for: 2m}")
RULEBOOKS = (
    PLAIN,
    rules(windows=WINDOWS),
    replace(PLAIN, fallbacks={"pd-ada": Fallback("pd-noc", timedelta(minutes=1))}),
    replace(
        PLAIN,
        policies={"payments": PLAIN.policies["payments"].model_copy(update={"ack_expires": timedelta(minutes=20)})},
    ),
    rules(DAMPED, windows=EVERYTHING),
    replace(rules(JUDGING, windows=EVERYTHING), fallbacks={"pd-noc": Fallback("pd-ada", timedelta(minutes=1))}),
)
