"""A node pack for benchmarks: nodes that fail, wait, expand, and give lists."""

from __future__ import annotations

import time
from typing import Any

import comfy.model_management
from comfy_execution.graph_utils import GraphBuilder


class Fails:
    """Raises, with a picture in hand."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "bench"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",), "number": ("INT", {"default": 0, "max": 2**31})}}

    def run(self, image: Any, number: int) -> Any:
        larger = image.repeat(2, 1, 1, 1)
        raise ValueError(f"number {number} fails, as it is to, with {tuple(larger.shape)}")


class Waits:
    """Takes ten seconds unless it is cancelled."""

    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True
    CATEGORY = "bench"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",), "number": ("INT", {"default": 0, "max": 2**31})}}

    def run(self, image: Any, number: int) -> Any:
        for _ in range(1000):
            comfy.model_management.throw_exception_if_processing_interrupted()
            time.sleep(0.01)
        return {"ui": {"text": [str(number)]}}


class Expands:
    """Becomes a chain of inversions."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "bench"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("IMAGE",), "count": ("INT", {"default": 4})}}

    def run(self, image: Any, count: int) -> Any:
        graph = GraphBuilder()
        last = image
        for _ in range(count):
            last = graph.node("ImageInvert", image=last).out(0)
        return {"result": (last,), "expand": graph.finalize()}


class Numbers:
    """A list of numbers."""

    RETURN_TYPES = ("INT",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"
    CATEGORY = "bench"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"first": ("INT", {"default": 0, "max": 2**31}), "count": ("INT", {"default": 8})}}

    def run(self, first: int, count: int) -> Any:
        return (list(range(first, first + count)),)


NODE_CLASS_MAPPINGS: dict[str, Any] = {"BenchFails": Fails, "BenchWaits": Waits, "BenchExpands": Expands, "BenchNumbers": Numbers}
