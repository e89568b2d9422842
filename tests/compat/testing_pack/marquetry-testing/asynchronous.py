"""Awaited nodes: that fail, take too long, ask before they take, share something scarce, or grow."""

import asyncio

from comfy_execution.graph_utils import GraphBuilder

from .wildcards import ANY


class Fails:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,), "after": ("FLOAT", {"default": 0.05})}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "fail"
    CATEGORY = "testing"

    async def fail(self, value, after):
        await asyncio.sleep(after)
        raise ArithmeticError("failed while others waited")


class FailsAtOnce:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "fail"
    CATEGORY = "testing"

    def fail(self, value):
        raise ArithmeticError("failed at once")


class GivesUp:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "wait"
    CATEGORY = "testing"

    async def wait(self, value):
        async with asyncio.timeout(0.1):
            await asyncio.sleep(60)
        return (value,)


class AsksFirst:
    """Chooses its input after it has asked somebody, which takes time."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "second": ("BOOLEAN", {"default": False}),
                "one": (ANY, {"lazy": True}),
                "other": (ANY, {"lazy": True}),
            },
            "optional": {"seconds": ("FLOAT", {"default": 0.05})},
        }

    RETURN_TYPES = (ANY,)
    FUNCTION = "choose"
    CATEGORY = "testing"

    async def check_lazy_status(self, second, one, other, seconds=0.05):
        await asyncio.sleep(seconds)
        wanted, value = ("other", other) if second else ("one", one)
        return [] if value is not None else [wanted]

    def choose(self, second, one, other, seconds=0.05):
        return (other if second else one,)


class AsksAndWaits(AsksFirst):
    async def choose(self, second, one, other, seconds=0.05):
        await asyncio.sleep(seconds)
        return (other if second else one,)


class Scarce:
    """At most two at a time hold the thing; nobody holds the same one twice."""

    seats = asyncio.Semaphore(2)
    held = set()
    most = 0

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {"default": ""}), "seconds": ("FLOAT", {"default": 0.1})}}

    RETURN_TYPES = ("INT",)
    FUNCTION = "hold"
    CATEGORY = "testing"

    async def hold(self, name, seconds):
        async with Scarce.seats:
            assert name not in Scarce.held
            Scarce.held.add(name)
            Scarce.most = max(Scarce.most, len(Scarce.held))
            await asyncio.sleep(seconds)
            Scarce.held.remove(name)
        return (Scarce.most,)


class InvertsOneByOne:
    """Awaits between the pictures of a batch."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"pictures": ("IMAGE",)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "invert"
    CATEGORY = "testing"

    async def invert(self, pictures):
        import torch

        done = []
        for picture in pictures:
            await asyncio.sleep(0.01)
            done.append(1.0 - picture)
        return (torch.stack(done),)


class GrowsLater:
    """Goes on as a graph after it has awaited something; the graph holds a node with an awaited check."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "grow"
    CATEGORY = "testing"

    @classmethod
    def IS_CHANGED(cls, value):
        return float("nan")

    async def grow(self, value):
        await asyncio.sleep(0.01)
        graph = GraphBuilder()
        checked = graph.node("CompatAwaitedCheck", value=value, always=False)
        waited = graph.node("CompatWait", value=checked.out(0), seconds=0.01)
        return {"result": (waited.out(0),), "expand": graph.finalize()}


NODES = {
    "Fails": Fails,
    "FailsAtOnce": FailsAtOnce,
    "GivesUp": GivesUp,
    "AsksFirst": AsksFirst,
    "AsksAndWaits": AsksAndWaits,
    "Scarce": Scarce,
    "InvertsOneByOne": InvertsOneByOne,
    "GrowsLater": GrowsLater,
}
