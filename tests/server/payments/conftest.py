"""A shop of its own for each test; journeys are made on both kinds of database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.server.jobs import postgresql
from tests.server.payments.shop import Shop, shop

TAX = {"name": "GST", "percent_hundredths": 1800, "currencies": ["INR"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    for server in postgresql.serve():
        yield from postgresql.scratch_database(server)


@pytest_asyncio.fixture
async def at(tmp_path: Path) -> AsyncIterator[Shop]:
    async with shop(tmp_path / "data", taxes=[TAX]) as opened:
        yield opened
