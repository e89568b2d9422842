"""What the OpenAPI document says of payments holds under made-up requests where providers are configured."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.server.payments.shop import shop
from tests.server.peer import Peer
from tests.server.test_openapi import faults_of, in_a_thread


@asynccontextmanager
async def paying(data: Path) -> AsyncIterator[Peer]:
    async with shop(data) as opened:
        yield opened.peer


@pytest.mark.filterwarnings("ignore")
def test_the_routes_on_payments_keep_their_promises(tmp_path: Path) -> None:
    with in_a_thread(paying(tmp_path / "data"), "root") as (address, headers):
        tried, faults = faults_of(address, headers, frozenset({"Payments", "Billing"}))
    assert tried > 15
    assert not faults, "\n\n".join(faults)
