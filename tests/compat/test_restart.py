"""Servers that are started with flags, killed, and started again."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from marquetry.engine.expansion import GraphBuilder
from tests.compat.client import Client
from tests.compat.serving import Server


def picture() -> GraphBuilder:
    graph = GraphBuilder("picture.")
    graph.node("SaveImage", "saved", images=graph.node("CompatFlat", "flat", level=0.5).out(0))
    return graph


@pytest.mark.parametrize(("flags", "keeps"), [(("--cache-none",), False), (("--cache-lru", "100"), True), (("--cache-classic",), True)])
def test_flags_of_the_cache_mean_what_they_say(tmp_path: Path, flags: tuple[str, ...], keeps: bool) -> None:
    with Server(tmp_path, *flags) as server, Client(server.address) as client:
        graph = picture()
        first, second = client.run(graph), client.run(graph)
        assert set(first.ran) == set(graph.nodes)
        assert set(second.ran) == (set() if keeps else set(graph.nodes))
        assert [outcome.levels["picture.saved"] for outcome in (first, second)] == [[(127, 127)]] * 2


def test_a_killed_server_starts_again_at_once_on_its_port(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    client_id = uuid.uuid4().hex
    with Client(server.address, client_id) as client:
        client.run(picture())
        kept = client.history()
        server.kill()
    with Server(tmp_path, port=server.port) as again, Client(again.address, client_id) as client:
        assert list(client.history()) == list(kept)
        outcome = client.run(picture())
        assert outcome.levels["picture.saved"] == [(127, 127)]
        assert [path.name for path in sorted(again.output.glob("*.png"))] == [f"{client.prefix}_{n:05}_.png" for n in (1, 2)]


def test_a_prompt_sent_as_soon_as_the_port_is_open_waits_for_its_pack(tmp_path: Path) -> None:
    with Server(tmp_path) as server, Client(server.address) as client:
        assert client.run(picture()).levels["picture.saved"] == [(127, 127)]


def test_what_took_long_is_kept_over_a_restart_and_told_as_cached(tmp_path: Path) -> None:
    graph = GraphBuilder("long.")
    held = graph.node("CompatHoldUp", value=graph.node("CompatFlat", level=0.5).out(0), seconds=0.6)
    saved = graph.node("SaveImage", images=held.out(0))
    with Server(tmp_path) as server, Client(server.address) as client:
        assert client.run(graph).did_run(held)
    with Server(tmp_path) as server, Client(server.address) as client:
        outcome = client.run(graph)
        assert outcome.was_needed(held)
        assert outcome.pictures(saved) == [(127, 127)]
