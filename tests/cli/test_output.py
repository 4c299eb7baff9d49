"""What commands print: on any terminal, whatever it shows and however narrow it is; and mistakes in words."""

import json
import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.cli.output import as_json, say, say_table


def printed(capsys):
    return capsys.readouterr().out


DRIVES = "\x1b]0;owned\x07\x1b[2J\nINC-9 resolved\x9b1m"


def test_what_an_alert_says_drives_no_terminal_and_makes_no_line(capsys):
    say(f"service={DRIVES}")
    say_table(("id", "what"), [("INC-1", f"[bold]{DRIVES}")])
    lines = printed(capsys).splitlines()
    assert not [c for line in lines for c in line if not c.isprintable()]
    assert [line for line in lines if line.startswith("INC-9")] == []
    assert "[bold]" in "".join(lines)


def test_json_is_what_it_was_and_drives_no_terminal_either(capsys):
    as_json({"a": DRIVES, "b": "\U0001f525 ü", "c": "\U000e0001"})
    text = printed(capsys)
    assert json.loads(text) == {"a": DRIVES, "b": "\U0001f525 ü", "c": "\U000e0001"}
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "\U0001f525 ü" in text


def test_a_pipe_is_given_whole_lines(capsys):
    say_table(("id", "what"), [("INC-1", "a long story " * 30)])
    assert [line for line in printed(capsys).splitlines() if "INC-1" in line and line.count("story") == 30]


def on_a_terminal(columns, code):
    """What a terminal of so many columns is sent."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", code], stdout=theirs, env=environment, check=True, timeout=60)
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    return said.replace("\r\n", "\n").splitlines()


INCIDENT = ("INC-1", "SEV-3", "triggered", "2026-11-26 05:40:00", "SEV-3 checkout: Down (1 alert fires)")
TABLE = f"from relay.cli.output import say_table\nsay_table(('id', 'severity', 'phase', 'since', 'what'), [{INCIDENT}])"


@pytest.mark.parametrize("columns", [40, 50, 80, 200])
def test_nothing_is_cut_off_however_narrow_the_terminal_is(columns):
    said = " ".join(on_a_terminal(columns, TABLE))
    for cell in INCIDENT:
        assert " ".join(cell.split()) in " ".join(said.split())


def test_what_a_terminal_cannot_show_stops_no_command(tmp_path):
    (tmp_path / "all.yaml").write_text("route: {polcy: ü→x}\n")
    for words in (["check", str(tmp_path)], ["check", str(tmp_path), "-o", "json"]):
        done = subprocess.run(
            [sys.executable, "-m", "relay", *words],
            env={**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
        assert b"polcy" in done.stdout + done.stderr


WRONG = [
    (["backup", "x.db", "--config", "nope.yaml"], 2, "nope.yaml"),
    (["replay", "--rules", ".", "--against", ".", "--config", "nope.yaml"], 2, "nope.yaml"),
    (["replay", "--rules", ".", "--against", ".", "--database", "foo"], 3, "the database URL cannot be read"),
    (["replay", "--rules", ".", "--against", ".", "--database", "mysql://x/y"], 3, '"mysql" is not a database'),
    (["check", ".", "--database", "foo"], 2, "the database URL cannot be read"),
    (["test", ".", "--junit", "/nope/x"], 3, "/nope/x cannot be written or read: No such file or directory"),
]


@pytest.mark.parametrize(("words", "code", "said"), WRONG)
def test_an_ordinary_mistake_is_told_in_words(words, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "all.yaml").write_text(
        "targets: {t: {type: webhook, url_env: X}}\npeople: {ada: {via: t}}\n"
        "policies: {p: {levels: [{name: L1, page: [{person: ada}], wait: 5m}], last_resort: [{person: ada}]}}\n"
        "route: {policy: p, group_by: [service]}\n"
    )
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == code, done.output
    assert said in done.output


def test_a_full_disk_under_the_output_is_told_in_words(tmp_path):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "relay", "openapi"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (3, b"what is found cannot be written or read: No space left on device\n")


def test_a_mistake_in_the_environment_names_its_variable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, said in (
        ("RELAY_RETENTION__INBX", 'did you mean "inbox"?'),
        ("RELAY_SOURCES__PROD__TOKN_FILE", 'unknown key "tokn_file"'),
        ("RELAY_RETENTION__INBOX", "write a duration"),
    ):
        done = CliRunner().invoke(main, ["serve"], env={name: "x5"}, catch_exceptions=False)
        assert (done.exit_code, f"{name}: " in done.output, said in done.output) == (1, True, True), done.output
