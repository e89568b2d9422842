"""Fixtures: a real server with test nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.server.peer import Peer, served


@pytest_asyncio.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    async with served(tmp_path / "data") as running:
        yield running
