"""Route table: each route with its handler, its models and its answers, so that the router and the OpenAPI document are made of one thing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeAlias

from aiohttp import web
from pydantic import BaseModel

from marquetry.server.http.access import ACCESS, CALLER, Access

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Answer:
    """One answer that a route gives: what it means, and the type of its body (None: it has none, or it is no JSON)."""

    description: str
    body: Any = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)  # name -> what it says


@dataclass(frozen=True)
class Route:
    """One method of one path. `paths` are all its spellings, the preferred one first."""

    method: str
    paths: tuple[str, ...]
    handler: Handler
    tag: str
    summary: str
    description: str = ""
    query: type[BaseModel] | None = None
    body: Any = None
    body_type: str = "application/json"
    body_required: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[int, Answer] = field(default_factory=dict)
    access: Access = CALLER


class RouteTable:
    """Routes of one group. `prefixes` says where each path stands, e.g. both below `/api` and at the root; `access` who may call them."""

    def __init__(self, tag: str, prefixes: Iterable[str] = ("",), *, access: Access = CALLER) -> None:
        self.tag = tag
        self.access = access
        self.prefixes = tuple(prefixes)
        self.module = sys._getframe(1).f_globals["__name__"]  # where it is defined; modules that import it do not count
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def add(
        self,
        method: str,
        path: str,
        summary: str,
        *,
        answers: Mapping[int, Answer],
        query: type[BaseModel] | None = None,
        body: Any = None,
        body_type: str = "application/json",
        body_required: bool = True,
        headers: Mapping[str, str] | None = None,
        also: Iterable[str] = (),
        access: Access | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare the handler below. `also` are further whole paths that lead to it, `access` who may call it where that is not as in the table."""

        def declare(handler: Handler) -> Handler:
            self._routes.append(
                Route(
                    method=method,
                    paths=(*(prefix + path for prefix in self.prefixes), *also),
                    handler=handler,
                    tag=self.tag,
                    summary=summary,
                    description=inspect.getdoc(handler) or "",
                    query=query,
                    body=body,
                    body_type=body_type,
                    body_required=body_required,
                    headers=dict(headers or {}),
                    answers=dict(answers),
                    access=self.access if access is None else access,
                )
            )
            return handler

        return declare

    def get(self, path: str, summary: str, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("GET", path, summary, **more)

    def post(self, path: str, summary: str, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("POST", path, summary, **more)

    def delete(self, path: str, summary: str, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("DELETE", path, summary, **more)

    def put(self, path: str, summary: str, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("PUT", path, summary, **more)

    def patch(self, path: str, summary: str, **more: Any) -> Callable[[Handler], Handler]:
        return self.add("PATCH", path, summary, **more)


def find_tables(*packages: ModuleType) -> tuple[RouteTable, ...]:
    """Every route table that a module of these packages defines, in order of packages and names."""
    tables: list[RouteTable] = []
    for package in packages:
        for found in sorted(pkgutil.iter_modules(package.__path__, package.__name__ + "."), key=lambda info: info.name):
            module = importlib.import_module(found.name)
            tables += [value for value in vars(module).values() if isinstance(value, RouteTable) and value.module == module.__name__]
    return tuple(tables)


def install(application: web.Application, tables: Iterable[RouteTable]) -> tuple[Route, ...]:
    """Put all routes into the router; the tuple is what the OpenAPI document is made of."""
    routes = tuple(route for table in tables for route in table)
    access: dict[web.AbstractRoute, Access] = {}
    for route in routes:
        for path in route.paths:
            resource = application.router.add_resource(path)
            for method in ("HEAD", "GET") if route.method == "GET" else (route.method,):
                access[resource.add_route(method, route.handler)] = route.access
    application[ACCESS] = access
    return routes
