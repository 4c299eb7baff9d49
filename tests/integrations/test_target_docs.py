"""The configuration that the docs tell people to copy can be used."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from relay.config.complaints import load
from relay.config.document import parse
from relay.config.settings import Settings
from relay.engine.ruleset import RuleFile
from relay.integrations import TARGETS

DOCS = Path(__file__).parents[2] / "docs" / "integrations"
MODELS: dict[str, type[BaseModel]] = {"rules": RuleFile, "settings": Settings}


def blocks(page: str) -> list[tuple[str, str]]:
    """What kind of YAML each block of a page is, and its text."""
    return re.findall(r"```yaml (\w+)\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", ["pagerduty.md", "opsgenie.md", "prometheus.md"])
def test_every_block_can_be_used_as_it_is(page: str) -> None:
    found = blocks(page)

    assert found
    for kind, text in found:
        load(parse(text, page), MODELS[kind])


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_every_kind_of_target_has_a_page_that_shows_its_every_setting(target: type[BaseModel]) -> None:
    (kind,) = get_args(target.model_fields["type"].annotation)
    page = (DOCS / f"{kind}.md").read_text(encoding="utf-8")

    assert f"type: {kind}" in page
    common = (DOCS.parent / "rules" / "fallback.md").read_text(encoding="utf-8")
    assert [name for name in target.model_fields if f"{name}:" not in page + common] == []
