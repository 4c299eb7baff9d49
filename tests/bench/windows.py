"""What maintenance windows cost each alert: ten of them, and ten thousand."""

import json
import time
from dataclasses import replace
from datetime import timedelta

from playbook import NOON, rules
from world import told

from relay.engine.rehearsal import Rehearsal, scratch_database
from relay.incident.maintenance import Windows
from relay.incident.window import Window

ALERTS = 1_500
TIMES = (
    {"weekly": {"days": ["wed", "sat"], "from": "11:00", "to": "15:00"}},
    {"rrule": "FREQ=MONTHLY;BYDAY=2TU", "starts": "2018-01-09T22:00", "duration": "3h"},
    {"cron": "30 2 * * 1-5", "duration": "45m"},
    {"starts": "2026-01-07T00:00", "ends": "2026-01-08T00:00"},
)
MATCHERS = (
    ["service=s{n}"],
    ['service=~"s{n}|t{n}"', "env=prod"],
    ["service=s{n}", 'alertname=~"Replica.*"'],
    ['service=~"s{n}-.*"'],
)


def made(count: int) -> Windows:
    """Windows of every kind of time and of matchers; half of them are open at noon."""
    return Windows(
        Window.model_validate(
            {
                "name": f"w{n}",
                "reason": "work",
                "owner": "ana",
                "zone": ("Europe/Berlin", "UTC", "America/New_York")[n % 3],
                "matchers": [text.format(n=n) for text in MATCHERS[n % 5 % 4]],
                **TIMES[n % 4],
            }
        )
        for n in range(count)
    )


def seconds_per_alert(windows: Windows) -> float:
    """CPU seconds of the engine for an alert that opens an incident and pages, all in."""
    with scratch_database() as database:
        stage = Rehearsal(database, replace(rules(), windows=windows), NOON)
        windows.open(NOON)  # the edges are computed when the rules are read
        began = time.process_time()
        for n in range(ALERTS):
            alert = told("Slow", service=f"x{n}", env="prod")
            stage.receive(json.dumps({"version": "4", "groupKey": "g", "alerts": [alert]}).encode())
            stage.clock.advance(timedelta(milliseconds=100))
            stage.settle()
        return (time.process_time() - began) / ALERTS


def ratios(rounds: int) -> list[float]:
    """Ten thousand windows to ten, in the order A B B A."""
    few, many = made(10), made(10_000)
    found = []
    for _ in range(rounds):
        times = [seconds_per_alert(windows) for windows in (few, many, many, few)]
        found.append((times[1] + times[2]) / (times[0] + times[3]))
    return found
