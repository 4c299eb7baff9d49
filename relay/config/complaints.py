"""Turn documents into typed values, or into complaints that a person can act on."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relay.config.document import Document, Place, Route, Unreadable
from relay.config.trouble import Trouble

Model = TypeVar("Model", bound=BaseModel)


MOST_BESIDE = 100
"""Characters of a line that are shown at each side of what is complained about."""

_SECRET_NAME = r"\w*(?:token|secret|password|passwd|_key|apikey|sha256)"
_SECRET = re.compile(rf"""((?<!\w){_SECRET_NAME}["']?\s*:\s*)("[^"]*"?|'[^']*'?|[^\s,}}\]]+)""", re.IGNORECASE)
"""A secret that somebody has written into the file itself: complaints go to logs, and it must not."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing wrong in one file, and what to write instead."""

    place: Place
    problem: str
    advice: str
    line: str = ""
    warning: bool = False

    def __str__(self) -> str:
        kind = "warning: " if self.warning else ""
        at = f"{self.place}:{self.place.column}" if self.place.line else self.place.file
        head = f"{at}: {kind}{self.problem}"
        if not self.line:
            return f"{head}\n  {self.advice}"
        number = f"{self.place.line} | "
        before, marked, after = self._parts()
        indent = " " * len(number) + "".join(map(_blank, before))
        carets = "^" * max(1, sum(len(_blank(c)) for c in marked))
        return f"{head}\n{number}{before}{marked}{after}\n{indent}{carets} {self.advice}"

    def _parts(self) -> tuple[str, str, str]:
        """The line before, at and after the place, without secrets, and shortened where it is long."""
        line = _SECRET.sub(lambda found: found[1] + "*" * len(found[2]), self.line)
        start = self.place.column - 1
        before, marked = line[:start], line[start : start + self.place.width]
        after = line[start + self.place.width :]
        if len(before) > MOST_BESIDE:
            before = "…" + before[-MOST_BESIDE:]
        if len(marked) > MOST_BESIDE:
            marked, after = marked[:MOST_BESIDE], "…"
        return before, marked, after if len(after) <= MOST_BESIDE else after[:MOST_BESIDE] + "…"


def _blank(character: str) -> str:
    """What is as wide as a character on a terminal, and empty."""
    if character == "\t":
        return character
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "


class Rejected(Trouble):
    """The files were read, and cannot be used; every complaint is in it, not just the first."""

    code = 2

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = tuple(sorted(complaints, key=lambda c: (c.place.file, c.place.line, c.place.column)))
        super().__init__("\n\n".join(map(str, self.complaints)))


def unreadable(error: Unreadable) -> list[Complaint]:
    """Put all that makes a file no YAML, or no mapping of its keys, into complaints."""
    return [Complaint(one.place, str(one), one.advice, one.line) for one in (error, *error.others)]


def complain_at(document: Document, route: Route, problem: str, advice: str, *, key: bool = False) -> Complaint:
    """Complain about the value (or the key) at a route of a document."""
    place = _nearest(document, route, key)
    line = document.lines[place.line - 1] if place.line <= len(document.lines) else ""
    return Complaint(place, problem, advice, line)


def load(document: Document, model: type[Model]) -> Model:
    """Read the document as the model, or raise `Rejected` with all that is wrong."""
    try:
        return model.model_validate(document.data)
    except ValidationError as invalid:
        raise Rejected(complaints_of(document, invalid, model)) from None


def complaints_of(document: Document, invalid: ValidationError, model: type[BaseModel]) -> list[Complaint]:
    """Say every validation error in the reader's words, at the reader's line."""
    errors = invalid.errors()
    return [complain(document, error, model) for error in errors if not _echoes(error, errors)]


def in_words(invalid: ValidationError, model: type[BaseModel], whole: str) -> str:
    """Say every validation error of what came in no file, in one text; `whole` is what all of it is called."""
    errors = invalid.errors()
    wrong = ((".".join(map(str, e["loc"])) or whole, *words(e, model)) for e in errors if not _echoes(e, errors))
    return "; ".join(map(": ".join, wrong))


def suggest(word: str, known: Iterable[str]) -> str:
    """Advise a word that is close to the one written, or list what can be written."""
    choices = sorted(set(known))
    match get_close_matches(word, choices, n=1):
        case [close]:
            return f'did you mean "{close}"?'
        case _ if choices:
            return f"write one of: {', '.join(choices[:20])}"
        case _:
            return "there is none to choose from yet"


def _echoes(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """A list is "too short" when its items are wrong: only the items are worth a complaint."""
    at = error["loc"]
    return any(len(e["loc"]) > len(at) and e["loc"][: len(at)] == at for e in errors)


def complain(document: Document, error: ErrorDetails, model: type[BaseModel]) -> Complaint:
    """Say one validation error in the reader's words, at the reader's line."""
    about_the_key = error["type"] in {"missing", "extra_forbidden"}
    problem, advice = words(error, model)
    way = error["loc"]
    if error["type"] == "union_tag_invalid":
        way = (*way, error["ctx"]["discriminator"].strip("'"))
    return complain_at(document, way, problem, advice, key=about_the_key)


def words(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Say what is wrong, and what to write."""
    return _WORDS.get(error["type"], _plain)(error, model)


def in_the_file(document: Document, route: Route) -> Route:
    """Keep those steps that are in the file: pydantic puts union tags between them, and keys that are missing."""
    known: Route = ()
    for step in route:
        if (*known, step) in document.keys:
            known = (*known, step)
    return known


def _nearest(document: Document, route: Route, key: bool) -> Place:
    known = in_the_file(document, route)
    return (document.keys if key and known else document.values)[known]


def _missing(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    return f'"{error["loc"][-1]}" is missing', f'add "{error["loc"][-1]}: ..." here'


def _extra(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    word = str(error["loc"][-1])
    return f'unknown key "{word}"', suggest(word, _known_keys(model, error["loc"][:-1]))


def _choice(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    expected = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    return f'"{_short(error["input"])}" is not one of the choices', suggest(str(error["input"]), expected)


def _tag(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    expected = error["ctx"]["expected_tags"].replace("'", "").split(", ")
    return f'"{error["ctx"]["tag"]}" is not one of the choices', suggest(str(error["ctx"]["tag"]), expected)


def _no_tag(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    word = error["ctx"]["discriminator"].strip("'")
    return f'"{word}" is missing', f'add "{word}: ..." here'


def _few(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    return f'"{error["loc"][-1]}" has too few', f"write at least {error['ctx']['min_length']}"


def _empty(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    if error["input"] or not isinstance(error["loc"][-1], str):
        return _plain(error, model)
    return f'"{error["loc"][-1]}" is empty', "write one"


def _many(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    return f'"{error["loc"][-1]}" has too many', f"write at most {error['ctx']['max_length']}"


def _no_json(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    return "this is not JSON", str(error["ctx"]["error"])


def _plain(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    advice = _ADVICE.get(error["type"], "").format(**error.get("ctx", {})) or error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], Mapping | list):
        return "this cannot be used", advice
    if error["loc"] and re.fullmatch(_SECRET_NAME, str(error["loc"][-1]), re.IGNORECASE):
        return "this cannot be used", advice
    return f'"{_short(error["input"])}" cannot be used', advice


_LIST, _MAPPING, _NUMBER, _WHOLE = "write a list", "write a mapping", "write a number", "write a whole number"
_ADVICE = {
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "string_type": "write text, in quotes where it looks like a number",
    "string_too_long": "write at most {max_length} characters",
    "string_too_short": "write at least {min_length} character(s)",
    "string_pattern_mismatch": "write text of the form {pattern}",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
}


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


_WORDS: dict[str, Callable[[ErrorDetails, type[BaseModel]], tuple[str, str]]] = {
    "json_invalid": _no_json,
    "missing": _missing,
    "extra_forbidden": _extra,
    "literal_error": _choice,
    "enum": _choice,
    "union_tag_invalid": _tag,
    "union_tag_not_found": _no_tag,
    "string_too_short": _empty,
    "too_short": _few,
    "too_long": _many,
}


def _known_keys(model: type[BaseModel], loc: Route) -> list[str]:
    schema = model.model_json_schema()
    here = _resolve(schema, schema)
    for step in loc:
        here = _resolve(_step(here, step), schema)
    return [key for key in here.get("properties", {}) if not key.startswith("__")]


def _step(here: dict[str, Any], step: str | int) -> dict[str, Any]:
    if isinstance(step, int):
        return dict(here.get("items", here))  # where one need be no list, the choice between both was made
    mapping = here.get("discriminator", {}).get("mapping", {})
    if step in mapping:
        return {"$ref": mapping[step]}
    found = here.get("properties", {}).get(step) or here.get("additionalProperties")
    return dict(found) if isinstance(found, dict) else {}


def _resolve(here: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in here or "anyOf" in here:
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rsplit("/", 1)[1]]
        else:  # an optional section is a choice between it and null
            here = next((choice for choice in here["anyOf"] if choice.get("type") != "null"), {})
    return here
