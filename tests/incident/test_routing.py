import pytest
from playbook import RULES, rules

from relay.incident.routing import branches, choose, group

HEAD = RULES[: RULES.index("route:")]
TREE = """
  db: {levels: [{name: L1, page: [{person: chen}], wait: 5m}], last_resort: [{target: pd-noc}]}
  web: {levels: [{name: L1, page: [{person: bob}], wait: 5m}], last_resort: [{target: pd-noc}]}
route:
  policy: payments
  group_by: [service]
  routes:
    - name: databases
      matchers: ['service=~".*-db"']
      policy: db
      routes:
        - {name: replicas, matchers: [alertname=Lag], group_by: [alertname, cluster]}
        - {name: also lag, matchers: [alertname=~"Lag.*"], policy: web}
    - {name: everything of eu, matchers: [region=eu], group_by: [...]}
routes:
  - {matchers: [team=web, 'env!="test"'], policy: web}
  - {name: too late, matchers: [region=eu], policy: db}
"""
MADE_OF = rules(HEAD + TREE.lstrip("\n"))


def routed(**labels):
    return choose(MADE_OF.root, MADE_OF.routes, labels)


WHERE = [  # labels, policy, group_by
    ({}, "payments", ("service",)),
    ({"service": "checkout"}, "payments", ("service",)),
    ({"service": "orders-db"}, "db", ("service",)),
    ({"service": "orders-db", "alertname": "Lag"}, "db", ("alertname", "cluster")),  # the policy is inherited
    ({"service": "orders-db", "alertname": "LagHigh"}, "web", ("service",)),
    ({"service": "orders-db2"}, "payments", ("service",)),  # a regular expression means the whole value
    ({"service": "orders-db", "region": "eu"}, "db", ("service",)),  # the first branch, and no other
    ({"region": "eu"}, "payments", ("...",)),
    ({"team": "web"}, "web", ("service",)),  # env is not "test", because there is none
    ({"team": "web", "env": "test"}, "payments", ("service",)),
]


@pytest.mark.parametrize(("labels", "policy", "group_by"), WHERE)
def test_the_first_branch_that_matches_is_followed_down(labels, policy, group_by):
    found = routed(**labels)
    assert (found.policy, found.group_by) == (policy, group_by)


def test_the_way_and_the_reason_name_every_branch():
    found = routed(service="orders-db", alertname="Lag")
    assert [getattr(branch, "name", "root") for branch in found.path] == ["root", "databases", "replicas"]
    assert found.because == "route replicas (rules.yaml:26)"
    assert routed(team="web").because == 'route team="web", env!="test" (rules.yaml:30)'
    assert routed().because == "the root route (rules.yaml:19), as no branch wants it"


def test_branches_of_other_files_come_after_those_of_the_root():
    assert routed(region="eu").path[-1].name == "everything of eu"
    names = [getattr(branch, "name", "root") for branch in branches(MADE_OF.root, MADE_OF.routes)]
    assert names == ["root", "databases", "replicas", "also lag", "everything of eu", "", "too late"]


def test_labels_that_are_missing_are_left_out_of_the_group():
    found = routed(service="orders-db", alertname="Lag")
    assert group(found, {"service": "orders-db", "alertname": "Lag"}) == {"alertname": "Lag"}
    assert group(routed(), {"alertname": "A"}) == {}


def test_three_dots_make_an_incident_of_each_alert():
    labels = {"region": "eu", "pod": "p1"}
    assert group(routed(**labels), labels) == labels
