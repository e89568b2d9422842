"""`comfy_execution` for packs."""
