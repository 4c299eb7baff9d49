"""`relay replay`: what was recorded, through other rules."""

import json
import re
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner
from playbook import RULES, TARGETS
from world import World, ended, told

from relay.cli import main
from relay.clock import WallClock
from relay.incident.events import Acknowledged, SeveritySet
from relay.store.database import open_database


def relay(*words):
    return CliRunner().invoke(main, ["replay", *map(str, words)], catch_exceptions=False)


def moment(at):
    return at.isoformat().replace("+00:00", "Z")


@pytest.fixture
def recorded(tmp_path):
    """Two days in which four incidents happened; the first was acknowledged after two minutes."""
    database = open_database(f"sqlite:///{tmp_path / 'data' / 'relay.db'}")
    start = WallClock().now() - timedelta(days=2)
    world = World(database, start=start)
    critical = told("Down", severity="critical", starts=moment(start))
    world.post(critical).after(minutes=2).act("INC-1", Acknowledged("ada")).after(hours=1)
    world.post(ended(critical, moment(world.clock.now())))
    for service in ("search", "ledger", "cart"):
        world.after(hours=2)
        slow = told("Slow", service=service, starts=moment(world.clock.now()))
        world.post(slow).after(minutes=6).post(ended(slow, moment(world.clock.now())))
    database.close()
    targets = "".join(f"  {name}: {{type: pagerduty, routing_key_file: {tmp_path}/pd}}\n" for name in TARGETS)

    def rules(name, text=RULES):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "rules.yaml").write_text(f"targets:\n{targets}{text}")
        return tmp_path / name

    def replay(text, *words):
        against, new = rules("old"), rules("new", text)
        return relay("--rules", new, "--against", against, "--data", tmp_path / "data", *words)

    return replay


def test_the_same_rules_change_nothing(recorded):
    said = recorded(RULES)
    assert said.exit_code == 0
    lines = [line.split() for line in said.output.splitlines()]
    assert ["incidents", "4", "4"] in lines
    assert ["pages", "7", "7"] in lines  # the acknowledged one rang nobody else
    assert ["pd-ada", "4", "4"] in lines or ["pd-bob", "4", "4"] in lines
    assert len(lines) == 4 + len({line[0] for line in lines if line[0].startswith("pd-")})


def test_a_severe_incident_that_would_page_nobody_is_a_finding(recorded):
    times, covers = 'cron: "0 * * * *", duration: 1h', "matchers: ['service=~\"checkout|cart\"']"
    window = f"windows:\n  - {{name: always, reason: r, owner: o, zone: UTC, {times}, {covers}}}\n"
    said = recorded(RULES + window)
    assert said.exit_code == 1
    assert "nobody is paged any more: 2" in said.output
    assert "SEV-2  Down (service=checkout): held by maintenance window always (" in said.output
    assert said.stderr == "\n1 of SEV-1 or SEV-2 would page nobody\n"


def test_what_else_is_different_is_listed(recorded):
    text = RULES.replace("group_by: [service]}", "group_by: [service], hold_for: 5m}")
    text = text.replace("severity: SEV-2, matchers", "severity: SEV-1, matchers")
    said = recorded(text)
    assert said.exit_code == 0
    assert "paged later: 4" in said.output
    assert "first page 0:05:00 later" in said.output
    assert "another severity: 1" in said.output
    assert "SEV-2 becomes SEV-1: rule severity=" in said.output
    assert "paged now, and not before" not in said.output


def test_what_was_held_before_and_pages_now(recorded, tmp_path):
    held = RULES.replace("default: SEV-3", "default: SEV-4\n  page_at_least: SEV-3")
    said = recorded(held)
    assert "nobody is paged any more: 3" in said.output
    assert said.exit_code == 0  # they were no worse than SEV-3
    back = relay("--rules", tmp_path / "old", "--against", tmp_path / "new", "--data", tmp_path / "data", "-o", "json")
    found = json.loads(back.output)
    assert [change["difference"][:8] for change in found["paged"]] == ["was held"] * 3
    assert found["new"]["pages"] == {**found["new"]["pages"]}
    assert found["severe_misses"] == 0


def test_only_what_is_asked_for_is_replayed(recorded):
    said = recorded(RULES, "--since", "44h")  # the first began 48 h ago, the others from 45 h on
    assert said.output.splitlines()[1].split() == ["incidents", "2", "2"]


def test_nothing_recorded_is_no_success(recorded):
    said = recorded(RULES, "--since", "1h")
    assert said.exit_code == 3
    assert said.stderr == "nothing was recorded in the last 1h: is it the right database?\n"


def window(name, covers, more=""):
    times = 'cron: "0 * * * *", duration: 1h'
    return f"windows:\n  - {{name: {name}, reason: r, owner: o, zone: UTC, {times}, matchers: ['{covers}']{more}}}\n"


def test_a_severity_that_only_facts_or_people_knew_counts_as_it_was_recorded(recorded, tmp_path):
    worse = told("Slow", service="pay", starts=moment(WallClock().now() - timedelta(hours=3)))
    database = open_database(f"sqlite:///{tmp_path / 'data' / 'relay.db'}")
    world = World(database, start=WallClock().now() - timedelta(hours=3))
    world.post(worse)
    [incident] = [one for one in world.incidents() if one.group["service"] == "pay"]
    world.act(incident.id, SeveritySet("ana", 1, "nobody can pay"))
    database.close()
    said = recorded(RULES + window("pay", "service=pay"))
    assert (said.exit_code, said.stderr) == (1, "\n1 of SEV-1 or SEV-2 would page nobody\n")
    assert "SEV-1  Slow (service=pay): held by maintenance window pay (" in said.output


def test_what_a_window_pages_instead_is_missed_all_the_same(recorded):
    said = recorded(RULES + window("down", "service=checkout", ", redirect: pd-noc"))
    assert said.exit_code == 1
    assert "SEV-2  Down (service=checkout): held by maintenance window down (" in said.output
    assert ", which pages pd-noc instead\n" in said.output


def test_that_somebody_else_is_rung_is_listed(recorded):
    said = recorded(RULES.replace("people: [ada, bob]", "people: [chen]"))
    assert said.exit_code == 0
    assert "somebody else is paged first: 4" in said.output
    assert "Down (service=checkout): rings Chen first, not " in said.output


def test_a_prometheus_that_knows_nothing_any_more_is_told_of(recorded):
    facts = 'facts: {errors: {promql: "e"}}\n'
    text = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}}\n" + facts
    said = recorded(text, "--prometheus", "http://127.0.0.1:9")
    assert said.exit_code == 3
    assert re.search(r"warning: (\d+) of \1 facts could not be looked up", said.stderr)


def test_a_prometheus_that_refuses_every_question_is_told_of_with_its_words(recorded, tmp_path):
    heard = []

    class Refuses(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.headers.get("Authorization"))
            body = b'{"status": "error", "errorType": "x", "error": "who are you?"}'
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    (tmp_path / "token").write_text("t0k")
    facts = 'facts: {errors: {promql: "e"}}\n'
    text = RULES + "    - {severity: SEV-1, facts: {errors: {at_least: 0.5}}}\n" + facts
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        said = recorded(text, "--prometheus", url, "--prometheus-token-file", tmp_path / "token")
        server.shutdown()
    assert said.exit_code == 3
    assert re.search(
        r"(\d+) of \1 facts could not be looked up: Prometheus refused it \(HTTP 401\): who are", said.stderr
    )
    assert set(heard) == {"Bearer t0k"}


def test_what_cannot_be_replayed_is_said(recorded, tmp_path):
    assert recorded("route: {}\n").exit_code == 2
    old = tmp_path / "old"
    said = relay("--rules", old, "--against", old, "--data", tmp_path / "nothing")
    assert said.exit_code == 3
    assert f"there is no database at {tmp_path}/nothing/relay.db" in said.stderr
