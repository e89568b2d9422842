"""The market of the listings' tests."""

from __future__ import annotations

from tests.marketplace.listings.conftest import connection, market, postgresql_template, shared, sqlite_template

__all__ = ["connection", "market", "postgresql_template", "shared", "sqlite_template"]
