"""What Relay does is in its log: a line for what came of one thing, and none for what changes nothing."""

from playbook import Playbook

from relay.engine.metrics import Metrics


def test_what_happens_to_an_incident_is_a_line(capfd):
    story = Playbook().fires().after(minutes=6).story
    Metrics().happened([("INC-7", event) for at, event in story.happened if at == story.happened[0][0]])
    [line] = [line for line in capfd.readouterr().err.splitlines() if "INC-7" in line]
    assert "opened for service=checkout: policy payments" in line
    assert "; people are needed: " in line
    assert "; paged Ada through pd-ada: L1 of payments" in line


def test_what_changes_nothing_is_none(capfd):
    story = Playbook().fires().story
    Metrics().happened([("INC-7", event) for _, event in story.happened if type(event).__name__ == "DeadlineSet"])
    assert "INC-7" not in "".join(capfd.readouterr())
