"""Turn documents into typed values, or into complaints that a person can act on."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from relay.config.document import Document, Place, Route, Unreadable

Model = TypeVar("Model", bound=BaseModel)


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
        head = f"{self.place.file}:{self.place.line}:{self.place.column}: {kind}{self.problem}"
        if not self.line:
            return f"{head}\n  {self.advice}"
        number = f"{self.place.line} | "
        before = self.line[: self.place.column - 1]
        indent = " " * len(number) + "".join("\t" if c == "\t" else " " for c in before)
        width = max(1, min(self.place.width, len(self.line) - len(before)))
        return f"{head}\n{number}{self.line}\n{indent}{'^' * width} {self.advice}"


class Rejected(Exception):
    """The files were read, and cannot be used; every complaint is in it, not just the first."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = tuple(sorted(complaints, key=lambda c: (c.place.file, c.place.line, c.place.column)))
        super().__init__("\n\n".join(map(str, self.complaints)))


def unreadable(error: Unreadable) -> Complaint:
    """Put a file that is not YAML into a complaint."""
    return Complaint(error.place, str(error), "mend the YAML here", error.line)


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


def suggest(word: str, known: Iterable[str]) -> str:
    """Advise a word that is close to the one written, or list what can be written."""
    choices = sorted(known)
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
    problem, advice = _WORDS.get(error["type"], _plain)(error, model)
    return complain_at(document, error["loc"], problem, advice, key=about_the_key)


def _nearest(document: Document, route: Route, key: bool) -> Place:
    known: Route = ()
    for step in route:  # pydantic puts union tags into the path; they are not in the file
        if (*known, step) in document.keys:
            known = (*known, step)
    return (document.keys if key else document.values)[known]


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


def _plain(error: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    advice = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if isinstance(error["input"], Mapping | list):
        return "this cannot be used", advice
    return f'"{_short(error["input"])}" cannot be used', advice


def _short(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


_WORDS: dict[str, Callable[[ErrorDetails, type[BaseModel]], tuple[str, str]]] = {
    "missing": _missing,
    "extra_forbidden": _extra,
    "literal_error": _choice,
    "enum": _choice,
    "union_tag_invalid": _tag,
    "union_tag_not_found": _no_tag,
}


def _known_keys(model: type[BaseModel], loc: Route) -> list[str]:
    schema = model.model_json_schema()
    here = schema
    for step in loc:
        here = _step(_resolve(here, schema), step, schema)
    return [key for key in _resolve(here, schema).get("properties", {}) if not key.startswith("__")]


def _step(here: dict[str, Any], step: str | int, schema: dict[str, Any]) -> dict[str, Any]:
    for choice in here.get("anyOf", []):  # an optional section is a choice between it and null
        if "$ref" in choice or "properties" in choice or "items" in choice:
            here = _resolve(choice, schema)
    if isinstance(step, int):
        return dict(here.get("items", {}))
    mapping = here.get("discriminator", {}).get("mapping", {})
    if step in mapping:
        return {"$ref": mapping[step]}
    found = here.get("properties", {}).get(step) or here.get("additionalProperties")
    return dict(found) if isinstance(found, dict) else {}


def _resolve(here: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in here:
        here = schema["$defs"][here["$ref"].rsplit("/", 1)[1]]
    return here
