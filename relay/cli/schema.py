"""`relay schema`: JSON Schema of the rule files, for editors."""

import json
from typing import Any

import click
from pydantic import BaseModel

from relay.engine.ruleset import RuleFile
from relay.engine.scenario import ScenarioFile
from synthetic.checks import ProbeFile

KINDS: dict[str, type[BaseModel]] = {"rules": RuleFile, "tests": ScenarioFile, "probes": ProbeFile}
TITLES = {"rules": "Relay's rule files", "tests": "Tests of Relay's rules", "probes": "Files of synthetic probes"}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)), default="rules")
def schema(kind: str) -> None:
    """Print the JSON Schema of rule files, of their tests, or of probe files: editors complete and check by it.

    With the YAML language server, a file's first line names it: # yaml-language-server: $schema=rules.schema.json
    """
    click.echo(json.dumps(describe(kind), indent=2))


def describe(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file, draft 2020-12."""
    made = KINDS[kind].model_json_schema()
    for part in (made, *made.get("$defs", {}).values()):
        part.get("properties", {}).pop("__place__", None)  # where a section stands, which nobody writes
    used = json.dumps({name: part for name, part in made.items() if name != "$defs"}) + json.dumps(made["$defs"])
    kept = {name: part for name, part in made["$defs"].items() if f'"#/$defs/{name}"' in used}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": TITLES[kind], "$defs": kept}
