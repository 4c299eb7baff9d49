"""The house's rules of shape. A file near its limit is a sign to find the missing noun, not to cut it in half."""

import ast

import pytest
from tree import ROOT, imports, modules

MODULES = modules()
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "handler", "handlers"}
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
ABSTRACT = {"Protocol", "Exception", "Enum", "BaseModel", "BaseSettings", "object", "Generic"}
"""What others have written, and classes stand on; they count as no step of our own."""


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]


def lines(node):
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_are_short(name):
    tree = MODULES[name]
    last = max((node.end_lineno or 0 for node in ast.walk(tree) if hasattr(node, "end_lineno")), default=0)
    assert last <= 400, f"{name} has {last} lines: 400 are the most"
    long = {f.name: lines(f) for f in functions(tree) if lines(f) > 50}
    assert not long, f"functions of more than 50 lines in {name}: {long}"


@pytest.mark.parametrize("name", MODULES)
def test_no_import_hides_in_a_function_and_no_name_says_nothing(name):
    hidden = [f.name for f in functions(MODULES[name]) if list(imports(f))]
    assert not hidden, f"imports inside of {hidden} in {name}"
    assert not FORBIDDEN & set(name.split(".")), f"{name}: find the noun that says what it holds"
    assert not [i for i in imports(MODULES[name]) if i.endswith(".TYPE_CHECKING") or ".unittest.mock" in f".{i}"]


def test_inheritance_is_at_most_two_steps_deep():
    above: dict[str, list[str]] = {}
    for tree in MODULES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = [
                    base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases
                ]
                above[node.name] = [base for base in bases if base and base not in ABSTRACT and base != node.name]

    def depth(name):
        return 1 + max(map(depth, above[name]), default=0) if name in above else 0

    # a section of a rule file stands on `Placed`, and that on `Section`, which is pydantic's model with our settings
    deep = {name: depth(name) for name in above if depth(name) > 3}
    assert not deep, f"these stand on more than two classes of ours: {deep}"


def test_most_files_and_functions_are_much_shorter_than_they_may_be():
    sizes = sorted(len(path.read_text().splitlines()) for path in (ROOT / "relay").rglob("*.py"))
    spans = sorted(lines(f) for tree in MODULES.values() for f in functions(tree))
    assert sizes[len(sizes) // 2] <= 110
    assert sizes[len(sizes) * 9 // 10] <= 260
    assert spans[len(spans) * 9 // 10] <= 25
