"""The API's own description (OpenAPI 3.1), rendered from its routes."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from edge.control.api import Route
from edge.control.asks import Problem


def render(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The document."""
    paths: dict[str, Any] = {}
    models: dict[str, type[BaseModel]] = {"Problem": Problem}
    for route in routes:
        for model in (route.takes, route.gives):
            if model is not None:
                models[model.__name__] = model
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "edge admin API", "version": version},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(models),
        },
    }


def _schemas(models: dict[str, type[BaseModel]]) -> dict[str, Any]:
    """Of each model, and of those that it refers to."""
    found: dict[str, Any] = {}
    for name, model in models.items():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        found |= schema.pop("$defs", {})
        found[name] = schema
    return found


def _operation(route: Route) -> dict[str, Any]:
    said: dict[str, Any] = {
        "summary": route.about,
        "description": f"Needs the role `{route.role.name.lower()}`.",
        "operationId": route.method.lower() + route.path.replace("/", "_").replace(".", "_"),
        "responses": {
            "200": {"description": "Done.", "content": _content(route.gives)},
            "default": {"description": "Why not.", "content": _content(Problem)},
        },
    }
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": about, "schema": {"type": "string"}} for name, about in route.query
    ]
    parameters += [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in route.path.split("/")
        if part.startswith("{")
    ]
    if parameters:
        said["parameters"] = parameters
    if route.takes is not None:
        said["requestBody"] = {"required": True, "content": _content(route.takes)}
    return said


def _content(model: type[BaseModel] | None) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"} if model is not None else {"type": "object"}
    return {"application/json": {"schema": schema}}
