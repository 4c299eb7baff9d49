from datetime import timedelta

import pytest

from relay.engine.pace import ALONE, FAILURES, LONGEST_PAUSE, Pace


class Seconds:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def pace(seconds):
    return Pace(lambda: {"pd": 120, "free": 0, "slow": 1}, seconds)


def spend(pace, target, count):
    for _ in range(count):
        assert pace.room(target) >= 1
        pace.take(target)


def test_never_more_than_the_limit_in_any_minute(pace, seconds):
    sent = []
    for _ in range(1200):
        while pace.room("pd"):
            pace.take("pd")
            sent.append(seconds.now)
        seconds.now += 0.25
    worst = max(sum(at <= other < at + 60 for other in sent) for at in sent)
    assert 115 <= worst <= 120
    assert len(sent) == pytest.approx(60 + 300, abs=2)  # half at once, then half of the limit in each of five minutes


def test_a_target_without_a_limit_has_none(pace):
    spend(pace, "free", 5000)


def test_a_small_limit_lets_one_through_at_a_time(pace, seconds):
    spend(pace, "slow", 1)
    assert pace.room("slow") == 0
    seconds.now += 60
    assert pace.room("slow") == 1


def test_a_limit_that_a_reload_changes_counts_at_once(seconds):
    limits = {"pd": 2}
    pace = Pace(lambda: limits, seconds)
    spend(pace, "pd", 1)
    assert pace.room("pd") == 0
    limits["pd"] = 0
    assert pace.room("pd") > 1000


def test_a_target_that_fails_is_left_alone_and_tried_again_with_one_errand(pace, seconds):
    for _ in range(FAILURES):
        assert "pd" not in pace.closed()
        pace.failed("pd", None)
    assert pace.closed() == pace.broken() == {"pd"}
    seconds.now += ALONE
    assert pace.room("pd") == 1
    pace.take("pd")
    assert pace.room("pd") == 0
    pace.failed("pd", None)
    seconds.now += ALONE
    pace.take("pd")
    pace.answered("pd")
    assert pace.broken() == set()
    assert pace.room("pd") > 1


def test_an_answer_between_failures_starts_the_count_anew(pace):
    for _ in range(FAILURES * 3):
        pace.failed("pd", None)
        pace.answered("pd")
    assert pace.room("pd") > 1


def test_a_target_that_asks_for_patience_gets_it_and_is_not_broken(pace, seconds):
    pace.failed("pd", timedelta(seconds=30))
    assert pace.room("pd") == 0
    assert pace.broken() == set()
    seconds.now += 30
    assert pace.room("pd") > 1


def test_what_a_target_has_asked_for_holds_whatever_else_it_answers_meanwhile(pace, seconds):
    spend(pace, "pd", 3)
    pace.failed("pd", timedelta(seconds=30))  # and the two others, which were under way:
    pace.answered("pd")
    pace.failed("pd", timedelta(seconds=10))
    assert pace.room("pd") == 0
    seconds.now += 29
    assert pace.closed() == {"pd"}
    seconds.now += 1
    assert pace.room("pd") > 1


def test_a_pause_ends_no_sooner_because_the_target_fails_meanwhile(pace, seconds):
    pace.failed("pd", timedelta(seconds=30))
    for _ in range(FAILURES):
        pace.failed("pd", None)
    seconds.now += ALONE
    assert pace.room("pd") == 0
    seconds.now += ALONE
    assert pace.room("pd") == 1


def test_one_that_is_tried_again_and_asks_for_patience_is_left_alone_for_no_longer_than_that(pace, seconds):
    for _ in range(FAILURES):
        pace.failed("pd", None)
    seconds.now += ALONE
    pace.take("pd")
    pace.failed("pd", timedelta(seconds=2))
    seconds.now += 2
    assert pace.room("pd") > 1


def test_nobody_is_left_alone_for_an_hour_because_they_asked(pace, seconds):
    pace.failed("pd", timedelta(hours=1))
    seconds.now += LONGEST_PAUSE
    assert pace.room("pd") > 1
