"""Dashboards and alerts speak of metrics that there are, in PromQL that can be parsed."""

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
DASHBOARDS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}
RULES = FOLDER / "relay.rules.yml"
SYNTHETIC = FOLDER.parent / "rules" / "prometheus" / "synthetic.rules.yml"


def shown(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield pytest.param(target["expr"].replace("$__rate_interval", "5m"), id=panel["title"])


def expressions():
    yield from shown(DASHBOARDS["relay"])
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


def test_what_an_alert_counts_is_there_before_it_has_happened():
    """To Prometheus a counter that is first seen at 1 has not increased: the first refusal ever would alert nobody."""
    metrics = Metrics()
    metrics.know(targets=["pd"], policies=["p"], sources=["prod"])
    shown = re.findall(r"^(\w+)(?:\{(.*)\})? 0\.0$", generate_latest(metrics.registry).decode(), re.MULTILINE)
    alerts = " ".join(rule.values[0] for rule in expressions() if rule.id.startswith("Relay"))
    for name, _, label in re.findall(r'increase\((\w+)(\{(\w+="\w+")\})?\[', alerts):
        assert [labels for found, labels in shown if found == name and label in labels], name


def test_what_is_named_here_is_shown_by_a_scrape(exposed):
    """The names above are those of the text format, not of the library's objects."""
    shown = {family.name for family in text_string_to_metric_families(generate_latest(Metrics().registry).decode())}
    assert {re.sub(r"_(total|bucket|sum|count|info)$", "", name) for name in exposed} == {
        re.sub(r"_(total|bucket|sum|count|info)$", "", name) for name in shown
    }


# ---- synthetic checks: what the rules say that a worker exports, and what the rules record -----------------------


@pytest.fixture(scope="module")
def recorded():
    written = SYNTHETIC.read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(written)["groups"] for rule in group["rules"]]
    contract = set(re.findall(r"\bprobe_\w+", written.partition("groups:")[0]))
    return contract | {rule["record"] for rule in rules if "record" in rule}


@pytest.mark.parametrize("expression", list(shown(DASHBOARDS["synthetic"])))
def test_the_dashboard_of_synthetic_checks_shows_what_there_is(expression, recorded):
    promql_parser.parse(expression)
    names = set(re.findall(r"(?<![\w:])(?:\w+:)?probe_\w+(?::\w+)?", expression))
    assert names
    assert names <= recorded


def test_the_dashboards_have_names_of_their_own():
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_two_panels_overlap_and_each_has_a_title(name):
    taken = set()
    for panel in DASHBOARDS[name]["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.servers
def test_prometheus_takes_the_alerts():
    checked = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
