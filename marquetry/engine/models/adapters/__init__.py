"""Adapters: LoRA and its kin in every published format, applied without rewriting base weights."""
