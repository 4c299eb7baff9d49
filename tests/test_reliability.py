"""The table of docs/reliability.md has a row for every fault that the suite records, and all are tried for it."""

import ast
from pathlib import Path

from reliability import BEGIN, END, PAGE

ROOT = Path(__file__).parents[1]
PLACE = {"hold": 3, "record": 0}
"""Functions of the ledger, and where they are told the fault."""


def recorded():
    """Faults, by the file that records them."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PLACE:
                fault = node.args[PLACE[node.func.id]]
                assert isinstance(fault, ast.Constant), f"{path.name}: write the fault out, so that it can be found"
                yield fault.value, path.relative_to(ROOT)


def test_every_fault_that_is_tried_has_a_row_and_every_row_is_tried():
    table = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = {line.split(" | ")[0].removeprefix("| ") for line in table.strip().splitlines()[2:]}
    assert rows == {fault for fault, _ in recorded()}, "run: make reliability"


def test_make_reliability_tries_them_all():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = makefile.partition("FAULTS :=")[2].partition("\n\n")[0]
    for fault, path in recorded():
        below = path.relative_to("tests")
        assert str(below) in listed or below.parts[0] in listed.split()[-1], f"{fault}: {path} is not among FAULTS"
