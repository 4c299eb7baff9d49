"""Alertmanager's matchers: `service=~"pay-.*"`, `env!="test"`, `"name with spaces"="x"`.

The syntax is Alertmanager's (its UTF-8 parser since 0.27); regular expressions are RE2's, anchored at both
ends, as there. A label that an alert does not have counts as the empty string.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import re2

_SYNTAX = re.compile(
    r'\s*(?:"(?P<quoted_name>(?:[^"\\]|\\.)*)"|(?P<name>[^\s{}!=~,\\"\'`]+))\s*'
    r"(?P<op>=~|!~|!=|=)\s*"
    r'(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s{}!=~,\\"\'`]*))\s*',
    re.DOTALL,
)
_WORDS = re.compile(r"[\w /:-]+(?:\|[\w /:-]+)*")
"""A regular expression that is only a choice of words."""
_LITERAL = re.compile(r"[\w /:-]+")
_REPEATS = ("*", "+", "?", "{", "(?")
"""What may make the character before it optional: RE2 reads `b(?i)*` as `b*`."""
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
"""What may be escaped; before anything else a backslash is a backslash, so that `\\.` and `\\d` need no doubling."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. `op` is one of `=`, `!=`, `=~`, `!~`."""

    name: str
    op: str
    value: str
    _regex: Any = field(default=None, repr=False, compare=False)
    _words: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    """All that a regular expression meets which is only a choice of words."""
    _prefix: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare what spares most alerts the regular expression, which costs several times as much."""
        if "~" in self.op:
            object.__setattr__(self, "_words", frozenset(_words(self.value)))
            object.__setattr__(self, "_prefix", _prefix(self.value))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Say whether the labels meet the condition."""
        value = labels.get(self.name, "")
        match self.op:
            case "=":
                return value == self.value
            case "!=":
                return value != self.value
            case "=~":
                return self._is_like(value)
            case _:
                return not self._is_like(value)

    def _is_like(self, value: str) -> bool:
        if self._words:
            return value in self._words
        return value.startswith(self._prefix) and self._regex.fullmatch(value) is not None

    def choices(self) -> tuple[str, ...]:
        """The only values that meet the condition, where they can be listed; else none."""
        if self.op == "=":
            return (self.value,)
        return _words(self.value) if self.op == "=~" else ()

    def prefix(self) -> str:
        """How every value begins that meets the condition, as far as that is easily seen."""
        return self._prefix if self.op == "=~" else ""

    def __str__(self) -> str:
        name = self.name if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", self.name) else _quote(self.name)
        return f"{name}{self.op}{_quote(self.value)}"


def _words(regex: str) -> tuple[str, ...]:
    return tuple(regex.split("|")) if _WORDS.fullmatch(regex) else ()


def _prefix(regex: str) -> str:
    if "|" in regex or not (found := _LITERAL.match(regex)):
        return ""
    return found[0][:-1] if regex[found.end() :].startswith(_REPEATS) else found[0]


def parse_matcher(text: str) -> Matcher:
    """Read one matcher. Raises ValueError that says how to write it, or what is wrong with its regex."""
    text = text.strip()
    found = _SYNTAX.fullmatch(text[1:-1] if text.startswith("{") and text.endswith("}") else text)
    if not found:
        raise ValueError(
            'write a matcher as Alertmanager does: name="value", name!="value", name=~"regex" or name!~"regex"'
        )
    name = found["name"] or _unescape(found["quoted_name"] or "")
    if not name:
        raise ValueError("name a label before the operator")
    value = found["bare"] if found["quoted"] is None else _unescape(found["quoted"])
    return Matcher(name, found["op"], value, compile_regex(value) if "~" in found["op"] else None)


def parse_selector(text: str) -> list[Matcher]:
    """Read matchers in braces, as in a query: `{name="value", …}`. Raises ValueError."""
    inside, found, at = text.strip()[1:-1], list[Matcher](), 0
    while at < len(inside):
        part = _SYNTAX.match(inside, at)
        if part is None or inside[part.end() : part.end() + 1] not in ("", ","):
            raise ValueError('write matchers in braces as in a query: {name="value", name="value"}')
        found.append(parse_matcher(part[0]))
        at = part.end() + 1
    return found


def compile_regex(value: str) -> Any:
    """Compile a regular expression of Prometheus' dialect. Raises ValueError."""
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True  # as in Prometheus since 3.0; in Alertmanager "." stops at a line break
    try:
        return re2.compile(value, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        raise ValueError(f"write a regular expression of the RE2 dialect, as in Prometheus: {reason}") from None


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[0]), text)


def all_match(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Say whether the labels meet every condition; no conditions are met by everything."""
    for matcher in matchers:  # noqa: SIM110 - asked for each branch and rule of each alert: a generator takes as long again
        if not matcher.matches(labels):
            return False
    return True
