"""What `relay check --alertmanager` finds in the configuration upstream, and at which line."""

import json
import subprocess
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.document import Unreadable, parse
from relay.config.matchers import all_match, parse_matcher
from relay.config.upstream.lint import lint
from relay.config.upstream.model import Route
from relay.config.upstream.routes import routes
from relay.config.upstream.selection import contradiction, covers
from relay.config.upstream.tree import grow

GOOD = """\
route:
  receiver: relay
  group_by: [alertname, cluster, service]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
    - matchers: ['alertname="Watchdog"']
      receiver: relay
      group_interval: 30s
      repeat_interval: 1m
    - matchers: [team="web"]
      receiver: chat
      continue: true
    - matchers: ['team=~"web|app"', severity!="info"]
      receiver: chat
      mute_time_intervals: [nights]
receivers:
  - name: relay
    webhook_configs:
      - url: https://relay.example.com/api/v1/webhooks/alertmanager/prod
        send_resolved: true
        max_alerts: 0
        http_config:
          follow_redirects: false
          authorization: {credentials_file: /etc/token}
  - name: chat
    slack_configs: [{channel: '#ops', api_url: 'https://hooks.example.com/T0/B0/hunter2'}]
time_intervals:
  - name: nights
    time_intervals:
      - times: [{start_time: '22:00', end_time: '24:00'}, {start_time: '00:00', end_time: '06:00'}]
        weekdays: ['monday:friday']
        days_of_month: ['1:-1']
        months: ['january:march', '7:9']
        years: [2026, '2030:2040']
        location: Europe/Berlin
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [cluster, service]
"""


def found(text):
    return lint(parse(text, "am.yml"))


def edited(*edits):
    text = GOOD
    for old, new in edits:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


def test_a_good_configuration_has_no_findings():
    assert list(map(str, found(GOOD))) == []


URL = "url: https://relay.example.com/api/v1/webhooks/alertmanager/prod"
AUTH = "          authorization: {credentials_file: /etc/token}\n"
INHIBIT = '    target_matchers: [severity="warning"]\n    equal: [cluster, service]\n'
FIRST = "    - matchers: ['alertname=\"Watchdog\"']"
CASES = [
    # receivers
    ("send_resolved: true", "send_resolved: false", "nothing tells Relay when an alert has ended", "error"),
    ("send_resolved: true", "send_resolved: no", "nothing tells Relay when an alert has ended", "error"),
    ("max_alerts: 0", "max_alerts: 20", "a cut body hides alerts", "error"),
    ("max_alerts: 0", "payload: {text: hello}", "takes the place of the body", "error"),
    ("max_alerts: 0", "max_alerts: many", '"many" cannot be used', "error"),
    ("max_alerts: 0", "timeout: 1.5s", "1s is little for a large body", "warning"),
    ("max_alerts: 0", "timeout: soon", '"soon" cannot be used', "error"),
    ("follow_redirects: false", "follow_redirects: true", "a redirect would turn the POST into a GET", "warning"),
    (AUTH, "", "no credentials are sent: Relay answers 401", "error"),
    (URL, URL.replace("https", "http"), "cross the network in the clear", "warning"),
    (URL, URL + "/", "Relay answers 404 here", "error"),
    (URL, URL.replace("/prod", ""), "Relay answers 404 here", "error"),
    (URL, URL + "/hunter2", "the secret stands in the configuration", "warning"),
    (URL, "url: https://example.com/hook", "no receiver posts to Relay", "error"),
    ("  - name: chat\n", "  - name: relay\n", 'two receivers are called "relay"', "error"),
    # routes
    ("      receiver: chat\n      continue", "      receiver: chta\n      continue", 'no receiver "chta"', "error"),
    ("[nights]", "[knights]", 'there is no time interval "knights"', "error"),
    ("  receiver: relay\n  group_by", "  group_by", "the root route has no receiver", "error"),
    ("  group_wait: 30s", "  matchers: [a=b]", 'may not have "matchers"', "error"),
    ("  group_wait: 30s", "  mute_time_intervals: [nights]", 'may not have "mute_time_intervals"', "error"),
    ("matchers: [team=\"web\"]", "match: {team: web}", '"match" is deprecated', "warning"),
    ("matchers: [team=\"web\"]", "match_re: {team: web}", '"match_re" is deprecated', "warning"),
    ("[team=\"web\"]", "['team=web}']", "only Alertmanager's older parser", "warning"),
    ("      continue: true\n    - matchers: ['team=~\"web|app\"'", "    - matchers: ['team=\"web\"'", "never", "error"),
    ("[alertname, cluster, service]", "['...']", "every alert is a group and a request of its own", "warning"),
    ("[alertname, cluster, service]", "['...', a]", "cannot be beside others", "error"),
    ("[alertname, cluster, service]", "[a, b, a]", "a label is listed twice", "error"),
    ("      continue: true", "      continue: true\n      group_by: []", "one single group from 0.31", "warning"),
    ("  group_wait: 30s", "  group_wait: 10m", "10m is long: the first page waits as long", "warning"),
    ("  group_interval: 5m", "  group_interval: 1h", "1h is long: what is added to a group", "warning"),
    ("  group_interval: 5m", "  group_interval: 0s", "Alertmanager refuses 0", "error"),
    ("  group_interval: 5m", "  group_interval: 5 minutes", '"5 minutes" cannot be used', "error"),
    ("  repeat_interval: 4h", "  repeat_interval: 7d", "7d is long: what got lost is told again only then", "warning"),
    ("  repeat_interval: 4h", "  repeat_interval: 4m", "is shorter than group_interval 5m", "warning"),
    ("  repeat_interval: 4h", "  repeat_interval: 12m", "not a multiple of group_interval 5m", "warning"),
    # the Watchdog
    (FIRST, FIRST.replace("Watchdog", "Other"), "the Watchdog comes only every 4h to 4h5m", "warning"),
    ("relay\n      group_interval", "chat\n      group_interval", 'goes to "chat", not to Relay', "warning"),
    ("repeat_interval: 1m", "repeat_interval: 30m", "the Watchdog comes only every 30m to 30m30s", "warning"),
    (FIRST, FIRST + "\n      mute_time_intervals: [nights]", "the Watchdog is muted at times", "error"),
    # time intervals
    ("'24:00'", "'06:00'", "the end is not later than the start", "error"),
    ("'24:00'", "'00:00'", "for the end of the day write 24:00", "error"),
    ("'22:00'", "'24:00'", "the end is not later than the start", "error"),
    ("'22:00'", "'9:00'", '"9:00" is no time of day', "error"),
    ("start_time: '22:00', ", "", '"start_time" is missing', "error"),
    ("        location: Europe/Berlin\n", "", "without a location these are times of UTC", "warning"),
    ("Europe/Berlin", "Europe/Belrin", 'there is no time zone "Europe/Belrin"', "error"),
    ("monday:friday", "friday:monday", "a range does not go round", "error"),
    ("monday:friday", "saturday:sunday", "write saturday:saturday and sunday:sunday", "error"),
    ("'1:-1'", "'7:3'", "a range does not go round", "error"),
    ("'1:-1'", "'-3:-7'", "a range does not go round", "error"),
    ("'1:-1'", "'-3:7'", "a range does not go round", "error"),
    ("'7:9'", "'9:7'", "a range does not go round", "error"),
    ("monday:friday", "mon:friday", '"mon" cannot be used here', "error"),
    ("'1:-1'", "0", '"0" cannot be used here: write a number', "error"),
    ("january:march", "januray", 'did you mean "january"?', "error"),
    ("        weekdays: ", "      - weekdays: ", "items of this list are alternatives", "warning"),
    ("[nights]", "[]", "no route uses this time interval", "warning"),
    ("[nights]", "[nights]\n      active_time_intervals: [nights]", "nothing is ever sent", "error"),
    ("chat\n      mute_time", "relay\n      mute_time", "is never told as resolved", "warning"),
    ("\ntime_intervals:", "\nmute_time_intervals:", "this section is deprecated", "warning"),
    # inhibition
    ("    equal: [cluster, service]\n", "", 'without "equal" one alert anywhere mutes all targets', "warning"),
    (INHIBIT, "", "this mutes the Watchdog too", "error"),
    (INHIBIT, "    target_matchers: ['alertname=~\".+\"']\n", "this mutes the Watchdog too", "error"),
    ('source_matchers: [severity="critical"]', "source_matchers: []", "any alert at all is a source", "error"),
    ('source_matchers: [severity="critical"]', 'source_matchers: [severity="none"]', "always fires", "error"),
    ("source_matchers: [severity=\"critical\"]", "source_match: {severity: critical}", "is deprecated", "warning"),
    # not such a file at all
    (GOOD, "groups: []\n", '"route" is missing', "error"),
]  # fmt: skip


ELSEWHERE = {
    "no credentials are sent: Relay answers 401": [21],
    "no receiver posts to Relay": [18],
    "the root route has no receiver": [1],
    "the Watchdog comes only every 4h to 4h5m": [6],
    "without a location these are times of UTC": [32],
    "no route uses this time interval": [30],
    'without "equal" one alert anywhere mutes all targets': [39],
    "this mutes the Watchdog too": [39],
}
"""Lines of mistakes that are something missing."""


@pytest.mark.parametrize(("old", "new", "words", "level"), CASES)
def test_every_mistake_is_found_where_it_is(old, new, words, level):
    complaints = [c for c in found(edited((old, new))) if words in f"{c.problem}: {c.advice}"]
    assert len(complaints) >= 1
    for complaint in complaints:
        assert complaint.warning == (level == "warning")
        assert complaint.advice
        assert complaint.place.file == "am.yml"
        edit = GOOD[: GOOD.index(old)].count("\n") + 1
        assert complaint.place.line in {*range(edit, edit + new.count("\n") + 1), *ELSEWHERE.get(words, ())}


def test_the_caret_stands_below_what_is_wrong():
    (complaint,) = found(edited(("max_alerts: 0", "max_alerts: 20")))
    assert str(complaint) == (
        "am.yml:23:21: a cut body hides alerts, and may say that all is resolved while they fire\n"
        "23 |         max_alerts: 20\n"
        "                         ^^ write 0, or leave it out"
    )


def test_settings_for_all_receivers_count_where_a_receiver_has_none_of_its_own():
    without = edited(("        http_config:\n          follow_redirects: false\n" + AUTH, ""))
    assert len(found(without)) == 2
    general = "global: {http_config: {follow_redirects: false, basic_auth: {username: r, password_file: f}}}\n"
    assert found(general + without) == ()


@pytest.mark.parametrize("host", ["relay", "relay:9096", "10.1.2.3:9096", "[::1]:9096", "relay.sre.svc.cluster.local"])
def test_http_is_well_inside_of_a_private_network(host):
    assert found(edited((URL, URL.replace("https://relay.example.com", f"http://{host}")))) == ()


def test_an_address_that_is_read_from_a_file_may_be_relays():
    assert found(edited((URL, "url_file: /etc/alertmanager/relay.url"))) == ()
    (complaint,) = found(edited((URL, "url_file: /etc/relay.url"), ("max_alerts: 0", "max_alerts: 1")))
    assert "cut body" in complaint.problem


def test_rules_of_relays_own_say_what_the_watchdog_is():
    text = edited(('alertname="Watchdog"', 'alertname="Beat"'))
    assert lint(parse(text, "am.yml"), [parse_matcher("alertname=Beat")]) == ()


def test_no_secret_is_shown():
    secret = "hunter2"
    url = f"https://u:{secret}@relay/api/v1/webhooks/alertmanager/prod/{secret}"
    webhook = f"- {{url: '{url}', max_alerts: 1, http_config: {{authorization: {{credentials: {secret}}}}}}}"
    for text in (
        edited(("      - " + URL, "      " + webhook + "\n      - " + URL)),
        edited(("authorization: {credentials_file: /etc/token}", f"authorization: {secret}")),
        edited((URL, URL + f"/{secret}")),
    ):
        complaints = found(text)
        assert complaints
        assert not any(secret in part for c in complaints for part in (str(c), c.problem, c.advice, c.line))


def test_several_matchers_in_one_text():
    both = edited(('matchers: [team="web"]', 'matchers: [\'{team="a,b", env="x"}\']'))
    assert found(both) == ()


LABELS = ("a", "b")
VALUES = ("", "x", "y", "z")
MATCHERS = st.builds(
    lambda name, op, value: parse_matcher(f'{name}{op}"{value}"'),
    st.sampled_from(LABELS),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["", "x", "y", "x|y", "x.*", ".*", ".+", "z|"]),
)
WORLD = [dict(zip(LABELS, values, strict=True)) for values in product(VALUES, repeat=2)]


@given(st.lists(MATCHERS, max_size=3), st.lists(MATCHERS, max_size=3))
def test_what_is_said_to_be_covered_or_impossible_is(wide, narrow):
    if covers(wide, narrow):
        assert not [labels for labels in WORLD if all_match(narrow, labels) and not all_match(wide, labels)]
    if contradiction(narrow):
        assert not [labels for labels in WORLD if all_match(narrow, labels)]


ROUTES = st.recursive(
    st.fixed_dictionaries({"matchers": st.lists(MATCHERS.map(str), max_size=2), "continue": st.booleans()}),
    lambda children: st.fixed_dictionaries(
        {"matchers": st.lists(MATCHERS.map(str), max_size=2), "routes": st.lists(children, max_size=3)}
    ),
    max_leaves=6,
)


@given(st.lists(ROUTES, min_size=1, max_size=3))
def test_no_alert_reaches_a_route_that_is_said_to_be_never_reached(children):
    root = grow(Route.model_validate({"receiver": "r", "routes": children}))
    dead = {finding.way for finding in routes(root, ["r"], [], set()) if "never reached" in finding.problem}
    for labels in WORLD:
        assert not [n.way for n in root.reached_by(labels) if any(n.way[: len(way)] == way for way in dead)]


@pytest.mark.servers
def test_amtool_takes_the_good_one_and_refuses_what_it_refuses(tmp_path):
    def amtool(text):
        (tmp_path / "am.yml").write_text(text)
        return subprocess.run(["amtool", "check-config", str(tmp_path / "am.yml")], capture_output=True).returncode

    assert amtool(GOOD) == 0
    refused = [
        "two receivers", 'no receiver "', "no time interval", "no receiver\"", "root route", "beside others", "twice",
        "refuses 0", "not later", "no time of day", "is missing", "no time zone", "go round", "saturday",
        "cannot be used",
    ]  # fmt: skip
    for old, new, words, _ in CASES:
        if any(one in words for one in refused) and "timeout" not in new:
            assert amtool(edited((old, new))) != 0, words


def ways(value, way=()):
    """The way to everything in a document."""
    yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from ways(one, (*way, key))


def replaced(value, way, new):
    if not way:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = replaced(copy[way[0]], way[1:], new)
    return copy


PLAIN = parse(GOOD, "am.yml").data
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["0", "5m", "a=b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*"ab", "name", "url"]), inner),
    max_leaves=4,
)


@given(st.lists(st.tuples(st.sampled_from(sorted(ways(PLAIN), key=str)), JUNK), min_size=1, max_size=3))
def test_whatever_stands_there_is_told_and_never_breaks_it(changes):
    document = PLAIN
    for way, junk in changes:
        with suppress(KeyError, IndexError, TypeError, ValueError):
            document = replaced(document, way, junk)
    text = json.dumps(document)
    try:
        read = parse(text, "am.yml")
    except Unreadable:
        return
    for complaint in lint(read):
        assert complaint.problem
        assert complaint.place.line == 1
        assert 1 <= complaint.place.column <= len(text)
