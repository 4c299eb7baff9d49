"""A maintenance window as people write it: when it is open, what it covers, and what it does. Section `windows:`."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PrivateAttr, WithJsonSchema, model_validator

from relay.config.matchers import Matcher, all_match, compile_regex
from relay.config.types import Day, Duration, Moment, OneMatcher, Placed, TimeOfDay, Zone, at_least, to_utc
from relay.incident.ical import Padded, Read, read_calendar
from relay.incident.occasions import Amended, Amendment, Occasion, Occasions, Once, Series, State, state
from relay.incident.recurrence import Cron, Rule, Starts, Weekly, refuse_too_close
from relay.incident.severity import SeverityLevel

A_MINUTE = timedelta(minutes=1)
LONGEST = timedelta(days=31)
"""How long one time of what comes round may last."""

_AHEAD = timedelta(days=3660)
_MOMENT = timedelta(microseconds=1)

MatcherSet = Annotated[tuple[OneMatcher, ...], Field(min_length=1)]


def _read_exception(value: Any) -> date | datetime:
    """A day, or the wall time of one start."""
    text = str(value)
    try:
        read = date.fromisoformat(text) if len(text) == len("2026-12-24") else datetime.fromisoformat(text)
        if isinstance(read, datetime) and read.tzinfo is not None:
            raise ValueError
        return read
    except ValueError:
        raise ValueError("write a day such as 2026-12-24, or a start such as 2026-12-24T22:00") from None


Exception_ = Annotated[date | datetime, BeforeValidator(_read_exception), WithJsonSchema({"type": "string"})]


class WeeklyTimes(Placed):
    """The same hours of some days every week; `to` at or before `from` is on the next day."""

    days: tuple[Day, ...] = Field(min_length=1)
    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay


class Announce(Placed):
    """Who is told of the window itself, and when."""

    to: tuple[str, ...] = Field(min_length=1)
    before: tuple[Annotated[Duration, at_least(A_MINUTE)], ...] = ()
    at_start: bool = False
    at_end: bool = False


class WindowCalendar(Placed):
    """An iCalendar file, or the address of one, whose events are the times of the window."""

    file: str = ""
    """Beside the rule file that names it."""
    url: str = ""
    url_file: str = ""
    """A file that holds the address, where that is a secret."""
    only: str = ""
    """A regular expression (RE2, found anywhere) that the summary of an event must meet."""
    before: Duration = timedelta()
    after: Duration = timedelta()
    refresh: Annotated[Duration, at_least(A_MINUTE)] = timedelta(minutes=15)
    stale_after: Annotated[Duration, at_least(A_MINUTE)] = timedelta(days=1)
    stale: Literal["keep", "ignore"] = "keep"
    """What becomes of the times that are known, when the address has not answered for so long."""

    _wanted: Any = PrivateAttr()

    @model_validator(mode="after")
    def _one_place(self) -> "WindowCalendar":
        if sum(map(bool, (self.file, self.url, self.url_file))) != 1:
            raise ValueError('write exactly one of "file", "url" and "url_file"')
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError("write an address that begins with https:// or http://")
        self._wanted = compile_regex(self.only)
        return self

    def read(self, text: str, zone: ZoneInfo) -> Read:
        """Give the times that a calendar's text tells of. Raises ValueError.

        An event that cannot be used spoils a file, which its owner can mend, but no calendar that others publish.
        """
        found, unread = read_calendar(text, zone, lambda summary: self._wanted.search(summary) is not None)
        if self.file and unread:
            raise ValueError("; ".join(unread))
        return Read(tuple(Padded(one, self.before, self.after) for one in found), unread)


class Window(Placed):
    """One maintenance window: open once (`starts`, `ends`) or often (`weekly`, `rrule`, `cron`, `calendar`)."""

    name: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    zone: Zone
    mode: Literal["enforce", "shadow"] = "enforce"
    """A shadow holds nothing: the timeline says what it would have held."""

    matchers: MatcherSet | None = None
    any_of: Annotated[tuple[MatcherSet, ...], Field(min_length=1)] | None = None

    starts: Moment | None = None
    ends: Moment | None = None
    duration: Annotated[Duration, at_least(A_MINUTE)] | None = None
    to: TimeOfDay | None = None
    weekly: WeeklyTimes | None = None
    rrule: str = ""
    cron: str = ""
    calendar: WindowCalendar | None = None
    except_: tuple[Exception_, ...] = Field(default=(), alias="except")
    also: tuple[Moment, ...] = ()

    suppress: Literal["pages", "notifications"] = "pages"
    never_suppress: tuple[SeverityLevel, ...] = ()
    """Severities that page all the same."""
    max_suppressed: int | None = Field(default=None, ge=1)
    """An incident of more alerts than these is not what was planned: it pages."""
    redirect: str = ""
    """A target that is paged instead."""
    pause_escalations: bool = False
    grace: Duration = timedelta()
    announce: Announce | None = None
    mirror: bool = False
    """Alertmanager is told to be silent, too, as long as it is open."""

    _series: tuple[Occasions, ...] = PrivateAttr()
    _unread: tuple[str, ...] = PrivateAttr(default=())
    _sets: tuple[tuple[Matcher, ...], ...] = PrivateAttr()

    @model_validator(mode="after")
    def _is_whole(self) -> "Window":
        if (self.matchers is None) == (self.any_of is None):
            raise ValueError('write either "matchers" (all of them) or "any_of" (lists of matchers, one of which)')
        self._sets = self.any_of or (self.matchers or (),)
        if any(all_match(one, {}) for one in self._sets):
            raise ValueError("these matchers cover alerts of every kind: one of them must ask for a value")
        if self.mirror and (self.never_suppress or self.max_suppressed or self.redirect):
            raise ValueError('"mirror" keeps alerts from Relay: it goes with no exception, limit or redirection')
        self._series = (self._read_times(),) if self.calendar is None else self._no_times_yet()
        return self

    def _no_times_yet(self) -> tuple[Occasions, ...]:
        others = ("starts", "ends", "duration", "to", "weekly", "rrule", "cron", "except_", "also")
        if beside := [name.rstrip("_") for name in others if getattr(self, name)]:
            raise ValueError(f'write the times in the calendar, and not "{beside[0]}" beside it')
        return ()

    def with_calendar(self, text: str) -> "Window":
        """The same window with the times that its calendar tells of. Raises ValueError."""
        assert self.calendar is not None
        known = self.model_copy()
        known._series, known._unread = self.calendar.read(text, self.zone)
        return known

    # ---- when ----

    def _read_times(self) -> Occasions:
        kinds = [kind for kind in ("weekly", "rrule", "cron") if getattr(self, kind)]
        if len(kinds) > 1:
            raise ValueError(f"write only one of {' and '.join(kinds)}")
        if not kinds:
            return self._once()
        starts, length = self._recurring(kinds[0])
        if isinstance(length, timedelta) and length > LONGEST:
            raise ValueError("write a duration of at most 31d: for more, let the window be open throughout")
        refuse_too_close(starts, self._wall(self.starts))
        return Series(
            self.zone,
            starts,
            length,
            tuple(sorted(wall for moment in self.also if (wall := self._wall(moment)))),
            frozenset(self.except_),
            to_utc(self.starts, self.zone) if self.starts else None,
            to_utc(self.ends, self.zone, end=True) if self.ends else None,
        )

    def _once(self) -> Once:
        if (
            self.starts is None
            or (self.ends is None) == (self.duration is None)
            or self.to
            or self.also
            or self.except_
        ):
            raise ValueError('write "starts" with either "ends" or "duration", or one of "weekly", "rrule" and "cron"')
        starts = to_utc(self.starts, self.zone)
        ends = to_utc(self.ends, self.zone, end=True) if self.ends else starts + (self.duration or timedelta())
        if ends <= starts:
            skipped = self.ends and self._wall(self.ends) > self._wall(self.starts)  # type: ignore[operator]
            because = f": clocks in {self.zone} skip that hour then" if skipped else ""
            raise ValueError(f'"ends" must be later than "starts"{because}')
        return Once(Occasion(starts, ends))

    def _recurring(self, kind: str) -> tuple[Starts, timedelta | time]:
        if self.weekly:
            if self.duration or self.to:
                raise ValueError('write "from" and "to" inside "weekly", and neither "duration" nor "to" beside it')
            return Weekly(frozenset(self.weekly.days), self.weekly.from_), self.weekly.to
        length = self.duration or self.to
        if length is None or (self.duration and self.to):
            raise ValueError(f'write how long: "{kind}" needs either "duration" or "to" (a time of day)')
        if kind == "cron":
            return Cron(self.cron), length
        first = self._wall(self.starts)
        if first is None:
            raise ValueError('write "starts": a rule counts from its first time')
        return Rule(self.rrule, first, self.zone), length

    def _wall(self, moment: datetime | None) -> datetime | None:
        if moment is None or moment.tzinfo is None:
            return moment
        return moment.astimezone(self.zone).replace(tzinfo=None)

    def amended(self, amendments: Iterable[Amendment]) -> "Window":
        """The same window, of which times that it was open at (its `grace` included) end at other times."""
        known = self.model_copy()
        known._series = tuple(Amended(one, tuple(amendments), self.grace) for one in self._series)
        return known

    def open_occasion(self, now: datetime) -> Occasion | None:
        """The time that it is open at, its `grace` included; of several, from the first start to the last end."""
        found = [o for o in self.occasions(now - self.grace, now + _MOMENT) if o.starts <= now]
        return Occasion(found[0].starts, max(o.ends for o in found)) if found else None

    def opens_after(self, moment: datetime) -> bool:
        """Whether it is open at any time after a moment, within ten years."""
        return any(True for one in self._series for _ in one.between(moment, moment + _AHEAD))

    def next_occasion(self, now: datetime) -> Occasion | None:
        """The next time that it opens, within ten years."""
        some = next(self._opens(now, now + _AHEAD), None)
        return min(self._opens(now, some.starts + _MOMENT)) if some else None

    def _opens(self, after: datetime, until: datetime) -> Iterator[Occasion]:
        return (one for series in self._series for one in series.between(after, until) if one.starts > after)

    def idle_dates(self) -> Iterator[tuple[str, str]]:
        """Dates that are written, and do nothing; each with what to do about it."""
        for series in self._series:
            if isinstance(series, Series):
                yield from series.idle()

    def occasions(self, after: datetime, before: datetime) -> list[Occasion]:
        """Every time it is open between two instants, in order; without its `grace`."""
        return sorted({occasion for one in self._series for occasion in one.between(after, before)})

    @property
    def unread(self) -> tuple[str, ...]:
        """What is wrong with events of its calendar that cannot be used, and are left out."""
        return self._unread

    def state(self, now: datetime) -> State:
        """Whether it is open (its `grace` included), until when, and when that has to be looked at again."""
        return state(self._series, now, self.grace)

    # ---- what ----

    def covers(self, labels: Mapping[str, str]) -> bool:
        """Whether one of its sets of matchers is met."""
        return any(all_match(one, labels) for one in self._sets)

    def covers_any_name(self) -> bool:
        """Whether alerts are covered that have nothing but a name, whatever it is: nearly all there are."""
        return self.covers({"alertname": "any name that an alert may have"})

    def sets(self) -> tuple[tuple[Matcher, ...], ...]:
        """Its sets of matchers, one of which must be met."""
        return self._sets

    @property
    def because(self) -> str:
        """The window as a reason: its name, where it stands, and why it is."""
        return f"maintenance window {self.name} ({self.place}): {self.reason}"
