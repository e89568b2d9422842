"""`comfy_api` for packs."""
