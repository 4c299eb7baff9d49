"""The service catalogue: seen by matchers, and told in pages."""

import pytest
from playbook import Playbook, an_alert, rules
from world import World, told

from relay.engine.rehearsal import scratch_database
from relay.incident.alert import Alert
from relay.incident.effects import Page

SERVICES = """
  checkout:
    owner: team-payments
    tier: 1
    depends_on: [ledger]
    runbook: https://wiki.example/checkout
    dashboards: [https://grafana.example/a, https://grafana.example/b]
    slo: 99.9
  ledger: {owner: team-ledger}
"""


def catalogued(**changed):
    return rules(services=SERVICES, **changed)


def test_matchers_see_the_owner_and_the_tier():
    matchers = "matchers: [service_owner=team-payments, service_tier=1]"
    made_of = catalogued(routes=f"[{{{matchers}, policy: payments, group_by: [service_owner]}}]")
    with scratch_database() as database:
        world = World(database, made_of)
        world.post(told(service="checkout"), told(job="checkout", service="x")).post(told(service="unknown"))
        groups = [dict(incident.group) for incident in world.incidents()]
        assert {"service_owner": "team-payments"} in groups
        assert {"service": "unknown"} in groups


def test_an_alert_s_own_labels_count_more():
    alert = catalogued().services.enrich(an_alert(service_owner="somebody"))
    assert (alert.labels["service_owner"], alert.labels["service_tier"]) == ("somebody", "1")
    unknown = an_alert(service="search")
    assert catalogued().services.enrich(unknown) is unknown


def test_an_alert_without_a_name_is_named_after_a_label_of_its_own_and_not_after_its_owner():
    alert = Alert("prod", "0", {"instance": "web-1", "service": "checkout"})
    assert catalogued().services.enrich(alert).name == alert.name == "web-1"


def test_a_page_says_what_is_known_of_the_service_and_links_it():
    [page] = Playbook(catalogued()).fires().asked(Page)
    assert "Service: checkout, tier 1, owned by team-payments, SLO 99.9 %, depends on ledger" in page.notice.text
    assert page.notice.links["Runbook: checkout"] == "https://wiki.example/checkout"
    assert page.notice.links["Dashboard: checkout 2"] == "https://grafana.example/b"
    [page] = Playbook(rules()).fires().asked(Page)
    assert "Service:" not in page.notice.text


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("{a: {depends_on: [b]}}", 'there is no service "b"'),
        ("{a: {runbook: wiki}}", "write an address that begins with https://"),
        ("{a: {tier: 6}}", "less than or equal to 5"),
        ("{a: {slo: 100}}", "less than 100"),
    ],
)
def test_what_cannot_be_meant_is_refused(wrong, problem):
    with pytest.raises(Exception, match=problem):
        rules(services=wrong)
