"""ComfyUI's way of writing flags, brought into the form that `serve` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

VALUE_IF_BARE: Mapping[str, str] = {"--listen": "0.0.0.0", "--enable-cors-header": "*", "--verbose": "DEBUG"}
SEVERAL_VALUES = frozenset({"--extra-model-paths-config", "--whitelist-custom-nodes"})
WITHOUT_EFFECT = frozenset(
    [
        "--auto-launch",
        "--disable-auto-launch",
        "--windows-standalone-build",
        "--dont-print-server",
        "--quick-test-for-ci",
        "--force-fp32",
        "--force-fp16",
        "--fp32-unet",
        "--fp64-unet",
        "--bf16-unet",
        "--fp16-unet",
        "--fp8_e4m3fn-unet",
        "--fp8_e5m2-unet",
        "--fp16-vae",
        "--fp32-vae",
        "--bf16-vae",
        "--cpu-vae",
        "--fp8_e4m3fn-text-enc",
        "--fp8_e5m2-text-enc",
        "--fp16-text-enc",
        "--fp32-text-enc",
        "--bf16-text-enc",
        "--force-channels-last",
        "--disable-ipex-optimize",
        "--use-split-cross-attention",
        "--use-quad-cross-attention",
        "--use-pytorch-cross-attention",
        "--use-sage-attention",
        "--use-flash-attention",
        "--disable-xformers",
        "--force-upcast-attention",
        "--dont-upcast-attention",
        "--gpu-only",
        "--highvram",
        "--normalvram",
        "--lowvram",
        "--novram",
        "--disable-smart-memory",
        "--async-offload",
        "--deterministic",
        "--fast",
        "--mmap-torch-files",
        "--disable-mmap",
        "--log-stdout",
        "--cuda-malloc",
        "--disable-cuda-malloc",
        "--enable-compress-response-body",
        "--disable-api-nodes",
        "--cache-classic",
        "--supports-fp8-compute",
    ]
)


def rewritten(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments of `serve` with every value spelled out, and the flags that have no effect here."""
    written: list[str] = []
    ignored: list[str] = []
    place = 0
    while place < len(arguments):
        flag = arguments[place]
        values: list[str] = []
        place += 1
        while place < len(arguments) and not arguments[place].startswith("-"):
            values.append(arguments[place])
            place += 1
        if flag in WITHOUT_EFFECT:
            ignored.append(flag)
        elif flag in VALUE_IF_BARE and not values:
            written += [flag, VALUE_IF_BARE[flag]]
        elif flag in SEVERAL_VALUES:
            written += [part for value in values for part in (flag, value)]
        else:
            written += [flag, *values]
    return written, ignored
