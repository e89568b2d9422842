"""Bodies and queries: read within limits, checked against their models, refused with a reason that names the field."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from marquetry.server.http.errors import InvalidJson, RequestError, TooLarge

Model = TypeVar("Model", bound=BaseModel)


async def read_bytes(request: web.Request, limit_bytes: int | None = None) -> bytes:
    """The whole body. Raises TooLarge before reading what claims to be larger than allowed."""
    limit = request.client_max_size if limit_bytes is None else limit_bytes
    if request.content_length is not None and request.content_length > limit:
        raise TooLarge(f"the body has {request.content_length:,} bytes; at most {limit:,} are allowed", limit_bytes=limit)
    if limit_bytes is None:
        return await request.read()
    parts: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body has more than the {limit:,} bytes that are allowed", limit_bytes=limit)
        parts.append(chunk)
    return b"".join(parts)


async def read_json(request: web.Request, *, empty: Any = None) -> Any:
    """The body as JSON; `empty` where there is none and one is not needed. Raises InvalidJson, which says where it stops being JSON."""
    text = await read_bytes(request)
    if not text and empty is not None:
        return empty
    return parse_json(text)


def parse_json(text: bytes | str) -> Any:
    """JSON of the standard: no NaN, no infinity, at most 1,024 levels deep. Raises InvalidJson."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from error


async def read_object(request: web.Request, *, empty: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body as a JSON object."""
    value = await read_json(request, empty=empty)
    if not isinstance(value, dict):
        raise RequestError(f"the body must be a JSON object, not {_kind(value)}")
    return value


async def read_model(request: web.Request, model: type[Model], *, empty: dict[str, Any] | None = None) -> Model:
    """The body as `model`. Raises RequestError with the place and the reason of each fault."""
    return check(model, await read_object(request, empty=empty), "body")


def read_query(request: web.Request, model: type[Model]) -> Model:
    """The query of the address as `model`; empty values count as not given."""
    return check(model, {name: value for name, value in request.query.items() if value != ""}, "query")


def check(model: type[Model], value: Any, where: str) -> Model:
    """`value` as `model`; raises RequestError."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [
            {"where": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]}
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        words = "; ".join(f"{fault['where'] or where}: {fault['message']}" for fault in faults[:5])
        raise RequestError(f"the {where} is not as it must be: {words}", faults=faults) from error


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false", type(None): "null"}
    return names.get(type(value), type(value).__name__)
