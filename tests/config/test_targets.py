"""What every target has: checked when the rules are read."""

import pytest
from service import RULES

from relay.config.complaints import Rejected
from relay.engine.ruleset import load


def rules(tmp_path, **of_ada):
    (tmp_path / "pd").write_text("0123456789abcdef0123456789abcdef")
    text = RULES.format(secrets=tmp_path, pagerduty="http://127.0.0.1:9")
    keys = "".join(f", {key}: {value}" for key, value in of_ada.items())
    path = tmp_path / "rules.yaml"
    path.write_text(text.replace("per_minute: 0, url", f"url{keys and ''}", 1).replace('9"}', f'9"{keys}}}', 1))
    return path


def test_a_fallback_is_taken_over(tmp_path):
    ruleset = load(rules(tmp_path, fallback="pd-bob", late_after="90s", per_minute=30))
    fallback = ruleset.rules.fallbacks["pd-ada"]
    assert (fallback.target, fallback.after.total_seconds()) == ("pd-bob", 90)
    assert ruleset.targets["pd-ada"].per_minute == 30


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("fallback", "pd-bbo", 'there is no target "pd-bbo"'),
        ("fallback", "pd-ada", "this fallback leads back here"),
        ("late_after", "0s", "late_after"),
        ("per_minute", "-1", "per_minute"),
        ("per_minute", "many", "per_minute"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, key, value, complaint):
    with pytest.raises(Rejected) as refused:
        load(rules(tmp_path, **{key: value}))
    said = "\n".join(map(str, refused.value.complaints))
    assert complaint in said
    assert "rules.yaml:2:" in said


TWO_PLACES = [
    ("type: pagerduty, routing_key_file: a, api_token_file: a, api_token_env: B", "api_token"),
    ("type: pagerduty, routing_key_file: a, routing_key_env: B", "routing_key"),
    ("type: opsgenie, api_key_file: a, api_key_env: B", "api_key"),
    ("type: webhook, url_file: a, secret_file: a, secret_env: B", "secret"),
    ("type: email, host: m, sender: a@b.c, to: [a@b.c], username: u, password_file: a, password_env: B", "password"),
]


@pytest.mark.parametrize(("target", "secret"), TWO_PLACES)
def test_a_secret_is_in_one_place(tmp_path, target, secret):
    (tmp_path / "all.yaml").write_text(f"targets: {{t: {{{target}}}}}\n")
    with pytest.raises(Rejected) as refused:
        load(tmp_path)
    assert f'write either "{secret}_file" or "{secret}_env"' in str(refused.value)


@pytest.mark.parametrize("url", ["http://a b", "http://h:0", "http://u:p@h", "http://h/?a=b", "ftp://h", "h"])
def test_what_is_no_address_is_refused(tmp_path, url):
    (tmp_path / "all.yaml").write_text(f'targets: {{t: {{type: pagerduty, routing_key_env: K, url: "{url}"}}}}\n')
    with pytest.raises(Rejected) as refused:
        load(tmp_path)
    assert "write" in str(refused.value)
    assert "address" in str(refused.value)


def test_what_stands_beside_a_mistake_is_looked_at_as_well(tmp_path):
    (tmp_path / "all.yaml").write_text(
        "targets: {t: {type: webhook, url_env: X}}\n"
        "people: {ada: {via: tt}}\n"
        "policies: {p: {levels: [{name: L1, page: [{person: ada}], wait: 5m}], last_resort: [{person: ada}]}}\n"
        "route: {policy: defualt, group_by: [service], hold_for: 2x}\n"
        "severity: {default: SEV-9, rules: [{severity: SEV-1, facts: {errs: {at_least: 1}}}]}\n"
    )
    with pytest.raises(Rejected) as refused:
        load(tmp_path, secrets=False)
    said = [complaint.problem for complaint in refused.value.complaints]
    assert said == [
        'there is no target "tt"',
        'there is no policy "defualt"',
        '"2x" cannot be used',
        '"SEV-9" cannot be used',
        'there is no fact "errs"',
    ]


def test_two_mistakes_of_one_list_hide_nothing_that_stands_before_them(tmp_path):
    rule = "{{severity: {}, facts: {{{}: {{at_least: 1}}}}}}"
    rules = ", ".join(rule.format(*one) for one in (("SEV-1", "errs"), ("SEV-8", "x"), ("SEV-1", "y"), ("SEV-9", "z")))
    (tmp_path / "all.yaml").write_text(f"severity: {{default: SEV-3, rules: [{rules}]}}\n")
    with pytest.raises(Rejected) as refused:
        load(tmp_path, secrets=False)
    said = [complaint.problem for complaint in refused.value.complaints]
    assert {'there is no fact "errs"', '"SEV-8" cannot be used', '"SEV-9" cannot be used'} <= set(said)
    assert not [problem for problem in said if "x" in problem.split('"') or "z" in problem.split('"')]
