"""YAML that remembers where every value was written."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Route = tuple[str | int, ...]
"""The way from the top of a document to a value in it: `("severity", "rules", 0, "matchers")`."""

MOST_DEEP = 100
"""Levels of nesting. The YAML library composes by recursion in C, which ends the process when it goes too deep."""
MOST_NODES = 200_000
"""Values in one file. More is a mistake or an attack by aliases; the largest rule file measured has 40,000."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file; line and column are counted from 1, `width` is how much stands there.

    Line 0 means that there is no file: `file` names a flag or a variable.
    """

    file: str
    line: int
    column: int = 1
    width: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class PlacedMapping(dict[str, Any]):
    """A YAML mapping that knows where it was written, so that a rule can later say where it stands."""

    place: Place


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML file: its plain data, and where each key and each value of it stands."""

    name: str
    lines: tuple[str, ...]
    data: Any
    keys: dict[Route, Place] = field(repr=False)
    values: dict[Route, Place] = field(repr=False)


class Unreadable(Exception):
    """The file is not YAML, or says the same thing twice."""

    def __init__(self, problem: str, place: Place, line: str = "", advice: str = "mend the YAML here") -> None:
        super().__init__(problem)
        self.place = place
        self.line = line
        self.advice = advice
        self.others: tuple[Unreadable, ...] = ()
        """What else is wrong with the file."""
        self.document: Document | None = None
        """The file without what is wrong, where that is known: what else it says can be looked at all the same."""


class _Loader(yaml.CSafeLoader):
    """YAML 1.2 scalars: `on`, `no`, `12:30` and `2026-01-01` are the text they look like."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, rx) for tag, rx in resolvers if tag.rsplit(":", 1)[1] == "null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9]{0,17})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$"),
    list("-+0123456789"),
)


def read(path: Path, name: str | None = None) -> Document:
    """Read one file; `name` is what to call it in complaints. Raises `Unreadable`."""
    name = name or str(path)
    try:
        return parse(path.read_text(encoding="utf-8"), name)
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
        raise Unreadable(problem, Place(name, 1), advice="save it as UTF-8") from error
    except OSError as error:
        advice = "name a file that is there and may be read"
        raise Unreadable(f"cannot be read: {error.strerror}", Place(name, 1), advice=advice) from error


def parse(text: str, name: str) -> Document:
    """Read one file's text. Raises `Unreadable` for what is not YAML or is written twice."""
    lines = tuple(text.splitlines())
    try:
        _check_depth(text, name)
        root = _Loader(text).get_single_node()
        reading = _Reading(name, {(): Place(name, 1)}, {(): Place(name, 1)})
        data = PlacedMapping() if root is None else reading.build(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name, 1)
        said = ": ".join(part for part in (error.context, error.problem) if part)
        raise Unreadable(said or str(error), at, _line(lines, at)) from error
    except yaml.reader.ReaderError as error:
        at = Place(name, text.encode()[: error.position].count(b"\n") + 1)
        raise Unreadable(f"has a character YAML does not allow: {error.reason}", at) from error
    except RecursionError as error:
        raise Unreadable("contains itself", Place(name, 1)) from error
    except Unreadable as error:
        error.line = _line(lines, error.place)
        raise
    document = Document(name, lines, data, reading.keys, reading.values)
    if reading.wrong:
        first, *others = reading.wrong
        for one in reading.wrong:
            one.line = _line(lines, one.place)
        first.others, first.document = tuple(others), document
        raise first
    return document


def _check_depth(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEEP:
            line = event.start_mark.line + 1 if event.start_mark else 1
            problem = f"is nested more than {MOST_DEEP} levels deep"
            raise Unreadable(problem, Place(name, line), advice="write it flatter")


def _line(lines: tuple[str, ...], at: Place) -> str:
    return lines[at.line - 1] if at.line <= len(lines) else ""


@dataclass(slots=True)
class _Reading:
    name: str
    keys: dict[Route, Place]
    values: dict[Route, Place]
    nodes: int = 0
    wrong: list[Unreadable] = field(default_factory=list)
    """What cannot be meant, and is left out."""

    def build(self, node: yaml.Node, route: Route) -> Any:
        self.nodes += 1
        place = self.place(node)
        if self.nodes > MOST_NODES:
            raise Unreadable(f"has more than {MOST_NODES:,} values", place, advice="cut it into several files")
        self.values[route] = place
        if node.tag.rsplit(":", 1)[-1] not in _TAGS:
            self.refuse(f"the tag {node.tag} is not understood", place, "remove it")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, route)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.keys[*route, index] = self.place(item)
            return [self.build(item, (*route, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def mapping(self, node: yaml.MappingNode, route: Route) -> PlacedMapping:
        mapping = PlacedMapping()
        mapping.place = self.place(node)
        for key_node, value_node in node.value:
            place, key = self.place(key_node), str(key_node.value)
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse("a key must be a word", place, "write a word")
            elif key == "<<":
                self.refuse('"<<" (merge) is not part of YAML 1.2', place, "write the keys out")
            elif key in mapping:
                self.refuse(f'"{key}" is written twice', place, "keep one of them")
            else:
                self.keys[*route, key] = place
                mapping[key] = self.build(value_node, (*route, key))
        return mapping

    def refuse(self, problem: str, place: Place, advice: str) -> None:
        self.wrong.append(Unreadable(problem, place, advice=advice))

    def place(self, node: yaml.Node) -> Place:
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if end.line == start.line else 1
        return Place(self.name, start.line + 1, start.column + 1, max(width, 1))


_TAGS = ("null", "bool", "int", "float", "str", "map", "seq")


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    match node.tag.rsplit(":", 1)[-1]:
        case "null":
            return None
        case "bool":
            return text == "true"
        case "int":
            return int(text)
        case "float":
            return float(text)
        case _:
            return text
