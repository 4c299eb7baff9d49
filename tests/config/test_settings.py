"""How a process runs: flags win over the environment, the environment over the file, the file over defaults."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from relay.config.complaints import Rejected
from relay.config.secrets import SecretMissing
from relay.config.settings import Heartbeat, load_settings


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Load settings from a file's text, an environment and flags."""

    def load(text=None, environment=None, **flags):
        file = tmp_path / "relay.yaml"
        if text is not None:
            file.write_text(text)
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        return load_settings(file if text is not None else None, flags)

    return load


def refused(settings, *given, **flags):
    with pytest.raises(Rejected) as rejected:
        settings(*given, **flags)
    return str(rejected.value)


def test_a_pager_is_asked_only_where_that_means_something(settings):
    told = "pagers: {p: {type: TYPE, webhook_secret_env: S, api_token_env: A, MORE}}"
    given = told.replace("TYPE", "pagerduty").replace("MORE", "region: eu")
    assert settings(given, {"A": "t0ken"}).pagers["p"].api_token() == "t0ken"
    assert settings("pagers: {p: {type: opsgenie, webhook_secret_env: S}}").pagers["p"].api_token() is None
    wrong = told.replace("TYPE", "opsgenie").replace("MORE", "region: eu")
    assert "only a pager of type pagerduty" in refused(settings, wrong)
    both = told.replace("TYPE", "pagerduty").replace("MORE", "api_token_file: f")
    assert 'either "api_token_file" or "api_token_env"' in refused(settings, both)


def test_defaults_are_fit_for_a_first_try(settings):
    found = settings()
    assert found.address == ("127.0.0.1", 9096)
    assert (found.rules, found.data, found.log_format) == (Path("rules"), Path("data"), "json")
    assert found.database_url() == f"sqlite:///{Path('data').absolute()}/relay.db"
    assert (found.sources, found.tokens, found.prometheus) == ({}, {}, None)


def test_each_place_wins_over_the_one_below(settings):
    file, environment = (
        "listen: ':1'\nexternal_url: http://file\ndata: file",
        {"RELAY_LISTEN": ":2", "RELAY_DATA": "env"},
    )
    found = settings(file, environment, listen=":3", rules=None)
    assert (found.listen, found.data, found.external_url) == ("0.0.0.0:3", Path("env"), "http://file")
    assert found.rules == Path("rules")


def test_sections_are_merged_and_not_replaced(settings):
    found = settings(
        "prometheus: {url: 'http://file:9090/', cache: 5}\nsources: {eu: {token_file: /eu}}",
        {"RELAY_PROMETHEUS__CACHE": "7", "RELAY_SOURCES": '{"us": {"token_env": "US"}}'},
    )
    assert (found.prometheus.url, found.prometheus.cache) == ("http://file:9090", 7)
    assert found.sources.keys() == {"eu", "us"}


LISTEN = [
    (":9096", ("0.0.0.0", 9096)),
    ("localhost:80", ("localhost", 80)),
    ("[::1]:9096", ("::1", 9096)),
    ("127.0.0.1:0", ("127.0.0.1", 0)),
]


@pytest.mark.parametrize(("listen", "address"), LISTEN)
def test_an_address_is_a_host_and_a_port(settings, listen, address):
    assert settings(listen=listen).address == address


@pytest.mark.parametrize("listen", ["9096", "localhost", "localhost:http", ":70000", ":²", ":-1", "", ":"])
def test_what_is_not_an_address_is_told_with_the_flag(settings, listen):
    assert refused(settings, listen=listen) == (
        f'--listen: "{listen}" cannot be used\n  write an address and a port, such as 127.0.0.1:9096 or :9096'
    )


WHERE = [  # file, environment, flags, where it is told
    ("log_format: xml", {}, {}, "relay.yaml:1:13: "),
    ("log_format: xml", {"RELAY_LOG_FORMAT": "yml"}, {}, "RELAY_LOG_FORMAT: "),
    ("log_format: xml", {"RELAY_LOG_FORMAT": "yml"}, {"log_format": "toml"}, "--log-format: "),
    ("prometheus: {url: ftp://p}", {"RELAY_PROMETHEUS__CACHE": "5"}, {}, "relay.yaml:1:19: "),
    ("prometheus: {url: http://p}", {"RELAY_PROMETHEUS__CACHE": "-5"}, {}, "RELAY_PROMETHEUS__CACHE: "),
    (None, {"RELAY_SOURCES": "eu"}, {}, "RELAY_SOURCES: it cannot be read\n  write it as JSON"),
    (None, {"RELAY_SOURCES": '{"a b": {"token_env": "T"}}'}, {}, "RELAY_SOURCES: "),
    (None, {"RELAY_PROMETHEUS__URL": "ftp://p"}, {}, 'RELAY_PROMETHEUS__URL: "ftp://p" cannot be used'),
]


@pytest.mark.parametrize(("file", "environment", "flags", "where"), WHERE)
def test_a_mistake_is_told_where_it_was_made(settings, tmp_path, file, environment, flags, where):
    assert refused(settings, file, environment, **flags).removeprefix(f"{tmp_path}/").startswith(where)


WRONG = [  # file, what is said
    ("lisen: ':1'", 'unknown key "lisen"\n1 | lisen: \':1\'\n    ^^^^^ did you mean "listen"?'),
    ("- a", "a settings file is a mapping"),
    ("a: [", "while parsing a flow node"),
    ("tokens: {ada: {role: boss, token_file: /t}}", '"boss" is not one of the choices'),
    ("tokens: {ada: {role: admin}}", 'write exactly one of "token_file", "token_env" and "sha256"'),
    ("tokens: {ada: {role: admin, token_env: T, token_file: /t}}", "write exactly one of"),
    ("tokens: {ada: {role: admin, sha256: abc}}", "write text of the form ^[0-9a-f]{64}$"),
    ("tokens: {'a/b': {role: admin, token_env: T}}", '"a/b" is not a name: use up to 64 letters, digits'),
    ("prometheus: {}", '"url" is missing'),
    ("prometheus: {url: prometheus:9090}", "write an address such as http://prometheus:9090"),
    ("prometheus: {url: 'http://'}", "write an address such as http://prometheus:9090"),
    ("prometheus: {url: 'http://x:99999'}", "write an address such as http://prometheus:9090"),
    ("prometheus: {url: 'http://x/?tenant=a'}", "write an address such as http://prometheus:9090"),
    ("prometheus: {url: 'http://x/#a'}", "write an address such as http://prometheus:9090"),
    ("prometheus: {url: 'http://x y'}", "write an address such as http://prometheus:9090"),
    ("external_url: not a url", "write an address such as http://prometheus:9090"),
    ("external_url: relay.example.com", "write an address such as http://prometheus:9090"),
    ("sources: {prod: {}}", "relay.yaml:1:17: this cannot be used"),
    ("sources: {prod: {}}", 'write either "token_file" or "token_env"'),
    ("sources: {prod: {token_file: /t, token_env: T}}", 'write either "token_file" or "token_env"'),
    ("prometheus: {url: 'http://p', token_file: /t, token_env: T}", 'write either "token_file" or "token_env"'),
    ("heartbeat: {every: 1m}", 'write either "url_file" or "url_env"'),
    ("pagers: {p: {type: opsgenie}}", 'write either "webhook_secret_file" or "webhook_secret_env"'),
    ("listen: 9096", "write text, in quotes where it looks like a number"),
]


@pytest.mark.parametrize(("file", "said"), WRONG)
def test_what_is_wrong_in_a_file_is_told_with_what_to_write(settings, file, said):
    assert said in refused(settings, file)


def test_all_that_is_wrong_is_told_at_once(settings):
    told = refused(settings, "lisen: x\nlog_format: xml", {"RELAY_LISTEN": "x"}, data=None)
    assert told.count("\n\n") == 2


def test_a_settings_file_that_is_not_there_is_told(settings, tmp_path):
    with pytest.raises(Rejected, match="cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml", {})


def test_a_token_that_was_written_for_its_digest_is_not_shown(settings):
    told = refused(settings, "tokens: {ada: {role: admin, sha256: s3cret}}")
    assert "s3cret" not in told
    assert "s3cret" not in refused(
        settings, None, {"RELAY_TOKENS__ADA__SHA256": "s3cret", "RELAY_TOKENS__ADA__ROLE": "admin"}
    )


def test_every_secret_that_is_missing_is_told_at_once_with_its_setting(settings):
    found = settings(
        "sources: {eu: {token_file: /nowhere/eu, alertmanager: {urls: ['http://a'], receiver: r, token_env: NONE}}}\n"
        "tokens: {ada: {role: admin, token_env: NONE}}\nheartbeat: {url_file: /nowhere/beat}\ndatabase_env: NONE\n"
    )
    with pytest.raises(SecretMissing) as missing:
        found.check_secrets()
    assert sorted(line.partition(": ")[0] for line in str(missing.value).splitlines()) == [
        "database_env",
        "heartbeat.url_file",
        "sources.eu.alertmanager.token_env",
        "sources.eu.token_file",
        "tokens.ada.token_env",
    ]


def test_the_database_may_be_named_by_a_variable_that_holds_its_password(settings, monkeypatch):
    monkeypatch.setenv("DATABASE", "postgresql://relay:s3cret@db/relay")
    assert settings("database_env: DATABASE").database_url() == "postgresql://relay:s3cret@db/relay"
    with pytest.raises(SecretMissing, match="the environment variable NONE is empty or not set"):
        settings("database_env: NONE").database_url()


def test_a_source_may_have_several_tokens_so_that_they_can_be_changed(settings, tmp_path):
    (tmp_path / "token").write_text("new\nold\n")
    assert settings(f"sources: {{eu: {{token_file: {tmp_path}/token}}}}").sources["eu"].tokens() == ("new", "old")


@pytest.mark.parametrize("body", ["[]", "{", '"x"'])
def test_what_a_heartbeat_posts_must_be_an_object(tmp_path, body):
    (tmp_path / "body").write_text(body)
    beat = Heartbeat(url_env="BEAT", method="POST", body_file=str(tmp_path / "body"))
    with pytest.raises(SecretMissing, match="must hold a JSON object"):
        beat.body()


def test_a_heartbeat_that_asks_posts_nothing():
    with pytest.raises(ValidationError, match='"body_file" goes with "method: POST"'):
        Heartbeat(url_env="BEAT", body_file="body")


def test_targets_of_pagers_are_held_against_those_of_the_rules(settings):
    pager = "{type: pagerduty, webhook_secret_env: S, targets: [pd-main, og-main, pd-mian, x]}"
    found = settings(f"pagers: {{p: {pager}, q: {{type: opsgenie, webhook_secret_env: S}}}}")
    assert list(found.mistaken_targets({"pd-main": "pagerduty", "og-main": "opsgenie", "mail": "email"})) == [
        (("pagers", "p", "targets"), '"og-main" is a target of the type opsgenie, no pagerduty'),
        (("pagers", "p", "targets"), 'there is no target "pd-mian": did you mean "pd-main"?'),
        (("pagers", "p", "targets"), 'there is no target "x": write one of: pd-main'),
    ]
