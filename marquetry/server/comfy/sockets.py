"""Sockets: the clients that are connected, by their ids. One id has one socket; a new one with the same id takes its place."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from marquetry.server.http.errors import TooManySockets

if TYPE_CHECKING:
    from marquetry.server.comfy.client import Client

REMEMBERED_S = 60.0  # a client that comes back within this time hears what it missed
MAX_REMEMBERED = 4096


class Sockets:
    """All clients of this server. `max_clients` bounds them all, `max_per_address` those of one address."""

    def __init__(self, max_clients: int = 10_000, max_per_address: int = 1_000) -> None:
        self._max_clients = max_clients
        self._max_per_address = max_per_address
        self._clients: dict[str, Client] = {}
        self._addresses: dict[str, int] = {}
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def find(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    def admit(self, address: str) -> None:
        """Raises TooManySockets when this address, or all together, hold as many as they may."""
        if len(self._clients) >= self._max_clients:
            raise TooManySockets(f"{self._max_clients} clients are connected; no more are let in now")
        if self._addresses.get(address, 0) >= self._max_per_address:
            raise TooManySockets(f"{self._max_per_address} sockets of this address are open; close some")

    def add(self, client: Client) -> Client | None:
        """Put a client in; the one whose place it takes comes back."""
        replaced = self._clients.get(client.id)
        self._clients[client.id] = client
        self._addresses[client.address] = self._addresses.get(client.address, 0) + 1
        if replaced is not None:
            self._remember(replaced)
        return replaced

    def remove(self, client: Client) -> None:
        count = self._addresses.get(client.address, 1) - 1
        if count > 0:
            self._addresses[client.address] = count
        else:
            self._addresses.pop(client.address, None)
        if self._clients.get(client.id) is client:
            del self._clients[client.id]
            self._remember(client)

    def missed_since(self, client_id: str) -> int | None:
        """The number of the last event that a client heard before it left, when that is not long ago."""
        left = self._left.pop(client_id, None)
        if left is None or time.monotonic() - left[0] > REMEMBERED_S:
            return None
        return left[1]

    def send_log(self, entry: Mapping[str, Any]) -> None:
        """Tell a line of the log to the clients that asked for them."""
        for client in self._clients.values():
            if client.wants_logs:
                client.post("logs", {"entries": [entry], "size": None})

    async def close(self) -> None:
        """Say goodbye to all."""
        for client in tuple(self._clients.values()):
            await client.close(b"the server stops")

    def _remember(self, client: Client) -> None:
        self._left[client.id] = (time.monotonic(), client.heard)
        self._left.move_to_end(client.id)
        while len(self._left) > MAX_REMEMBERED:
            self._left.popitem(last=False)
