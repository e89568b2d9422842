"""A graph that is run as a node, or alone."""

from __future__ import annotations

from marquetry.marketplace.listings.kinds.kind import Kind

KIND = Kind("workflow", "workflow", graph="needed")
