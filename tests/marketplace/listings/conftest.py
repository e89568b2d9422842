"""A migrated database, in a transaction that is rolled back, and a market with two creators in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection

from marquetry.marketplace import ledger
from marquetry.marketplace.listings import creators, listing, versions
from marquetry.marketplace.listings.definition import GraphSpec, InputSpec, OutputSpec, define
from marquetry.marketplace.listings.values import Details, NewVersion
from tests.marketplace.ledger.conftest import connection, postgresql_template, shared, sqlite_template

__all__ = ["connection", "market", "postgresql_template", "shared", "sqlite_template"]
NOW = 1_700_000_000_000
INTERFACES: dict[str, dict[str, Any]] = {
    "Paint": {
        "input": {"required": {"shade": ["INT", {"default": 1, "min": 0, "max": 255}]}, "optional": {"image": ["IMAGE"]}},
        "output": ["IMAGE"],
        "output_is_list": [False],
        "output_name": ["IMAGE"],
        "output_node": False,
    },
    "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_is_list": [], "output_name": [], "output_node": True},
}


def definition(shade: int = 5) -> bytes:
    """A graph of one node, its shade an input."""
    graph = {"a": {"class_type": "Paint", "inputs": {"shade": shade}}}
    return define(GraphSpec(graph, [InputSpec("shade", "a", "shade")], [OutputSpec("picture", "a")]), INTERFACES.get, str)


@dataclass
class Market:
    """Short ways to what tests need."""

    connection: Connection

    def draft(self, owner: str = "ann", slug: str = "portrait", kind: str = "workflow", **details: Any) -> str:
        given = Details(title=details.pop("title", slug.title()), licence="MIT", **details)
        return listing.create_listing(self.connection, owner=owner, kind=kind, slug=slug, details=given, now_ms=NOW)

    def version(self, listing_id: str, version: str = "1.0.0", owner: str = "ann", **more: Any) -> str:
        new = NewVersion(version, definition=more.pop("definition", definition()), **more)
        return versions.create_version(self.connection, owner=owner, listing_id=listing_id, new=new, now_ms=NOW)

    def published(self, owner: str = "ann", slug: str = "portrait", shade: int = 5, **details: Any) -> str:
        listing_id = self.draft(owner, slug, **details)
        version_id = self.version(listing_id, owner=owner, definition=definition(shade))
        versions.submit(self.connection, owner=owner, version_id=version_id, review=False, now_ms=NOW)
        return listing_id

    def credit(self, owner: str, amount_microcredits: int) -> None:
        ledger.credit(
            self.connection,
            owner=owner,
            amount_microcredits=amount_microcredits,
            purse="paid",
            kind="purchase",
            key=f"gift {owner}",
            now_ms=NOW,
        )


@pytest.fixture
def market(connection: Connection) -> Market:
    for handle in ("ann", "bob"):
        creators.become_creator(connection, owner=handle, handle=handle, name=handle.title(), about="", now_ms=NOW)
    return Market(connection)
