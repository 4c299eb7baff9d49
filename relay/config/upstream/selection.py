"""What a route or an inhibition rule selects, and whether one selects all that another does."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from relay.config.matchers import Matcher, all_match, parse_matcher

_LIST = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Selection:
    """All of `matchers` must hold. `unread` are those that only Alertmanager's older parser may understand."""

    matchers: tuple[Matcher, ...] = ()
    unread: tuple[tuple[int, str], ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Say whether an alert with these labels is selected; of what could not be read it is not known, so no."""
        return not self.unread and all_match(self.matchers, labels)


def read_selection(matchers: Iterable[str], match: Mapping[str, str], match_re: Mapping[str, str]) -> Selection:
    """Read matchers as Alertmanager does: each text of the list may itself hold several."""
    read: list[Matcher] = []
    unread = []
    for index, text in enumerate(matchers):
        try:
            read += [parse_matcher(part) for part in _parts(text)]
        except ValueError as error:
            unread.append((index, str(error)))
    read += [Matcher(name, "=", value) for name, value in match.items()]
    for name, value in match_re.items():
        try:
            read.append(parse_matcher(str(Matcher(name, "=~", value))))
        except ValueError as error:
            unread.append((-1, str(error)))
    return Selection(tuple(read), tuple(unread))


def _parts(text: str) -> Iterator[str]:
    text = text.strip()
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    yield from (part for part in _LIST.findall(inner) if part.strip())


def covers(wide: Iterable[Matcher], narrow: Iterable[Matcher]) -> bool:
    """Say whether everything that meets all of `narrow` is certain to meet all of `wide`."""
    given = tuple(narrow)
    return all(_follows(matcher, given) for matcher in wide)


def contradiction(matchers: Iterable[Matcher]) -> tuple[Matcher, Matcher] | None:
    """Give two that no alert can meet both, if there are."""
    given = tuple(matchers)
    for one in given:
        values = one.choices()
        for other in given if values else ():
            if other.name == one.name and not any(other.matches({one.name: value}) for value in values):
                return one, other
    return None


def _follows(wanted: Matcher, given: tuple[Matcher, ...]) -> bool:
    same = [one for one in given if one.name == wanted.name]
    if wanted in same or (wanted.op == "=~" and wanted.value in (".*", "(.*)")):
        return True
    choices = (one.choices() for one in same)
    return any(values and all(wanted.matches({wanted.name: value}) for value in values) for values in choices)
