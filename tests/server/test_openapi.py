"""What the OpenAPI document promises holds under requests that schemathesis makes up, hostile ones included."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.errors import IncorrectUsage
from schemathesis.generation import GenerationMode

from tests.server.peer import served

EXAMPLES = 6
STREAMS = ("/ws", "/events", "/subscribe")
CHECKED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in a thread of its own."""
    found: list[str] = []
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run(data: Path) -> None:
        async with served(data) as peer:
            found.append(peer.address)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run(tmp_path_factory.mktemp("server") / "data")))
    thread.start()
    assert started.wait(30)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()


@pytest.mark.filterwarnings("ignore")
def test_every_documented_route_keeps_its_promise_under_made_up_requests(address: str) -> None:
    load_all_checks()
    checks: list[Any] = [CHECKS.get_one(name) for name in CHECKED]
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    faults: list[str] = []
    tried = 0
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        if "x-same-as" in operation.definition.raw or operation.path.endswith(STREAMS):
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
                case.call_and_validate(base_url=address, checks=checks, timeout=20)

            try:
                attempt()
            except (Exception, BaseExceptionGroup) as error:  # all faults of all routes are told at once
                if type(error).__name__ not in ("Unsatisfiable", IncorrectUsage.__name__):
                    faults.append(f"{operation.method.upper()} {operation.path} ({mode.value}): {error}"[:1500])
    assert tried > 50
    assert not faults, "\n\n".join(faults)
