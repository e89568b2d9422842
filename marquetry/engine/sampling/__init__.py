"""Denoisers, samplers and schedules. Importing this package, or any module of it, loads no model library."""
