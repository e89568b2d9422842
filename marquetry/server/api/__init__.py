"""Marquetry's own routes, below `/api/v1`."""

from __future__ import annotations

PREFIXES = ("/api/v1",)
