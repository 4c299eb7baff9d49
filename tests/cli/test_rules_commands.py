"""`relay check`, `relay explain`, `relay serve` with something wrong: what people read, and the exit code."""

import json
import re
import socket
import sqlite3
import stat
from hashlib import sha256

import pytest
from click.testing import CliRunner
from service import RULES

from relay.cli import COMMANDS, main


def relay(*words, **options):
    return CliRunner().invoke(main, words, catch_exceptions=False, **options)


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "pd").write_text("0123456789abcdef0123456789abcdef")
    written = tmp_path / "rules.yaml"
    written.write_text(RULES.format(secrets=tmp_path, pagerduty="http://127.0.0.1:9"))
    return written


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_is_for(command):
    said = relay(command, "--help")
    assert said.exit_code == 0
    assert re.search(r"^  [A-Z].{20,}", said.output, re.MULTILINE)
    assert command in relay("--help").output


def test_a_command_that_does_not_exist_is_wrong_usage():
    said = relay("chekc")
    assert said.exit_code == 2
    assert "No such command 'chekc'" in said.output


class TestCheck:
    def test_sound_rules(self, rules):
        said = relay("check", str(rules))
        assert (said.exit_code, said.stderr) == (0, "")
        assert re.fullmatch(
            r"the rules are sound \(revision \w{12}\): 1 route, 1 policy, 0 rotations, 0 severity rules, 0 windows, "
            r"2 targets\n",
            said.stdout,
        )

    def test_every_mistake_at_once_with_its_place_and_what_to_write(self, tmp_path):
        path = tmp_path / "rules.yaml"
        path.write_text("route: {policy: payment, group_bye: [service]}\npolicies:\n  payments:\n    levels: []\n")
        said = relay("check", str(path))
        assert said.exit_code == 1
        assert said.stderr == "4 mistakes\n"
        assert [line for line in said.stdout.splitlines() if line.startswith(f"{path}:")] == [
            f'{path}:1:1: "group_by" is missing',
            f'{path}:1:26: unknown key "group_bye"',
            f'{path}:3:3: "last_resort" is missing',
            f'{path}:4:13: "levels" has too few',
        ]
        assert re.search(r"^ +\^+ ", said.stdout, re.MULTILINE)

    def test_mistakes_of_every_kind_in_several_files_at_once(self, tmp_path):
        (tmp_path / "a.yaml").write_text(
            "targets:\n"
            "  pd: {type: pagerdooty}\n"
            "  og: {type: opsgenie, api_key_file: /nowhere/og, fallback: pdd}\n"
            "people: {ada: {via: pd}, ada: {via: og}, bob: {via: ogg}}\n"
        )
        (tmp_path / "b.yaml").write_text(
            "route: {policy: p, group_by: [service], hold_for: soon}\n"
            "routes:\n  - {matchers: [a=b], policy: q}\n  - {matchers: 7}\n"
            "policies:\n"
            "  p: {levels: [{name: L1, page: [{person: adda}], wait: 5m}], last_resort: [{person: ada}]}\n"
            "  broken: {levels: x}\n"
            "windows: []\n"
        )
        said = relay("check", str(tmp_path), "--secrets", "-o", "json")
        assert [(item["file"][-6:], item["line"], item["problem"]) for item in json.loads(said.stdout)] == [
            ("a.yaml", 2, '"pagerdooty" is not one of the choices'),
            ("a.yaml", 3, "the secret file /nowhere/og cannot be read: No such file or directory"),
            ("a.yaml", 3, 'there is no target "pdd"'),
            ("a.yaml", 4, '"ada" is written twice'),
            ("a.yaml", 4, 'there is no target "ogg"'),
            ("b.yaml", 1, '"soon" cannot be used'),
            ("b.yaml", 3, 'there is no policy "q"'),
            ("b.yaml", 4, '"7" cannot be used'),
            ("b.yaml", 6, 'there is no person "adda"'),
            ("b.yaml", 7, '"last_resort" is missing'),
            ("b.yaml", 7, '"x" cannot be used'),
        ]

    def test_while_a_file_cannot_be_read_at_all_no_name_is_said_to_be_missing(self, tmp_path):
        (tmp_path / "a.yaml").write_text("people: {ada: {via: pd\n")
        (tmp_path / "b.yaml").write_text("overrides: [{rotation: r, person: ada, starts: 2026-01-05}]\n")
        said = relay("check", str(tmp_path), "-o", "json")
        assert [(item["file"][-6:], item["problem"]) for item in json.loads(said.stdout)] == [
            ("a.yaml", "while parsing a flow mapping: did not find expected ',' or '}'"),
            ("b.yaml", '"ends" is missing'),
        ]

    def test_probe_files_below_the_rules_are_checked_too(self, rules, tmp_path):
        directory = tmp_path / "all"
        (directory / "probes").mkdir(parents=True)
        (directory / "rules.yaml").write_text(rules.read_text())
        probes = directory / "probes" / "a.yaml"
        probes.write_text("checks:\n  - {name: a, kind: tcp, target: 'db:5432'}\n")
        assert relay("check", str(directory)).stdout.endswith("\n1 synthetic check in order\n")
        probes.write_text("checks:\n  - {name: a, kind: tcp, target: 'db'}\n")
        said = relay("check", str(directory))
        assert (said.exit_code, f"{probes}:2:34: " in said.stdout) == (1, True), said.stdout
        assert "sound" not in said.stdout

    def test_stories_beside_the_rules_are_checked_too(self, rules, tmp_path):
        directory = tmp_path / "all"
        directory.mkdir()
        (directory / "rules.yaml").write_text(rules.read_text())
        story = "tests:\n  - name: a\n    zone: UTC\n    starts: 2026-01-07T12:00\n    steps:\n"
        (directory / "a_test.yaml").write_text(f"{story}      - expect: {{payed: []}}\n")
        said = relay("check", str(directory))
        assert (said.exit_code, said.stderr) == (1, "1 mistake\n")
        assert 'a_test.yaml:6:18: unknown key "payed"' in said.stdout
        assert 'did you mean "paged"?' in said.stdout

    @pytest.mark.parametrize("name", ["probes", "probes/a.yaml", "elsewhere"])
    def test_probe_files_alone_are_checked_as_such(self, tmp_path, name):
        for folder in ("probes", "elsewhere"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.yaml").write_text(
                "locations: [eu]\nchecks:\n  - {name: a, kind: tcp, target: 'db:5432'}\n"
            )
        assert relay("check", str(tmp_path / name)).stdout == "1 synthetic check in order\n"
        for folder in ("probes", "elsewhere"):
            (tmp_path / folder / "a.yaml").write_text("locations: [eu]\ncheck: []\n")
        said = relay("check", str(tmp_path / name))
        assert (said.exit_code, 'unknown key "check"' in said.stdout, "rotations" in said.stdout) == (1, True, False)

    def test_mistakes_for_machines(self, tmp_path):
        path = tmp_path / "rules.yaml"
        path.write_text("route: {policy: payment, group_bye: [service]}\n")
        said = relay("check", str(path), "-o", "json")
        assert said.exit_code == 1
        found = json.loads(said.stdout)
        assert {(item["file"], item["line"], item["level"]) for item in found} == {(str(path), 1, "error")}

    def test_a_secret_file_that_is_missing_is_a_warning_unless_asked(self, rules, tmp_path):
        (tmp_path / "pd").unlink()
        warned = relay("check", str(rules))
        assert warned.exit_code == 0
        assert warned.stdout.count("warning: the secret file") == 2
        refused = relay("check", str(rules), "--secrets")
        assert refused.exit_code == 1
        assert "2 mistakes" in refused.stderr

    def test_a_query_is_read_as_prometheus_would_read_it(self, rules):
        written = rules.read_text()
        line = written.count("\n") + 3
        rules.write_text(written + "facts:\n  f:\n    promql: sum(rate(x[5m])\n")
        refused = relay("check", str(rules))
        assert refused.exit_code == 1
        assert f"{rules}:{line}:13: " in refused.stdout
        assert "unclosed left parenthesis" in refused.stdout

    def test_a_function_that_is_not_known_is_a_warning(self, rules):
        line = rules.read_text().count("\n") + 1
        rules.write_text(rules.read_text() + "facts: {f: {promql: 'from_the_future(x{a=\"{{a}}\"})'}}\n")
        warned = relay("check", str(rules))
        assert warned.exit_code == 0
        assert f'{rules}:{line}:21: warning: unknown function "from_the_future"' in warned.stdout

    def test_a_directory_that_is_not_there(self, tmp_path):
        said = relay("check", str(tmp_path / "nowhere"))
        assert said.exit_code == 1
        assert "nowhere" in said.stdout


ALERTMANAGER = """\
route: {receiver: relay, group_interval: 30s, repeat_interval: 1m}
receivers:
  - name: relay
    webhook_configs:
      - url: https://relay.example.com/api/v1/webhooks/alertmanager/prod
        http_config: {follow_redirects: false, authorization: {credentials_file: token}}
"""


class TestCheckAlertmanager:
    @pytest.fixture
    def upstream(self, tmp_path):
        written = tmp_path / "alertmanager.yml"
        written.write_text(ALERTMANAGER)
        return written

    def test_it_is_checked_alone_or_with_the_rules(self, upstream, rules):
        alone = relay("check", "--alertmanager", str(upstream))
        assert (alone.exit_code, alone.stdout) == (0, f"{upstream} feeds Relay well\n")
        both = relay("check", str(rules), "--alertmanager", str(upstream))
        assert both.exit_code == 0
        assert [line.split(" (")[0] for line in both.stdout.splitlines()] == [
            "the rules are sound",
            f"{upstream} feeds Relay well",
        ]

    def test_mistakes_of_both_are_told_at_once(self, upstream, tmp_path):
        (tmp_path / "rules.yaml").write_text("route: {policy: payment}\n")
        upstream.write_text(ALERTMANAGER.replace("http_config", "max_alerts: 5\n        http_config"))
        said = relay("check", str(tmp_path / "rules.yaml"), "--alertmanager", str(upstream), "-o", "json")
        assert said.exit_code == 1
        assert [(found["file"].rpartition("/")[2], found["line"]) for found in json.loads(said.stdout)] == [
            ("rules.yaml", 1),
            ("alertmanager.yml", 6),
        ]

    def test_the_rules_say_what_the_watchdog_is(self, upstream, rules):
        routed = ALERTMANAGER.replace("}\n", ", routes: [{matchers: [alertname=Beat], receiver: no}]}\n", 1)
        upstream.write_text(routed + "  - name: no\n")
        rules.write_text(rules.read_text() + "watchdog: {matchers: [alertname=Beat]}\n")
        assert "goes to" not in relay("check", "--alertmanager", str(upstream)).stdout
        warned = relay("check", str(rules), "--alertmanager", str(upstream))
        assert warned.exit_code == 0
        assert 'warning: the Watchdog goes to "no", not to Relay' in warned.stdout
        assert "feeds Relay well, but for the warnings" in warned.stdout

    @pytest.mark.parametrize(("text", "problem"), [(None, "cannot be read"), ("a: [", "mend the YAML here"), ("a", "")])
    def test_what_cannot_be_read_is_a_mistake(self, tmp_path, text, problem):
        path = tmp_path / "am.yml"
        if text:
            path.write_text(text)
        said = relay("check", "--alertmanager", str(path))
        assert said.exit_code == 1
        assert f"{path}:" in said.stdout
        assert problem in said.stdout

    def test_a_secret_in_a_line_that_is_no_yaml_is_not_shown(self, upstream):
        upstream.write_text("credentials: hunter2: 5\n")
        said = relay("check", "--alertmanager", str(upstream))
        assert f"{upstream}:1:21: mapping values are not allowed" in said.output
        assert "hunter2" not in said.output


class TestCheckSettings:
    """`relay check --config`: what the service would complain of when it starts, before it does."""

    @pytest.fixture
    def settings(self, rules, tmp_path):
        (tmp_path / "hook").write_text("secret")
        path = tmp_path / "relay.yaml"
        path.write_text(f"rules: {rules}\nsources: {{prod: {{token_file: {tmp_path}/hook}}}}\n")
        return path

    def test_the_settings_are_checked_with_the_rules_that_they_name(self, settings, rules):
        said = relay("check", "--config", str(settings))
        assert (said.exit_code, said.stderr) == (0, "")
        assert re.fullmatch(rf"the rules are sound .*\n{re.escape(str(settings))} is in order\n", said.stdout)
        rules.write_text("route: 5\n")
        said = relay("check", "--config", str(settings))
        assert (said.exit_code, f"{rules}:1:8" in said.stdout, f"{settings} is in order" in said.stdout) == (
            1,
            True,
            True,
        )

    def test_mistakes_of_both_are_told_at_once(self, settings, rules):
        settings.write_text("sources: {prod: {tokenfile: x}}\nlisten: nowhere\n")
        rules.write_text("route: 5\n")
        said = relay("check", str(rules), "--config", str(settings))
        assert said.exit_code == 1
        for place in (f'{settings}:1:18: unknown key "tokenfile"', f"{settings}:2:9: ", f"{rules}:1:8: "):
            assert place in said.stdout
        said = relay("check", "--config", str(settings))
        assert (said.exit_code, str(rules) in said.stdout) == (1, False)

    def test_a_secret_that_is_missing_is_a_warning_unless_asked(self, settings, tmp_path):
        (tmp_path / "hook").unlink()
        said = relay("check", "--config", str(settings))
        assert said.exit_code == 0
        assert f"{settings}:2:30: warning: the secret file {tmp_path}/hook cannot be read: No such file" in said.stdout
        assert relay("check", "--config", str(settings), "--secrets").exit_code == 1

    def test_a_target_of_a_pager_that_the_rules_do_not_know_is_a_warning(self, settings):
        pager = "{type: pagerduty, webhook_secret_env: HOME, targets: [pd-adda]}"
        settings.write_text(f"{settings.read_text()}pagers:\n  main: {pager}\n")
        said = relay("check", "--config", str(settings))
        assert said.exit_code == 0
        assert 'warning: there is no target "pd-adda": did you mean "pd-ada"?' in said.stdout
        assert re.search(rf"^{settings}:4:\d+: warning:", said.stdout, re.MULTILINE)
        assert "is in order, but for the warnings" in said.stdout

    @pytest.mark.parametrize("command", [("check",), ("explain", "a=b", "--rules"), ("serve", "--rules")])
    def test_settings_in_the_place_of_rules_are_named_as_such(self, settings, command):
        said = relay(*command, str(settings))
        assert said.exit_code == 1
        assert f"{settings}:1:1: this is a settings file, which `relay serve --config` reads\n" in said.output
        assert "relay check --config" in said.output
        assert "unknown key" not in said.output


def test_mistakes_as_github_reads_them(tmp_path):
    """What ends a value, a property or a line is escaped as the Actions runner unescapes it."""
    path = tmp_path / "a,b:100%.yaml"
    path.write_text('"p,\\n%": 1\n')
    said = relay("check", str(path), "--format", "github")
    assert said.exit_code == 1
    line, _ = said.stdout.splitlines()  # the other: there is no root route
    found = re.fullmatch(r"::error file=([^,:]+),line=1,col=1,endColumn=8,title=([^,:]+)::(.+)", line)
    assert found
    assert found[1] == f"{tmp_path}/a%2Cb%3A100%25.yaml"
    assert found[2] == 'unknown key "p%2C%0A%25"'
    assert found[3].startswith('unknown key "p,%0A%25": ')


class TestExplain:
    def explain(self, rules, *words):
        return relay("explain", "--rules", str(rules), *words)

    def test_who_is_rung_when_and_by_which_line(self, rules):
        said = self.explain(rules, "alertname=Down", "service=shop", "--at", "2026-03-29T02:30+02:00")
        assert said.exit_code == 0
        lines = said.output.splitlines()
        assert lines[0] == f"route     root ({rules}:13)"
        assert lines[1] == f"policy    p ({rules}:9)"
        assert lines[2] == "group     p{service='shop'}"
        paged = [(line.split()[0], line.split()[2]) for line in lines if " paged " in line]
        assert paged == [("+0s", "Ada"), ("+1h", "Bob")]

    def test_labels_may_be_written_as_in_a_query(self, rules):
        at = ("--at", "2026-03-29T02:30+02:00")
        said = self.explain(rules, '{alertname="Down", service="shop"}', *at)
        assert said.output == self.explain(rules, "alertname=Down", "service=shop", *at).output

    def test_for_machines(self, rules):
        said = json.loads(self.explain(rules, "alertname=Down", "--at", "2026-03-29T02:30", "-o", "json").output)
        assert said["at"] == "2026-03-29T02:30:00+00:00"
        assert {"after": "+0s", "event": "Opened"}.items() <= said["story"][0].items()

    def test_a_calendar_that_only_the_service_fetches_is_said_to_be_unknown(self, rules):
        calendar = "calendar: {url: https://psp.example/x.ics}, matchers: [service=shop]"
        window = f"windows: [{{name: cards, reason: work, owner: ana, zone: UTC, {calendar}}}]\n"
        rules.write_text(rules.read_text() + window)
        said = "covers it, when its calendar says so: it is not known here"
        assert said in self.explain(rules, "alertname=Down", "service=shop").output
        assert said not in self.explain(rules, "alertname=Down", "service=other").output

    @pytest.mark.parametrize(
        ("words", "complaint"),
        [
            (["Down"], '"Down" is not a label: write name=value'),
            (["=Down"], '"=Down" is not a label: write name=value'),
            (["alertname=~Down"], '"alertname=~Down" fits many alerts: write the one value that a label has'),
            (["alertname!=Down"], '"alertname!=Down" fits many alerts'),
            (['{alertname=~"Down"}'], 'alertname=~"Down" fits many alerts'),
            (['{alertname="Down"'], "write matchers in braces as in a query"),
            (['{alertname="Down" service="x"}'], "write matchers in braces as in a query"),
            (["alertname="], '"alertname" has no value: a label that is empty is none, leave it out'),
            (['service"=x'], "is no name of a label"),
            (["a=b", "--at", "tomorrow"], '"tomorrow" is not a time: write 2026-03-29T02:30+02:00'),
            (["a=b", "--at", "0001-01-01T00:00"], "is too far away: write a year from 1970 to 2999"),
            (["a=b", "--at", "9999-12-31T00:00-02:00"], "is too far away: write a year from 1970 to 2999"),
            (["a=b", "--fact", "x=many"], '"many" is not a number'),
            (["a=b", "--fact", "x"], '"x" is not a fact: write name=value'),
            (["a=b", "--fact", "x=inf"], '"inf" is taken as unknown, as Relay takes it from Prometheus'),
            (["a=b", "--for", "3650d"], "--for can be at most 7d"),
            (["a=b", "--for", "1 fortnight"], "write a duration such as 30s, 5m, 1h30m or 2d"),
            ([], "Missing argument"),
        ],
    )
    def test_wrong_usage(self, rules, words, complaint):
        said = self.explain(rules, *words)
        assert said.exit_code == 2
        assert complaint in said.output

    def test_a_fact_that_is_misspelt_is_no_fact(self, rules):
        none = 'there is no fact "eror_ratio": there is none to choose from yet'
        said = self.explain(rules, "service=shop", "--fact", "eror_ratio=0.9")
        assert (said.exit_code, none in said.output) == (2, True)
        rules.write_text(rules.read_text() + "facts: {error_ratio: {promql: up}, users: {promql: up}}\n")
        said = self.explain(rules, "service=shop", "--fact", "users=3", "--fact", "eror_ratio=0.9")
        assert (said.exit_code, 'there is no fact "eror_ratio": did you mean "error_ratio"?' in said.output) == (
            2,
            True,
        )
        assert self.explain(rules, "service=shop", "--fact", "error_ratio=0.9").exit_code == 0

    def test_broken_rules_are_told_as_check_tells_them(self, tmp_path):
        path = tmp_path / "rules.yaml"
        path.write_text("route: 5\n")
        said = self.explain(path, "alertname=Down")
        assert said.exit_code == 1
        assert f"{path}:1:8" in said.output


class TestServe:
    """`relay serve` with something wrong ends at once, says what, and changes nothing."""

    def serve(self, tmp_path, *words):
        given = {"--rules": str(tmp_path / "rules.yaml"), "--data": str(tmp_path / "data"), "--listen": "127.0.0.1:0"}
        given |= dict(zip(words[::2], words[1::2], strict=True))
        return relay("serve", *(word for pair in given.items() for word in pair))

    def test_broken_rules(self, tmp_path):
        (tmp_path / "rules.yaml").write_text("route: {policy: nobody}\n")
        said = self.serve(tmp_path)
        assert said.exit_code == 1
        assert "Relay did not start: mend the files above." in said.stderr
        assert not (tmp_path / "data").exists()

    def test_no_rules(self, tmp_path):
        said = self.serve(tmp_path, "--rules", str(tmp_path / "nowhere"))
        assert said.exit_code == 1
        assert "nowhere" in said.stderr

    def test_a_settings_file_with_a_mistake(self, rules, tmp_path):
        (tmp_path / "relay.yaml").write_text("sources: {prod: {tokenfile: x}}\n")
        said = self.serve(tmp_path, "--config", str(tmp_path / "relay.yaml"))
        assert said.exit_code == 1
        assert "relay.yaml:1:" in said.stderr
        assert "token_file" in said.stderr

    def test_a_secret_file_that_is_missing(self, rules, tmp_path):
        (tmp_path / "relay.yaml").write_text(f"sources: {{prod: {{token_file: {tmp_path}/nothing}}}}\n")
        said = self.serve(tmp_path, "--config", str(tmp_path / "relay.yaml"))
        assert said.exit_code == 3
        assert f"{tmp_path}/nothing" in said.stderr

    def test_a_port_in_use(self, rules, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            said = self.serve(tmp_path, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert said.exit_code == 3
        assert re.search(r"Relay did not start: .*127\.0\.0\.1:\d+.*in use", said.stderr)

    @pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:http", ":"])
    def test_an_address_that_is_none(self, rules, tmp_path, address):
        said = self.serve(tmp_path, "--listen", address)
        assert said.exit_code in (1, 3)
        assert "Traceback" not in said.stderr

    @pytest.mark.parametrize(
        "url", ["mysql://x/y", "nonsense", "sqlite:///:memory:", "postgresql://relay:hunter2@127.0.0.1:9/relay"]
    )
    def test_a_database_that_cannot_be_had(self, rules, tmp_path, url):
        said = self.serve(tmp_path, "--database", url)
        assert said.exit_code == 3
        assert "Relay did not start: " in said.stderr
        assert "hunter2" not in said.stderr

    def test_a_database_of_somebody_else(self, rules, tmp_path):
        (tmp_path / "data").mkdir()
        with sqlite3.connect(tmp_path / "data" / "relay.db") as other:
            other.execute("create table inbox (x)")
        said = self.serve(tmp_path)
        assert said.exit_code == 3
        assert "Relay did not start: the database is not Relay's, and has a table inbox already" in said.stderr

    def test_a_data_directory_that_is_a_file(self, rules, tmp_path):
        (tmp_path / "data").write_text("")
        said = self.serve(tmp_path)
        assert said.exit_code == 3
        assert "cannot be written" in said.stderr

    def test_the_data_directory_is_for_its_owner_alone(self, rules, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.serve(tmp_path, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_token_is_made_with_its_digest():
    first, second = (json.loads(relay("token", "-o", "json").output) for _ in range(2))
    assert first["token"] != second["token"]
    assert sha256(first["token"].encode()).hexdigest() == first["sha256"]


def test_the_api_is_described():
    described = json.loads(relay("openapi").output)
    assert described["openapi"].startswith("3.")
    assert "/api/v1/incidents/{id}/ack" in described["paths"]
