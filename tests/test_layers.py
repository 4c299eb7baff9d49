"""Imports go one way: {clock, config} <- incident <- {store, integrations, reports} <- engine <- http <- cli."""

import ast

import pytest
from tree import imports, modules

BELOW = {
    "clock": set(),
    "config": set(),
    "incident": set(),
    "store": {"incident"},
    "integrations": {"incident"},
    "reports": {"incident"},
    "engine": {"incident", "store", "integrations", "reports"},
    "http": {"incident", "store", "integrations", "reports", "engine"},
    "__main__": {"cli"},
    "cli": {"incident", "store", "integrations", "reports", "engine", "http", "demo"},
    "demo": {"incident", "store", "integrations", "reports", "engine", "http"},
}
"""What each part of relay may import, besides itself, clock and config."""

IMPURE = {
    "asyncio", "os", "pathlib", "aiohttp", "requests", "sqlalchemy", "time", "random", "uuid", "logging", "structlog",
    "threading", "subprocess", "socket", "secrets",
}  # fmt: skip
"""What the pure heart does without: its clock, its chance and its world are arguments."""

MODULES = modules()


def part(name):
    return name.split(".")[1] if name.startswith("relay.") else ""


def test_every_part_is_known():
    assert {part(name) for name in MODULES if part(name)} <= BELOW.keys()


@pytest.mark.parametrize("name", [name for name in MODULES if part(name)])
def test_a_module_imports_only_what_is_below_it(name):
    mine = part(name)
    allowed = BELOW[mine] | {mine, "clock", "config"}
    taken = {part(imported) for imported in imports(MODULES[name]) if imported.startswith("relay.")}
    assert taken <= allowed, f"{name} imports {sorted(taken - allowed)}: imports go one way, see docs/design.md"


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) == "incident"])
def test_the_heart_is_pure(name):
    taken = {imported.split(".")[0] for imported in imports(MODULES[name])}
    assert not taken & IMPURE, f"{name} imports {sorted(taken & IMPURE)}: time and the world are arguments there"


@pytest.mark.parametrize("name", [name for name in MODULES if part(name) in ("config", "incident", "store", "reports")])
def test_only_the_edge_is_asynchronous(name):
    asynchronous = [node for node in ast.walk(MODULES[name]) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert not asynchronous
    assert not [imported for imported in imports(MODULES[name]) if imported.split(".")[0] == "asyncio"]


def test_probes_take_only_the_clock_and_the_configuration():
    for name in (name for name in MODULES if name.startswith("synthetic")):
        taken = {part(imported) for imported in imports(MODULES[name]) if imported.startswith("relay.")}
        assert taken <= {"clock", "config"}, name


def test_no_two_modules_import_each_other():
    graph = {name: {dep for dep in _modules_of(tree) if dep != name} for name, tree in MODULES.items()}
    order: list[str] = []
    while graph:
        free = [name for name, deps in graph.items() if not deps & graph.keys()]
        assert free, f"these import each other: {sorted(graph)}"
        order += free
        graph = {name: deps for name, deps in graph.items() if name not in free}


def _modules_of(tree):
    for imported in imports(tree):
        for name in (imported, imported.rpartition(".")[0]):
            if name in MODULES:
                yield name
                break
