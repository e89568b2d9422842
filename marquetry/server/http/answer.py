"""Answers: JSON written by orjson, and the one shape of an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel

OPTIONS = orjson.OPT_NON_STR_KEYS  # not SERIALIZE_NUMPY, which imports numpy as soon as it meets anything unknown


def encode(value: Any) -> bytes:
    """JSON text; pydantic models by their fields, what JSON does not know as its text."""
    return orjson.dumps(value, default=_plain, option=OPTIONS)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=encode(value), status=status, headers=headers, content_type="application/json")


def empty(status: int = 200) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status)


def error_answer(code: str, message: str, status: int, details: Mapping[str, Any] | None = None) -> web.Response:
    """`{"error": {"code", "message", "details"}}`."""
    return json_answer({"error": {"code": code, "message": message, "details": dict(details or {})}}, status)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if type(value).__module__ == "numpy":
        return value.tolist()
    return str(value)
