"""Families: one file per architecture, found by scanning."""
