"""`comfy` for packs."""
