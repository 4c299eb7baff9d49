"""Writes docs/lifecycle.md from the phase table. `python -m tests.docs_lifecycle` brings the page up to date."""

from pathlib import Path

from relay.incident.events import Event
from relay.incident.lifecycle import AWAKE, NEXT, PHASES

PAGE = Path(__file__).parents[1] / "docs" / "lifecycle.md"

HEAD = """\
# The life of an incident

This page is written from `relay/incident/lifecycle.py` by `python -m tests.docs_lifecycle`; a test fails when it is out
of date. An event that a phase does not list cannot happen in it: it is refused in words, over HTTP with 409.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_diagram(), "", *_table(), "", *_phases()])


def _diagram() -> list[str]:
    arrows = [
        f"  {phase} --> {to}: {', '.join(_names(phase, to))}"
        for phase in PHASES
        for to in PHASES
        if to != phase and _names(phase, to)
    ]
    return ["```mermaid", "stateDiagram-v2", "  [*] --> new", *arrows, "  closed --> [*]", "```"]


def _table() -> list[str]:
    rows = [
        f"| `{phase}` | {meaning} | {', '.join(sorted(AWAKE[phase])) or 'none'} |" for phase, meaning in PHASES.items()
    ]
    return ["| phase | what it means | concerns that are awake |", "|---|---|---|", *rows]


def _phases() -> list[str]:
    lines = ["## What can happen in each phase", ""]
    for phase in PHASES:
        lines += [f"### {phase}", "", "| event | leads to |", "|---|---|"]
        lines += [f"| {', '.join(_names(phase, to))} | `{to}` |" for to in PHASES if _names(phase, to)]
        lines.append("")
    return lines


def _names(phase: str, to: str) -> list[str]:
    kinds: dict[type[Event], str] = NEXT[phase]
    return sorted(kind.__name__ for kind, leads_to in kinds.items() if leads_to == to)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
