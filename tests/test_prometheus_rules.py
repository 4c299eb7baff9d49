"""The rules for Prometheus: promtool takes them, their stories hold, and a story fails when a clause is missing."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from relay.demo.programs import need

FOLDER = Path(__file__).parents[1] / "rules" / "prometheus"
RULES = FOLDER / "synthetic.rules.yml"
STORIES = FOLDER / "synthetic_test.yml"
DOCS = FOLDER.parents[1] / "docs" / "synthetic-verdicts.md"
EVERY = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in EVERY if "alert" in rule]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    need(["promtool"], print)
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.servers
def test_prometheus_takes_the_rules():
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.servers
def test_every_story_is_told():
    tested = promtool("test", "rules", STORIES)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_no_alert_without_a_story():
    alerts = {rule["alert"] for rule in ALERTS}
    assert alerts == {alert for alert in alerts if f'alertname="{alert}",alertstate="firing"' in STORIES.read_text()}


def test_every_alert_says_what_to_do_where_the_docs_have_it():
    page = DOCS.read_text()
    for rule in ALERTS:
        assert {"summary", "description", "runbook_url"} == rule["annotations"].keys(), rule["alert"]
        heading = rule["annotations"]["runbook_url"].partition("#")[2]
        verdict = re.search(r'verdict="(\w+)"', rule["expr"])
        assert f"\n### {verdict[1] if verdict and '{{' in heading else heading}\n" in page, rule["alert"]
        assert re.search(rf"\| {rule['alert']}\b.*\| {rule['labels']['severity']} \|", page), rule["alert"]


def test_rules_read_what_they_say_that_they_read():
    contract = set(re.findall(r"\bprobe_\w+", RULES.read_text().partition("groups:")[0]))
    written = " ".join(text for rule in EVERY for text in (rule["expr"], *rule.get("annotations", {}).values()))
    read = set(re.findall(r"(?<![\w:])probe_\w+", written))
    assert read == contract - {"probe_success", "probe_duration_seconds"}, "those two are for dashboards"
    assert set(re.findall(r"\w+:probe_\w+:\w+", written)) <= {rule["record"] for rule in EVERY if "record" in rule}


def test_relay_s_stories_are_of_alerts_that_there_are():
    told = set(re.findall(r"alertname: (Synthetic\w+)", (FOLDER.parent / "relay" / "verdicts_test.yaml").read_text()))
    assert told <= {rule["alert"] for rule in ALERTS}


# ---- the stories can fail ---------------------------------------------------------------------------------------

MUTANTS = {  # what is broken: what is taken out of the rules, what comes in its place, and the story that sees it
    "a blind location is believed": (
        " and on (location) (location:probe_trusted:bool == 1)",
        "",
        "a location goes blind",
    ),
    "a control that has stopped vouches": (
        'or max by (location) (probe_check_interval_seconds{role="control"}) * 0',
        "",
        "the controls of a location have stopped",
    ),
    "a stale result counts": ("2 * probe_check_interval_seconds + 60)\n", "1e9)\n", "a worker hangs"),
    "NaN is a result": ("(probe_state >= 0)", "probe_state", "NaN is no result"),
    "two workers at one location are two voices": ("min by (check, service", "max by (check, service", "two workers"),
    "one voice is a quorum": ("probe_state:blamed) >= 2", "probe_state:blamed) >= 1", "one of two locations"),
    "a quorum is never reached": ("trusted:count >= 0.5", "trusted:count >= 5", "of five locations a check"),
    "a quorum is any two": ("trusted:count >= 0.5", "trusted:count >= 0", "two of five locations"),
    "what is explained pages": (" unless check_location:probe_state:explained", "", "the database below fails"),
    "only the next step explains": (
        "dependency_failing:depth4\n            or",
        "dependency_failing:depth1\n            or",
        "the database below fails",
    ),
    "a lower layer of the service explains nothing": (
        'and on (service, location) (check_location:probe_state:trusted{layer="network"} == 2)',
        "and vector(0)",
        "the network of a service fails",
    ),
    "a higher layer explains": ("            >=\n", "            > -\n", "a lower layer that depends"),
    "who is blamed speaks for itself alone": (
        " or check_location:probe_state:felt)\n\n",
        ")\n\n",
        "the database below fails",
    ),
    "a moment is enough": ("for: 30s", "for: 0s", "a blip"),
    "it is over at once": ("keep_firing_for: 2m", "keep_firing_for: 0s", "one of three locations"),
    "it never comes and goes": ("[30m]) >= 5", "[30m]) >= 500", "it fails for a minute"),
    "mixed runs are well": ("[30m]) >= 0.8", "[30m]) > 1", "one request in three"),
    "what lasts still comes and goes": ("[10m]) == 1 and", "[10m]) == 5 and", "what came and went"),
    "losing sight of an outage ends it": (
        "or (\n              check_region:probe_failing:last_seen",
        "or (\n              vector(0)",
        "a worker dies while its",
    ),
    "what was never told is lost": (
        'and on (check, region) ALERTS{alertname=~"SyntheticFailing.+", alertstate="firing"}',
        "",
        "a location goes blind",
    ),
    "what is removed is lost": ("and on (check) check:probe_planned:info\n", "", "a check is removed"),
    "what was to run is forgotten": (
        "last_over_time(probe_check_info[1h])",
        "(probe_check_info > 1)",
        "all workers are gone",
    ),
}


@pytest.mark.servers
@pytest.mark.parametrize(("clause", "instead", "story"), MUTANTS.values(), ids=MUTANTS)
def test_a_story_fails_without_a_clause(tmp_path, clause, instead, story):
    written = RULES.read_text()
    assert clause in written, "the clause is written otherwise now: change this test too"
    stories = yaml.safe_load(STORIES.read_text())
    stories["tests"] = [test for test in stories["tests"] if test["name"].startswith(story)]
    assert len(stories["tests"]) == 1, f"no story, or several, called {story}"
    (tmp_path / STORIES.name).write_text(json.dumps(stories))
    (tmp_path / RULES.name).write_text(written)
    assert promtool("test", "rules", tmp_path / STORIES.name).returncode == 0
    (tmp_path / RULES.name).write_text(written.replace(clause, instead))
    assert promtool("check", "rules", tmp_path / RULES.name).returncode == 0, "a mutant is to be sound PromQL"
    assert promtool("test", "rules", tmp_path / STORIES.name).returncode != 0
