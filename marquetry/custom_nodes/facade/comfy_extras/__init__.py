"""`comfy_extras` for packs."""
