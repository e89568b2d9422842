"""The OpenAPI 3.1 document, made from the route table: what is routed is documented, from the same models that check requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from marquetry import __version__
from marquetry.server.http.answer import encode
from marquetry.server.http.routes import Answer, Route

PARAMETER = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})+))?\}")
REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = """Graphs of nodes in, pictures out. Routes below `/api/v1` are Marquetry's own; the others are those of ComfyUI, so that its clients
work unchanged: each of these stands below `/api` and at the root."""


SECURITY: Mapping[str, Mapping[str, str]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an access token, an API key (mq_...) or a service token (mqs_...)"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "mq_access", "description": "with X-CSRF-Token on every change"},
}
"""How callers show who they are, on a server with accounts."""


class ErrorBody(BaseModel):
    """What is wrong, for programs (`code`), for people (`message`), and what more there is to say."""

    code: str
    message: str
    details: dict[str, Any]


class Error(BaseModel):
    error: ErrorBody


class OpenApi:
    """The document of an application, made when it is first asked for."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    @cached_property
    def text(self) -> bytes:
        """The document as JSON."""
        return encode(document(self._routes))


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    routes = tuple(routes)
    schemas = _Schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for number, path in enumerate(route.paths):
            paths.setdefault(plain(path), {})[route.method.lower()] = _operation(route, path, number, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Marquetry",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {"schemas": schemas.definitions, "securitySchemes": SECURITY},
    }


def plain(path: str) -> str:
    """A router's path as OpenAPI writes it: `{name:pattern}` is `{name}`."""
    return PARAMETER.sub(lambda match: "{" + match[1] + "}", path)


class _Schemas:
    """JSON Schemas of all models that routes name, shared models under components."""

    def __init__(self, routes: Iterable[Route]) -> None:
        adapters: dict[int, TypeAdapter[Any]] = {}
        inputs: list[tuple[int, Any, TypeAdapter[Any]]] = []
        self._kept: list[Any] = []

        def want(kind: Any, mode: str) -> None:
            if kind is None or id(kind) in adapters:
                return
            self._kept.append(kind)
            adapters[id(kind)] = TypeAdapter(kind)
            inputs.append((id(kind), mode, adapters[id(kind)]))

        want(Error, "serialization")
        for route in routes:
            want(route.body if route.body is not bytes else None, "validation")
            want(route.query, "validation")
            for answer in route.answers.values():
                want(answer.body, "serialization")
        self._schemas, shared = TypeAdapter.json_schemas(inputs, ref_template=REFERENCE, schema_generator=_Generator)
        self._modes = {key: mode for key, mode, _ in inputs}
        self.definitions: dict[str, Any] = shared.get("$defs", {})

    def of(self, kind: Any) -> dict[str, Any]:
        return self._schemas[id(kind), self._modes[id(kind)]]

    def properties(self, model: type[BaseModel]) -> tuple[dict[str, Any], set[str]]:
        schema = self.of(model)
        if "$ref" in schema:
            schema = self.definitions[schema["$ref"].rpartition("/")[2]]
        return schema.get("properties", {}), set(schema.get("required", ()))


class _Generator(GenerateJsonSchema):
    """Without the titles that only repeat a field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _operation(route: Route, path: str, number: int, schemas: _Schemas) -> dict[str, Any]:
    name = ".".join([*route.handler.__module__.split(".")[-2:], route.handler.__name__])
    operation: dict[str, Any] = {
        "tags": [route.tag],
        "summary": route.summary,
        "operationId": name if number == 0 else f"{name}.{number + 1}",
    }
    if route.description:
        operation["description"] = route.description
    operation["security"] = [] if route.access.public else [{"bearer": []}, {"cookie": []}]
    if not route.access.public:
        operation["x-scope"] = route.access.scope_for(route.method)
    if route.access.permission:
        operation["x-permission"] = route.access.permission
    if number:
        operation["x-same-as"] = plain(route.paths[0])
    parameters = [*_path_parameters(path), *_query_parameters(route, schemas), *_header_parameters(route.headers)]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema = {"type": "string", "format": "binary"} if route.body is bytes else schemas.of(route.body)
        operation["requestBody"] = {"required": route.body_required, "content": {route.body_type: {"schema": schema}}}
    responses = {str(status): _response(answer, schemas) for status, answer in route.answers.items()}
    responses["default"] = {"description": "what is wrong", "content": {"application/json": {"schema": schemas.of(Error)}}}
    operation["responses"] = responses
    return operation


def _response(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {"description": answer.description}
    if answer.body is not None:
        response["content"] = {answer.content_type: {"schema": schemas.of(answer.body)}}
    elif answer.content_type != "application/json":
        response["content"] = {answer.content_type: {}}
    if answer.headers:
        response["headers"] = {name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()}
    return response


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": match[1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for match in PARAMETER.finditer(path)
    ]


def _query_parameters(route: Route, schemas: _Schemas) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    properties, required = schemas.properties(route.query)
    parameters: list[dict[str, Any]] = []
    for name, schema in properties.items():
        parameter: dict[str, Any] = {"name": name, "in": "query", "required": name in required}
        schema = dict(schema)
        if "description" in schema:
            parameter["description"] = schema.pop("description")
        parameters.append({**parameter, "schema": _without_null(schema)})
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query has no null: what is optional is left out."""
    choices = schema.get("anyOf")
    if not choices:
        return schema
    rest = [choice for choice in choices if choice.get("type") != "null"]
    kept = {key: value for key, value in schema.items() if key not in ("anyOf", "default") or (key == "default" and value is not None)}
    return {**kept, **rest[0]} if len(rest) == 1 else {**kept, "anyOf": rest}


def _header_parameters(headers: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    ]
