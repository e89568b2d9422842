"""What the OpenAPI document promises holds under requests that schemathesis makes up, hostile ones included."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.errors import IncorrectUsage
from schemathesis.generation import GenerationMode

from tests.server.peer import Peer, served
from tests.server.people import add, with_accounts

EXAMPLES = 6
STREAMS = ("/ws", "/events", "/subscribe")
CHECKED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
ACCOUNT_TAGS = frozenset({"Sign-in", "Security", "API keys", "Users", "Admin", "Sign-in for applications", "Sign-in through other sites"})


@contextmanager
def in_a_thread(server: AbstractAsyncContextManager[Peer], name: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """A server in a thread of its own: its address, and the headers of an admin of that name."""
    found: list[tuple[str, dict[str, str]]] = []
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        async with server as peer:
            headers = (await add(peer, name, "admin")).headers if name else {}
            found.append((peer.address, headers))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert started.wait(30)
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def faults_of(address: str, headers: dict[str, str], tags: frozenset[str] | None = None) -> tuple[int, list[str]]:
    """How many operations were tried, and all faults of all of them."""
    load_all_checks()
    checks: list[Any] = [CHECKS.get_one(name) for name in CHECKED]
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json", headers=headers)
    faults: list[str] = []
    tried = 0
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        raw = operation.definition.raw
        if "x-same-as" in raw or operation.path.endswith(STREAMS) or "logout" in operation.path:
            continue
        if tags is not None and tags.isdisjoint(raw["tags"]):
            continue
        tried += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(7)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            @given(operation.as_strategy(generation_mode=mode))
            def attempt(case: Any) -> None:
                answer = case.call(base_url=address, headers=headers, timeout=20)
                if not says_that_it_is_not_set_up(answer):
                    case.validate_response(answer, checks=checks)

            try:
                attempt()
            except (Exception, BaseExceptionGroup) as error:  # all faults of all routes are told at once
                if type(error).__name__ not in ("Unsatisfiable", IncorrectUsage.__name__):
                    faults.append(f"{operation.method.upper()} {operation.path} ({mode.value}): {error}"[:1500])
    return tried, faults


def says_that_it_is_not_set_up(answer: Any) -> bool:
    """Whether an operator has not switched on what a route needs, as the answer explains."""
    if answer.status_code != 503 or "json" not in answer.headers.get("content-type", [""])[0]:
        return False
    error = answer.json().get("error", {})
    return set(error) == {"code", "message", "details"} and error["code"] != "internal_error"


@pytest.mark.filterwarnings("ignore")
def test_every_documented_route_keeps_its_promise_under_made_up_requests(tmp_path: Path) -> None:
    with in_a_thread(served(tmp_path / "data")) as (address, headers):
        tried, faults = faults_of(address, headers)
    assert tried > 50
    assert not faults, "\n\n".join(faults)


@pytest.mark.filterwarnings("ignore")
def test_the_routes_on_accounts_keep_their_promises_where_accounts_are_on(tmp_path: Path) -> None:
    with in_a_thread(with_accounts(tmp_path / "data"), "root") as (address, headers):
        tried, faults = faults_of(address, headers, ACCOUNT_TAGS)
    assert tried > 35
    assert not faults, "\n\n".join(faults)
