"""Nodes that show what they were given, and what they remember."""

from .wildcards import ANY


class Show:
    """Shows its value to the client: numbers and texts as they are, pictures as their darkest and brightest level."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}, "optional": {"salt": ("STRING", {"default": ""})}}

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"
    CATEGORY = "testing"

    def show(self, value, salt=""):
        if hasattr(value, "shape"):
            value = [list(value.shape), float(value.min()), float(value.max())]
        return {"ui": {"value": [value]}}


class Hidden:
    """Shows the hidden values that it was given."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"salt": ("STRING", {"default": ""})},
            "hidden": {"me": "UNIQUE_ID", "prompt": "PROMPT", "extra": "EXTRA_PNGINFO", "graph": "DYNPROMPT", "own": ("STRING",)},
        }

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"
    CATEGORY = "testing"

    def show(self, salt, me, prompt, extra, graph, own="not given"):
        assert graph.get_node(me) == prompt[me]
        return {"ui": {"me": [me], "ids": sorted(prompt), "extra": [extra], "own": [own]}}


class RawLink:
    """Receives where its input comes from, in place of the value."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"source": (ANY, {"rawLink": True})}}

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"
    CATEGORY = "testing"

    def show(self, source):
        return {"ui": {"link": source}}


class Tally:
    """Counts its own calls on the object."""

    def __init__(self):
        self.calls = 0

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"salt": ("STRING", {"default": ""})}}

    @classmethod
    def IS_CHANGED(cls, salt):
        return float("nan")

    RETURN_TYPES = ("INT",)
    FUNCTION = "count"
    CATEGORY = "testing"

    def count(self, salt):
        self.calls += 1
        return (self.calls,)


class Own:
    """Knows its id, so that its results are nobody else's."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}, "hidden": {"me": "UNIQUE_ID"}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "sign"
    CATEGORY = "testing"

    def sign(self, value, me):
        return (f"{value} of {me}",)


class Unrepeatable:
    """Says that two of it are never the same."""

    NOT_IDEMPOTENT = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"salt": ("STRING", {"default": ""})}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "draw"
    CATEGORY = "testing"

    def draw(self, salt):
        import uuid

        return (uuid.uuid4().hex,)


NODES = {"Show": Show, "Hidden": Hidden, "RawLink": RawLink, "Tally": Tally, "Own": Own, "Unrepeatable": Unrepeatable}
