"""Lists: made, taken whole, compared, thinned by blocked values; and values that grow one by one."""

from comfy_execution.graph import ExecutionBlocker

from .wildcards import ANY


class Several:
    """What is linked to it, as a list."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value1": (ANY,)}, "optional": {f"value{number}": (ANY,) for number in range(2, 6)}}

    RETURN_TYPES = (ANY,)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "join"
    CATEGORY = "testing"

    def join(self, **values):
        return ([values[name] for name in sorted(values)],)


class TakesAll:
    """Receives whole lists, constants and hidden values too. INPUT_IS_LIST is a tuple, as some packs write it."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"values": (ANY,), "by": ("INT", {"default": 1})}, "hidden": {"me": "UNIQUE_ID"}}

    INPUT_IS_LIST = (True, True)
    RETURN_TYPES = (ANY, "INT")
    OUTPUT_IS_LIST = (True, False)
    FUNCTION = "take"
    CATEGORY = "testing"

    def take(self, values, by, me):
        assert len(by) == len(me) == 1
        return ([value * by[0] for value in values], len(values))


class Pair:
    """Called once for each index of its lists."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"a": (ANY,), "b": (ANY,)}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "pair"
    CATEGORY = "testing"

    def pair(self, a, b):
        return (f"{a}:{b}",)


class Equals:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"a": (ANY,), "b": ("INT", {"default": 0})}}

    RETURN_TYPES = ("BOOLEAN",)
    FUNCTION = "compare"
    CATEGORY = "testing"

    def compare(self, a, b):
        return (a == b,)


class Gate:
    """Lets a value through, or blocks it, with a message or without one."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"value": (ANY,), "block": ("BOOLEAN", {"default": False})},
            "optional": {"message": ("STRING", {"default": ""})},
        }

    RETURN_TYPES = (ANY,)
    FUNCTION = "pass_on"
    CATEGORY = "testing"

    def pass_on(self, value, block, message=""):
        return (ExecutionBlocker(message or None) if block else value,)


class Shut:
    """Blocks all of its outputs at once."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    RETURN_TYPES = (ANY, ANY)
    FUNCTION = "shut"
    CATEGORY = "testing"

    def shut(self, value):
        return ExecutionBlocker(None)


class Begin:
    """An accumulation without entries, or with those of the one before and one more."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"entry": (ANY,)}, "optional": {"before": ("ACCUMULATION",)}}

    RETURN_TYPES = ("ACCUMULATION",)
    FUNCTION = "add"
    CATEGORY = "testing"

    def add(self, entry, before=None):
        return ({"entries": [*([] if before is None else before["entries"]), entry]},)


class Unpack:
    """The entries of an accumulation as a list."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"accumulation": ("ACCUMULATION",)}}

    RETURN_TYPES = (ANY,)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "unpack"
    CATEGORY = "testing"

    def unpack(self, accumulation):
        return (accumulation["entries"],)


NODES = {
    "Several": Several,
    "TakesAll": TakesAll,
    "Pair": Pair,
    "Equals": Equals,
    "Gate": Gate,
    "Shut": Shut,
    "Begin": Begin,
    "Unpack": Unpack,
}
