"""Progress through the versioned API, whose objects are made when the module is imported."""

import asyncio
import time

from comfy_api.v0_0_2 import ComfyAPI, ComfyAPISync

api = ComfyAPI()
api_sync = ComfyAPISync()
STEPS = 4


class Reports:
    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"seconds": ("FLOAT", {"default": 0.2})},
            "optional": {"salt": ("STRING", {"default": ""})},
            "hidden": {"me": "UNIQUE_ID"},
        }

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "report"
    CATEGORY = "testing"

    async def report(self, seconds, me, salt=""):
        for step in range(1, STEPS + 1):
            await asyncio.sleep(seconds / STEPS)
            await api.execution.set_progress(value=step, max_value=STEPS)
        return (seconds,)


class ReportsPlainly(Reports):
    """The same in a plain function, with a picture of the state."""

    def report(self, seconds, me, salt=""):
        from PIL import Image

        for step in range(1, STEPS + 1):
            time.sleep(seconds / STEPS)
            api_sync.execution.set_progress(step, STEPS, node_id=me, preview_image=Image.new("RGB", (8, 8), "teal"))
        return (seconds,)


NODES = {"Reports": Reports, "ReportsPlainly": ReportsPlainly}
