"""Windows that can be used, and are hardly what anybody means."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from relay.config.document import Place
from relay.incident.occasions import Occasion
from relay.incident.window import Window

LONG = timedelta(hours=12)
"""A window that is open for longer at a time is worth a look."""
AHEAD = timedelta(days=400)
OFTEN_IN = timedelta(days=56)
OFTEN = 0.5
"""What comes round, and is open for more of the time, is hardly maintenance."""
MOST_OF = 0.5
"""A window that covers more of what was recorded is broad."""

Found = tuple[Place, str, str]
"""Where the window is, what is odd about it, and what to do."""


def lint_windows(windows: Iterable[Window], now: datetime) -> Iterator[Found]:
    """Give warnings about when windows are open, and how much they cover."""
    for window in windows:
        yield from _times(window, now)
        if window.covers_any_name():
            yield (
                window.place,
                f'window "{window.name}" covers nearly every alert: its matchers are met by any that has a name',
                "make it narrower",
            )
        for problem, advice in window.idle_dates():
            yield (window.place, f'window "{window.name}": {problem}', advice)


def _times(window: Window, now: datetime) -> Iterator[Found]:
    coming = window.occasions(now, now + AHEAD)
    if window.calendar is None and not window.opens_after(now):
        yield (window.place, f'window "{window.name}" does not open any more', "remove it")
    longest = max((occasion.ends - occasion.starts for occasion in coming), default=timedelta())
    if longest > LONG and not window.never_suppress and window.mode == "enforce":
        hours = round(longest.total_seconds() / 3600)
        yield (
            window.place,
            f'window "{window.name}" holds everything it covers for {hours} hours, SEV-1 included',
            'make it shorter, or write "never_suppress: [SEV-1]"',
        )
    elif (share := _open(coming, now, now + OFTEN_IN) / OFTEN_IN) > OFTEN and (
        window.weekly or window.rrule or window.cron
    ):
        yield (
            window.place,
            f'window "{window.name}" is open for {round(100 * share)} % of the time',
            "make it shorter, or route what it covers to nobody",
        )


def _open(occasions: Iterable[Occasion], since: datetime, until: datetime) -> timedelta:
    """For how long between two instants something is open; occasions are in order, and may overlap."""
    total = timedelta()
    for starts, ends in occasions:
        begin, end = max(starts, since), min(ends, until)
        if begin < end:
            total += end - begin
            since = end
    return total


def lint_breadth(window: Window, recorded: Sequence[Mapping[str, str]]) -> Iterator[Found]:
    """Give a warning about a window that covers none, or many, of the alerts that came."""
    met = sum(window.covers(labels) for labels in recorded)
    if not met:
        yield (
            window.place,
            f'no recorded alert is covered by window "{window.name}"',
            "see that its matchers are right",
        )
    elif met > MOST_OF * len(recorded) and len(recorded) > 1:
        share = round(100 * met / len(recorded))
        yield (window.place, f'window "{window.name}" covers {share} % of the recorded alerts', "make it narrower")
