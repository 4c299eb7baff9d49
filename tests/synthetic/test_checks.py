"""Probe files: what can be written, and what is said about what cannot."""

from pathlib import Path

import pytest

from relay.config.complaints import Rejected
from synthetic.checks import load
from synthetic.targets import read_host_port, read_url


def rejected(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "probes.yaml"
    file.write_text(text)
    with pytest.raises(Rejected) as refusal:
        load(file)
    return [f"{c.place.line}: {c.problem} | {c.advice}" for c in refusal.value.complaints]


def test_files_are_read_together_and_each_check_runs_where_it_says(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "locations: [fra, iad]\n"
        "checks:\n"
        "  - {name: home, kind: http, target: https://shop.example/}\n"
        "  - {name: db, kind: tcp, target: 'db.example:5432', layer: database, locations: [fra]}\n"
    )
    (tmp_path / "b.yml").write_text(
        "checks:\n  - {name: buy, kind: http, target: https://shop.example/buy, depends_on: [home, db]}\n"
        "modules:\n  http_2xx: {kind: http}\n"
    )
    checks = load(tmp_path)
    assert [check.name for check in checks.at("fra")] == ["home", "db", "buy"]
    assert [check.name for check in checks.at("iad")] == ["home", "buy"]
    assert checks.modules["http_2xx"].kind == "http"


def test_a_folder_called_probes_is_read_when_it_is_named(tmp_path):
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "a.yaml").write_text("checks:\n  - {name: up, kind: icmp, target: 192.0.2.1}\n")
    assert load(tmp_path / "probes").checks.keys() == {"up"}


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("{name: a, kind: http, target: 'http://x/', intervall: 3s}", '"intervall" | did you mean "interval"?'),
        ("{name: a, kind: htp, target: 'http://x/'}", '"htp" is not one of the choices | did you mean "http"?'),
        ("{name: a, kind: http, target: 'http://me:pw@x/'}", "basic_auth takes them from a file"),
        ("{name: a, kind: http, target: 'ftp://x/'}", "write a URL such as"),
        ("{name: a, kind: tcp, target: x}", "write host:port"),
        ("{name: a, kind: dns, target: x, query: q, type: AAA}", 'no record type "AAA" | did you mean "AAAA"?'),
        ("{name: a, kind: dns, target: x, query: q, rcodes: [NXDOMIAN]}", 'did you mean "NXDOMAIN"?'),
        ("{name: a, kind: icmp, target: x, interval: 5s}", "the timeout (10s) is longer than the interval"),
        ("{name: a, kind: icmp, target: x, timeout: 60s}", "the timeout (1m) is longer than the interval"),
        ("{name: a, kind: icmp, target: x, depends_on: [b]}", 'no check "b" | write one of: a'),
        ("{name: a, kind: icmp, target: x, locations: [fra]}", 'no location "fra" | add "locations: [fra]"'),
        ("{name: a, kind: icmp, target: x, confirm: {failures: 5}}", "failures that are not more than of"),
        ("{name: a, kind: http, target: 'http://x/', body_matches: ['(']}", "regular expression of the RE2 dialect"),
        ("{name: a, kind: http, target: 'http://x/', json: [{path: a}]}", "write either equals or matches"),
        ("{name: a, kind: http, target: 'http://x/', proxy: 'http://p:99999'}", "such as http://proxy.example:3128"),
        ("{name: a, kind: http, target: 'http://x/', timeout: 0s}", "write at least 1ms"),
        ("{name: a, kind: http, target: 'http://x/', interval: 10ms}", "write at least 100ms"),
        ("{name: a, kind: icmp, target: x, interval: 200ms, timeout: 900ms}", "the timeout (900ms) is longer than the"),
        ("{name: a, kind: tls, target: 'x:1', tls: {server_name: a..b}}", "write a host's name or address"),
        ("{name: a, kind: dns, target: x, query: a..b}", "write a name that DNS can hold"),
        (f"{{name: a, kind: dns, target: x, query: {'a' * 64}.b}}", "write a name that DNS can hold"),
        ("{name: a, kind: redis, target: x, query: GET 'x}", "an end to every quotation"),
        ("{name: a, kind: redis, target: x, query: '  '}", "write the query as one command"),
        ("{name: a, kind: http, target: 'http://x/', status: [2xy]}", "text of the form"),
        ('{name: a, kind: http, target: "http://x/", headers: {X: "a\\r\\nb"}}', "without line breaks"),
        ("{name: a, kind: tcp, target: 'x:1', conversation: [{send: a, expect: b}]}", "one of send, expect"),
    ],
)
def test_a_mistake_is_shown_with_its_line_and_what_to_write(tmp_path, check, said):
    [complaint] = rejected(tmp_path, f"checks:\n  - {check}\n")
    assert complaint.startswith("2: ")
    assert said in complaint


def test_a_name_is_given_once(tmp_path):
    one = "  - {name: a, kind: icmp, target: x}\n"
    [complaint] = rejected(tmp_path, f"checks:\n{one}{one}")
    assert complaint.startswith('3: there is a check "a" already, at ')


def test_checks_do_not_depend_on_each_other_in_a_circle(tmp_path):
    checks = "".join(
        f"  - {{name: {name}, kind: icmp, target: x, depends_on: [{on}]}}\n" for name, on in ("ab", "bc", "ca")
    )
    [complaint] = rejected(tmp_path, f"checks:\n{checks}")
    around = complaint.partition("each other: ")[2].partition(" | ")[0]
    assert f"{around}{around[1:]}".find("a on b on c on a") >= 0


def test_targets_are_read_as_people_write_them():
    assert str(read_url("HTTPS://Bücher.example:443/ä?q=ü#x")) == "https://xn--bcher-kva.example/%C3%A4?q=%C3%BC"
    assert read_url("http://[::1]:8080").authority == "[::1]:8080"
    assert read_host_port("[2001:db8::1]:5432") == ("2001:db8::1", 5432)
    assert read_host_port("2001:db8::1", 53) == ("2001:db8::1", 53)
    assert read_host_port("ns.example", 53) == ("ns.example", 53)
