"""Marquetry: a node-graph workflow engine for generative media with a market built in."""

from marquetry.engine.vision_operators import watch

__version__ = "0.1.0"

watch()
