"""One server for each process of tests; a client and a graph for each test, apart from those of others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client
from tests.compat.serving import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("compat")) as running:
        running.warm_up()
        yield running


@pytest.fixture
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(server.address, prefix=f"compat[{request.node.name}]") as connected:
        yield connected


@pytest.fixture
def salt(request: pytest.FixtureRequest) -> str:
    """An input of sources by which a test's nodes differ from those of every other."""
    return str(request.node.nodeid)


@pytest.fixture
def graph(request: pytest.FixtureRequest) -> GraphBuilder:
    """Ids begin with the test's name."""
    return GraphBuilder(prefix=f"{request.node.name}.")
