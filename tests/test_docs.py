"""The docs are complete, and what they tell people to write can be read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from docs_lifecycle import PAGE as LIFECYCLE
from docs_lifecycle import page as lifecycle_page
from pydantic import BaseModel

from relay.cli import main
from relay.config.complaints import load
from relay.config.document import Document, parse
from relay.config.settings import Settings, load_settings
from relay.engine.metrics import Metrics
from relay.engine.ruleset import RuleFile
from relay.engine.scenario import ScenarioFile
from relay.http.app import ROUTES
from relay.incident.lifecycle import AWAKE
from relay.integrations import TARGETS
from synthetic.checks import ProbeFile
from synthetic.cli import main as synthetic
from synthetic.exposition import HELP
from synthetic.run import REASONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```yaml *(.*?)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def text(*names: str) -> str:
    return "\n".join((DOCS / name).read_text(encoding="utf-8") for name in names)


# ---- what may be copied can be read -----------------------------------------------------------------------------


def blocks() -> Iterator[Any]:
    """Every YAML block for Relay itself: its place, whether it is settings, and what it says."""
    for page in (ROOT / "README.md", *PAGES):
        written = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(written):
            kind, body = found[1], found[2]
            document = parse(body, f"{page.relative_to(ROOT)}:{written[: found.start()].count(chr(10)) + 1}")
            settings = kind == "settings" or body.startswith("# settings")
            first = next(iter(document.data), "") if isinstance(document.data, dict) else ""
            if kind in ("tests", "probes"):
                yield pytest.param(ScenarioFile if kind == "tests" else ProbeFile, document, id=document.name)
            elif settings or (kind in ("", "rules") and first in RuleFile.model_fields):
                yield pytest.param(Settings if settings else RuleFile, document, id=document.name)


BLOCKS = list(blocks())


@pytest.mark.parametrize(("model", "document"), BLOCKS)
def test_every_yaml_block_can_be_read(model: type[BaseModel], document: Document, tmp_path: Path) -> None:
    if model is Settings:
        (tmp_path / "relay.yaml").write_text("\n".join(document.lines))
        load_settings(tmp_path / "relay.yaml", {})
    else:
        load(document, model)


def test_the_example_settings_can_be_read() -> None:
    assert load_settings(ROOT / "examples" / "relay.yaml", {}).sources.keys() == {"prod"}


def test_every_section_and_every_setting_has_a_block_to_copy() -> None:
    shown = {section for block in BLOCKS for section in block.values[1].data}
    assert RuleFile.model_fields.keys() <= shown


# ---- nothing is left out ----------------------------------------------------------------------------------------


def models(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """Every model that a field of this type may hold, and those inside of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
        seen.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation, seen)
    for inner in get_args(annotation):
        yield from models(inner, seen)


def undocumented(model: type[BaseModel], pages: str, without: tuple[type, ...] = ()) -> list[str]:
    """Keys that no page names in a table, or shows on a line of their own in a block."""
    return [
        f"{part.__name__}.{field.alias or name}"
        for part in models(model, set())
        if not issubclass(part, without or ())
        for name, field in part.model_fields.items()
        if name != "place"
        and not re.search(rf"`{field.alias or name}:?`|^ +{field.alias or name}: ", pages, re.MULTILINE)
    ]


def test_every_key_of_every_section_is_explained() -> None:
    pages = text(*(f"rules/{page.name}" for page in (DOCS / "rules").glob("*.md")), "index.md")
    assert undocumented(RuleFile, pages, TARGETS) == []


def test_every_key_of_a_test_is_explained() -> None:
    assert undocumented(ScenarioFile, text("testing.md")) == []


def test_everything_about_synthetic_probes_is_explained() -> None:
    page = text("synthetic.md")
    assert undocumented(ProbeFile, page) == []
    options = [option for parameter in synthetic.params for option in parameter.opts if option != "--version"]
    assert [name for name in (*HELP, *REASONS, *options) if f"`{name}`" not in page] == []
    routes = re.findall(r'add_(get|post)\("([^"]+)"', (ROOT / "synthetic" / "server.py").read_text())
    assert [path for method, path in routes if f"`{method.upper()} {path}`" not in page] == []


def test_every_setting_is_explained() -> None:
    assert undocumented(Settings, text("settings.md")) == []


def test_every_kind_of_target_has_a_page_that_explains_its_keys() -> None:
    for target in TARGETS:
        module = target.__module__.rpartition(".")[2]
        assert undocumented(target, text(f"integrations/{module}.md", "rules/fallback.md")) == []


def test_every_command_and_option_is_explained() -> None:
    page = text("cli.md")
    missing = []
    for path, command in commands(main, "relay"):
        if not re.search(rf"`{path}\b", page):
            missing.append(path)
        for option in (p for p in command.params if isinstance(p, click.Option)):
            if not any(f"`{name}`" in page or f"`{name} " in page for name in option.opts):
                missing.append(f"{path} {option.opts[-1]}")
    assert missing == []


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from commands(inner, f"{path} {name}")


def test_every_route_is_explained_with_its_role() -> None:
    page = text("http.md")
    rows = {f"| `{route.method} {route.path}` | " + (f"{route.role} |" if route.role else "") for route in ROUTES}
    assert [row for row in rows if row not in page] == []
    told = set(re.findall(r"^\| `((?:GET|POST|PUT|DELETE|PATCH) [^`]+)`", page, re.MULTILINE))
    assert told == {f"{route.method} {route.path}" for route in ROUTES}


def test_every_metric_is_explained_and_no_other() -> None:
    names = {metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "") for metric in metrics()}
    assert set(re.findall(r"^\| `(relay_\w+)`", text("metrics.md"), re.MULTILINE)) == names


def metrics() -> list[Any]:
    return list(Metrics().registry.collect())


def test_every_page_is_linked_from_the_index_and_every_link_leads_somewhere() -> None:
    linked = set(re.findall(r"\]\(([^)#]+\.md)", text("index.md")))
    assert {str(page.relative_to(DOCS)) for page in PAGES} - {"index.md"} <= linked
    for page in (ROOT / "README.md", *PAGES):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)} links to {link}"


def test_the_life_of_an_incident_is_up_to_date() -> None:
    assert LIFECYCLE.read_text(encoding="utf-8") == lifecycle_page(), "run: python -m tests.docs_lifecycle"


def test_every_concern_is_explained() -> None:
    missing = {concern for awake in AWAKE.values() for concern in awake if f"- `{concern}`:" not in text("design.md")}
    assert not missing
