"""Nodes that say whether they have changed, in every way in which packs do."""

from .wildcards import ANY


class Changing:
    """Never the same when it is told so. Its check takes whatever else there is."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}, "optional": {"always": ("BOOLEAN", {"default": False})}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "give"
    CATEGORY = "testing"

    @classmethod
    def IS_CHANGED(cls, always=False, *others, **named):
        return float("nan") if always else "the same"

    def give(self, value, always=False):
        return (value,)


class AskedWithConstants(Changing):
    """Its check sees links as None, also when the value is known; otherwise it would say that it never is the same."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,), "by": ("FLOAT", {"default": 1.0})}}

    @classmethod
    def IS_CHANGED(cls, value, by):
        return by if value is None else float("nan")

    def give(self, value, by):
        return (value * by,)


class FailingCheck(Changing):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    @classmethod
    def IS_CHANGED(cls, value):
        raise LookupError("no idea whether this has changed")

    def give(self, value):
        return (value,)


class Outside(Changing):
    """Follows something outside of the graph: how often it was asked, in steps of two."""

    asked = 0

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    @classmethod
    def IS_CHANGED(cls, **inputs):
        Outside.asked += 1
        return Outside.asked // 2

    def give(self, value):
        return (value,)


class AwaitedCheck(Changing):
    @classmethod
    async def IS_CHANGED(cls, value, always=False):
        import asyncio

        await asyncio.sleep(0.01)
        return float("nan") if always else "the same"


NODES = {
    "Changing": Changing,
    "AskedWithConstants": AskedWithConstants,
    "FailingCheck": FailingCheck,
    "Outside": Outside,
    "AwaitedCheck": AwaitedCheck,
}
