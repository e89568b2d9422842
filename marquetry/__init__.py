"""Marquetry: a node-graph workflow engine for generative media with a market built in."""

__version__ = "0.1.0"
