"""The dashboard and the alerts on Relay itself speak of metrics that Relay has, in PromQL that can be parsed."""

import json
import re
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from relay.engine.metrics import Metrics

FOLDER = Path(__file__).parents[1] / "dashboards"
DASHBOARD = json.loads((FOLDER / "relay.json").read_text(encoding="utf-8"))
RULES = FOLDER / "relay.rules.yml"


def expressions():
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield pytest.param(target["expr"].replace("$__rate_interval", "5m"), id=panel["title"])
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield pytest.param(rule["expr"], id=rule["alert"])


@pytest.fixture(scope="module")
def exposed():
    """Names of series and of their labels, as /metrics shows them once everything has happened."""
    metrics = Metrics()
    names = {}
    for family in metrics.registry.collect():
        labels = getattr(metrics.registry._names_to_collectors.get(family.name), "_labelnames", ())
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"]}
        for suffix in suffixes.get(family.type, [""]):
            names[family.name + suffix] = {*labels, *(["le"] if suffix == "_bucket" else [])}
    return names


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_is_sound_and_of_metrics_that_exist(expression, exposed):
    promql_parser.parse(expression)
    for name in re.findall(r"\brelay_\w+", expression):
        assert name in exposed
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        known = set().union(*(exposed[name] for name in re.findall(r"\brelay_\w+", expression)))
        assert {label.strip() for label in labels.split(",")} <= known


def test_what_is_named_here_is_shown_by_a_scrape(exposed):
    """The names above are those of the text format, not of the library's objects."""
    shown = {family.name for family in text_string_to_metric_families(generate_latest(Metrics().registry).decode())}
    assert {re.sub(r"_(total|bucket|sum|count|info)$", "", name) for name in exposed} == {
        re.sub(r"_(total|bucket|sum|count|info)$", "", name) for name in shown
    }


def test_no_two_panels_overlap_and_each_has_a_title():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.servers
def test_prometheus_takes_the_alerts():
    checked = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
