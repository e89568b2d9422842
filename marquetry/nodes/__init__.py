"""The built-in nodes, one file per capability; the registry finds them by scanning this package."""
