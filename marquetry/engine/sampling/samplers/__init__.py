"""Samplers, one file per family; each function names its paper. `registry` finds them by name."""
