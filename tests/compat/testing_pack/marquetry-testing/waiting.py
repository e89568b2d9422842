"""Nodes that wait, and show how far they are while they do."""

import asyncio
import time

from comfy.comfy_types import IO
from comfy.comfy_types.node_typing import ComfyNodeABC, InputTypeDict
from comfy.utils import ProgressBar
from comfy_execution.graph_utils import GraphBuilder

STEPS = 10


class Wait(ComfyNodeABC):
    """Gives its value after some time, without keeping others from running."""

    @classmethod
    def INPUT_TYPES(cls) -> InputTypeDict:
        return {"required": {"value": (IO.ANY, {}), "seconds": (IO.FLOAT, {"default": 0.5, "min": 0.0})}, "hidden": {"me": "UNIQUE_ID"}}

    RETURN_TYPES = (IO.ANY,)
    FUNCTION = "wait"
    CATEGORY = "testing"

    async def wait(self, value, seconds, me):
        bar = ProgressBar(STEPS, node_id=me)
        for _ in range(STEPS):
            await asyncio.sleep(seconds / STEPS)
            bar.update(1)
        return (value,)


class HoldUp(ComfyNodeABC):
    """Waits in a plain function."""

    @classmethod
    def INPUT_TYPES(cls) -> InputTypeDict:
        return {"required": {"value": (IO.ANY, {}), "seconds": (IO.FLOAT, {"default": 0.5, "min": 0.0})}, "hidden": {"me": "UNIQUE_ID"}}

    RETURN_TYPES = (IO.ANY,)
    FUNCTION = "wait"
    CATEGORY = "testing"

    def wait(self, value, seconds, me):
        bar = ProgressBar(STEPS)
        for step in range(STEPS):
            time.sleep(seconds / STEPS)
            bar.update_absolute(step + 1, STEPS)
        return (value,)


class WaitForMany(ComfyNodeABC):
    """Goes on as many nodes that wait at the same time, and the mean of what they give."""

    @classmethod
    def INPUT_TYPES(cls) -> InputTypeDict:
        return {
            "required": {
                "first": (IO.IMAGE, {}),
                "second": (IO.IMAGE, {}),
                "count": (IO.INT, {"default": 3, "min": 1, "max": 10}),
                "seconds": (IO.FLOAT, {"default": 0.4}),
            },
            "hidden": {"me": "UNIQUE_ID"},
        }

    RETURN_TYPES = (IO.IMAGE,)
    FUNCTION = "grow"
    CATEGORY = "testing"
    OUTPUT_NODE = True

    def grow(self, first, second, count, seconds, me):
        graph = GraphBuilder()
        waits = [graph.node("CompatWait", value=second if number % 3 else first, seconds=seconds) for number in range(count)]
        mean = graph.node("CompatMean", **{f"picture{number + 1}": wait.out(0) for number, wait in enumerate(waits)})
        return {"result": (mean.out(0),), "expand": graph.finalize()}


NODES = {"Wait": Wait, "HoldUp": HoldUp, "WaitForMany": WaitForMany}
