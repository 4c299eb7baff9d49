"""The OpenAPI document, written from the routes and their models."""

import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from relay.http.routes import Route
from relay.http.views import Refusal

_REF = "#/components/schemas/{model}"
_OF_A_ROLE = (401, 403)
_OF_A_BODY = (400, 413, 422, 503)
"""How every body may be refused that is read as a model: see `api.read_asked`."""


def describe(routes: Sequence[Route], version: str) -> str:
    """Write the document, OpenAPI 3.1, as JSON."""
    models = {m for route in routes for m in (route.takes, route.gives) if m} | {Refusal}
    ordered = sorted(models, key=lambda m: m.__name__)
    names, schemas = models_json_schema([(m, "serialization") for m in ordered], ref_template=_REF)
    refs = {model: names[(model, "serialization")] for model in ordered}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Relay", "version": version, "description": "The API of Relay."},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
    return json.dumps(document)


def _operation(route: Route, refs: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "done"}
    if route.gives:
        good["content"] = {"application/json": {"schema": refs[route.gives]}}
    refusals = {*route.refusals, *(_OF_A_ROLE if route.role else ()), *(_OF_A_BODY if route.takes else ())}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
        "parameters": [_path_parameter(name) for name in re.findall(r"{(\w+)}", route.path)]
        + [
            {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
            for name, meaning in route.query
        ],
        "responses": {"200": good} | {str(status): _refusal(status, refs) for status in sorted(refusals)},
    }
    if route.takes:
        operation["requestBody"] = {"content": {"application/json": {"schema": refs[route.takes]}}}
    if route.role:
        operation["security"] = [{"token": []}]
        operation["description"] = f"Needs the role {route.role}."
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _refusal(status: int, refs: dict[Any, Any]) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/json": {"schema": refs[Refusal]}},
    }
