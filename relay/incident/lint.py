"""Rules that can be used, and are hardly what anybody means: what `relay check` warns of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from relay.config.complaints import Complaint
from relay.config.document import Place
from relay.config.matchers import Matcher
from relay.config.upstream.selection import contradiction, covers
from relay.incident import oncall
from relay.incident.decide import Rules
from relay.incident.policy import LAST_RESORT, Policy, Recipients
from relay.incident.routing import Root, Route, branches
from relay.incident.window_lint import lint_breadth, lint_windows

AHEAD = timedelta(days=400)

_SEE = "see that they are right"

Labels = Mapping[str, str]


def lint(rules: Rules, now: datetime, recorded: Sequence[Labels] = ()) -> list[Complaint]:
    """Give warnings about rules. `recorded` are labels of alerts that came, to hold matchers against."""
    return sorted(
        (
            *_routes(rules.root, (*rules.root.routes, *rules.routes)),
            *_policies(rules, now),
            *(_warn(*found) for found in lint_windows(rules.windows, now)),
            *_services(rules),
            *(_unmet(rules, recorded) if recorded else ()),
        ),
        key=lambda complaint: (complaint.place.file, complaint.place.line),
    )


def _warn(place: Place, problem: str, advice: str) -> Complaint:
    return Complaint(place, problem, advice, warning=True)


def _routes(parent: Root | Route, children: Sequence[Route]) -> Iterator[Complaint]:
    """Branches that no alert can come to."""
    above = parent.matchers if isinstance(parent, Route) else ()
    for i, route in enumerate(children):
        if route.mode == "shadow":
            continue
        if found := contradiction((*above, *route.matchers)):
            yield _warn(route.place, f"no alert can meet both {found[0]} and {found[1]}", "mend or remove this route")
        taken = [one for one in children[:i] if one.mode == "enforce" and covers(one.matchers, route.matchers)]
        if taken:
            yield _warn(
                route.place,
                f"this route is never taken: {taken[0].place} comes first, and takes all that would come here",
                "put it before that one, or remove it",
            )
        yield from _routes(route, route.routes)


def _policies(rules: Rules, now: datetime) -> Iterator[Complaint]:
    used = {branch.policy for branch in branches(rules.root, rules.routes) if branch.policy}
    for name, policy in rules.policies.items():
        if name not in used:
            yield _warn(policy.place, f'no route leads to the policy "{name}"', "name it in a route, or remove it")
        yield from _levels(rules, name, policy, now)


def _levels(rules: Rules, name: str, policy: Policy, now: datetime) -> Iterator[Complaint]:
    levels = [(level.name, level.page, level.place) for level in policy.levels]
    for level, page, place in (*levels, (LAST_RESORT, policy.last_resort, policy.place)):
        always = level == LAST_RESORT
        if not any(_reaches(recipient, rules, now, always=always) for recipient in page):
            problem = f'nobody can be reached at {level} of "{name}", now or within {AHEAD.days} days'
            yield _warn(place, problem, "see relay gaps, and when its rotations begin and end")


def _reaches(recipient: Recipients, rules: Rules, now: datetime, *, always: bool) -> bool:
    """Whether somebody can be rung some day; `always` rings who is named, even when unavailable."""
    name = recipient.rotation or recipient.schedule
    moments = [now + timedelta(days=day) for day in range(AHEAD.days)]
    if recipient.person and not always:
        return any(rules.roster.absence(recipient.person, moment) is None for moment in moments)
    if not name or (name in rules.roster.schedules and rules.roster.schedules[name].provider):
        return True
    return any(oncall.on_call(name, rules.roster, moment).person for moment in moments)


def _services(rules: Rules) -> Iterator[Complaint]:
    for name, service in rules.services.services.items():
        for key, what in (("owner", "owner"), ("runbook", "runbook")):
            if not getattr(service, key):
                yield _warn(service.place, f'service "{name}" has no {what}', f'add "{key}: ..."')


def _unmet(rules: Rules, recorded: Sequence[Labels]) -> Iterator[Complaint]:
    """Matchers that no recorded alert has met, and windows that many have."""
    for route in branches(rules.root, rules.routes):
        if isinstance(route, Route) and not _any(recorded, route.matchers):
            yield _warn(route.place, "no recorded alert meets the matchers of this route", _SEE)
    for rule in rules.scale.rules:
        if rule.matchers and not _any(recorded, rule.matchers):
            yield _warn(
                rule.place, "no recorded alert meets the matchers of this severity rule", "see that they are right"
            )
    for window in rules.windows:
        yield from (_warn(*found) for found in lint_breadth(window, recorded))


def _any(recorded: Iterable[Labels], matchers: Sequence[Matcher]) -> bool:
    return any(all(matcher.matches(labels) for matcher in matchers) for labels in recorded)
