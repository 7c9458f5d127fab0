"""The OpenAPI document: FastAPI's, with problem documents in place of its own errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.models import Problem
from api.http.routing import problem_response

_DESCRIPTION = """Commands become events in an immutable log; what you read here is folded from it.

Sockets speak `chat.v1`, described in `/asyncapi.json`. Ids are strings, times RFC 3339 in UTC. Unknown fields in
a request are refused, but any body may carry an ignored `ext` object; ignore fields that you do not know."""
_ANY_ROUTE = {"500": "`internal`", "503": "`unavailable`: the outcome is unknown, repeat with the same id"}
_WITH_BODY = {
    "400": "`bad_json`",
    "413": "`too_large`",
    "415": "`bad_json`: not marked as what the path takes",
    "422": "`invalid`, `unknown_field`",
}


def document(app: FastAPI, version: str, more_schemas: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAPI 3.1 of all routes. `more_schemas`: components that routes refer to by name."""
    made = get_openapi(
        title="Tidings", version=version, openapi_version="3.1.0", description=_DESCRIPTION, routes=app.routes
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    schemas.update(more_schemas)
    for path, operations in made["paths"].items():
        for operation in operations.values():
            _add_problems(operation, under_v1=path.startswith("/v1/"))
    return made


def _add_problems(operation: dict[str, Any], under_v1: bool) -> None:
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]  # FastAPI's own
    general = dict(_ANY_ROUTE) if under_v1 else {"500": _ANY_ROUTE["500"]}
    if "requestBody" in operation:
        general |= _WITH_BODY
    elif operation.get("parameters"):
        general["422"] = "`invalid`"
    if operation.get("security"):
        general["401"] = "`bad_token`"
    for status, description in general.items():
        if status in responses:
            known = responses[status]["description"]
            if description not in known:
                responses[status]["description"] = f"{known}, {description}"
        else:
            responses[status] = problem_response(description)
    operation["responses"] = dict(sorted(responses.items()))
