from playbook import Playbook, ResolvePage, an_alert, rules

from relay.incident.alert import OWN_SOURCE, Alert
from relay.incident.effects import Page
from relay.incident.events import Acknowledged, AlertsTruncated, NoteAdded, Resolved

ONE, TWO = an_alert("One"), an_alert("Two")


def test_an_incident_grows_and_shrinks_and_is_over_with_its_last_alert():
    story = Playbook().fires(ONE).fires(TWO)
    assert len(story.incident.alerts) == 2
    story.ends(ONE)
    assert story.incident.phase == "triggered"
    story.ends(TWO)
    assert story.incident.phase == "resolved"
    assert story.incident.seen == 2


def test_what_fires_again_soon_is_the_same_incident_in_a_new_episode_under_new_keys():
    story = Playbook().fires().when(Acknowledged("ana")).ends().after(minutes=29).fires()
    assert [page.key for page in story.asked(Page)] == ["INC-1/1.0/L1/first", "INC-1/2.0/L1/first"]
    incident = story.incident
    assert (incident.episode, incident.phase, incident.acknowledged_by) == (2, "triggered", "")
    story.ends()
    assert [close.key for close in story.asked(ResolvePage)] == ["INC-1/2.0/L1/first"]


def test_a_new_episode_starts_its_escalation_anew():
    story = Playbook().fires(an_alert("Down", severity="critical")).after(minutes=20)
    story.paged("L1:pd-ada", "L2:pd-bob", "L3:pd-chen")
    story.ends().fires(ONE).paged("L1:pd-ada")
    assert story.incident.severity == 2  # lowered by people alone


def test_after_reopen_within_it_is_closed_and_nothing_more_happens():
    story = Playbook(rules(resolution="{reopen_within: 5m}")).fires().ends().after(minutes=4)
    assert story.incident.phase == "resolved"
    story.after(minutes=1)
    assert story.incident.phase == "closed"
    assert story.incident.wake_at is None


def test_never_to_be_reopened_closes_at_once():
    story = Playbook(rules(resolution="{reopen_within: 0s}")).fires().ends().after(seconds=1)
    assert story.incident.phase == "closed"


def test_a_person_who_resolves_is_believed_for_a_while_and_then_the_alerts_are():
    story = Playbook().fires().paged("L1:pd-ada").when(Resolved("fixed", "ana"))
    assert [close.because for close in story.asked(ResolvePage)] == ["fixed (ana)"]
    story.after(minutes=9).paged()
    story.after(minutes=1).paged("L1:pd-ada")
    assert story.incident.episode == 2
    assert [e.because for _, e in story.story.happened if type(e).__name__ == "Reopened"] == [
        "1 of its alerts still fire"
    ]


def test_a_person_who_was_right_is_not_asked_again():
    story = Playbook().fires().when(Resolved("fixed", "ana")).after(minutes=9).ends()
    story.asked()
    story.after(hours=1).quiet()
    assert story.incident.phase == "closed"


def test_an_incident_whose_alerts_still_fire_is_not_closed_however_soon_it_may_be():
    made_of = rules(resolution="{reopen_within: 0s, recheck_after_close: 10m}")
    story = Playbook(made_of).fires().when(Resolved("fixed", "ana")).after(minutes=9)
    assert story.incident.phase == "resolved"
    story.after(minutes=1)
    assert (story.incident.phase, story.incident.episode) == ("triggered", 2)


def test_a_recheck_that_the_alerts_forestalled_disturbs_nobody():
    """The alert fires again before the recheck: what was due for the old episode is not due in the new one."""
    story = Playbook().fires(ONE).when(Resolved("fixed", "ana")).after(minutes=3).fires(TWO)
    assert not [name for name in story.incident.deadlines if name.startswith("resolution/")]
    story.after(hours=1)
    assert (story.incident.phase, story.incident.episode) == ("triggered", 2)


def test_truncation_keeps_it_open_because_nothing_proves_the_end():
    story = Playbook().fires(ONE).when(AlertsTruncated("g", 3)).ends(ONE)
    assert (story.incident.phase, len(story.incident.alerts)) == ("triggered", 0)
    [note] = [e for _, e in story.story.happened if isinstance(e, NoteAdded)]
    assert "left 3 out of its messages" in note.text
    assert "max_alerts: 0" in note.text
    story.after(minutes=5)
    assert story.incident.step == 1  # and the escalation goes on


def test_when_the_source_lists_every_alert_again_it_ends():
    story = Playbook().fires(ONE).when(AlertsTruncated("g", 3)).ends(ONE).when(AlertsTruncated("g", 0))
    assert story.incident.phase == "resolved"


def test_one_group_that_lists_everything_does_not_speak_for_another():
    story = Playbook().fires(ONE).when(AlertsTruncated("g", 3)).when(AlertsTruncated("h", 1)).ends(ONE)
    assert story.when(AlertsTruncated("g", 0)).incident.phase == "triggered"
    assert story.when(AlertsTruncated("h", 0)).incident.phase == "resolved"


def test_a_message_about_a_closed_incident_changes_nothing():
    """A resolved alert comes again for 15 minutes, in a group that is now cut, or no longer is."""
    story = Playbook(rules(resolution="{reopen_within: 0s}")).fires().ends().after(seconds=1)
    story.asked()
    story.when(AlertsTruncated("g", 3)).when(AlertsTruncated("g", 0)).quiet()
    assert story.incident.phase == "closed"


def test_an_alert_of_relays_own_ends_with_its_incident():
    own = Alert(OWN_SOURCE, "undecided-7", {"alertname": "RelayWebhookUndecided", "service": "checkout"})
    story = Playbook().fires(own).paged("L1:pd-ada").when(Resolved("seen", "ana"))
    assert story.incident.alerts == {}
    story.after(hours=1).paged()
    assert story.incident.phase == "closed"


def test_a_resolve_while_held_ends_it_without_a_page():
    story = Playbook().fires(doubt="perhaps an echo").held("perhaps an echo").ends()
    assert story.incident.phase == "resolved"
    story.quiet().after(hours=1).quiet()
