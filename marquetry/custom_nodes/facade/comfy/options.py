"""`comfy.options` for packs."""

from __future__ import annotations

args_parsing = False


def enable_args_parsing(enable: bool = True) -> None:
    global args_parsing
    args_parsing = enable
