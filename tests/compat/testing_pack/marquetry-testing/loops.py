"""Loops: the closing node rebuilds everything since the opening one, through DYNPROMPT, until its condition no longer holds."""

from comfy_execution.graph_utils import GraphBuilder, is_link

from .wildcards import ANY

CARRIED = ("value1", "value2", "value3")


class WhileOpen:
    """Where a round begins. The first output only says which loop it is."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}, "optional": {"go": ("BOOLEAN", {"default": True}), **dict.fromkeys(CARRIED, (ANY,))}}

    RETURN_TYPES = ("LOOP", *(ANY for _ in CARRIED))
    FUNCTION = "open"
    CATEGORY = "testing"

    def open(self, go=True, **values):
        return ("", *(values.get(name) for name in CARRIED))


class WhileClose:
    """Where a round ends: its values go into the next round, or out."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"loop": ("LOOP", {"rawLink": True}), "go": ("BOOLEAN", {"forceInput": True})},
            "optional": dict.fromkeys(CARRIED, (ANY,)),
            "hidden": {"graph": "DYNPROMPT", "me": "UNIQUE_ID"},
        }

    RETURN_TYPES = tuple(ANY for _ in CARRIED)
    FUNCTION = "close"
    CATEGORY = "testing"

    def close(self, loop, go, graph, me, **values):
        if not go:
            return tuple(values.get(name) for name in CARRIED)
        opening = loop[0]
        body = self.between(graph, opening, me)
        builder = GraphBuilder()
        for id in body:
            node = builder.node(graph.get_node(id)["class_type"], "again" if id == me else id)
            node.set_override_display_id(id)
        for id in body:
            copy = builder.lookup_node("again" if id == me else id)
            for name, value in graph.get_node(id)["inputs"].items():
                inside = is_link(value) and value[0] in body
                copy.set_input(name, builder.lookup_node(value[0]).out(value[1]) if inside else value)
        for name in CARRIED:
            builder.lookup_node(opening).set_input(name, values.get(name))
        again = builder.lookup_node("again")
        return {"result": tuple(again.out(number) for number in range(len(CARRIED))), "expand": builder.finalize()}

    @staticmethod
    def between(graph, opening, closing):
        """The nodes from the opening one to the closing one, both included: those that lead to the one and follow from the other."""
        parents = {}
        pending = [closing]
        while pending:
            id = pending.pop()
            if id in parents:
                continue
            parents[id] = {value[0] for value in graph.get_node(id)["inputs"].values() if is_link(value)}
            pending += [] if id == opening else parents[id]
        body = {opening}
        while True:
            more = {id for id, above in parents.items() if id not in body and above & body}
            if not more:
                return [opening, *sorted(body - {opening})]
            body |= more


class TimesOpen:
    """Repeats a number of times; goes on as the opening of a loop that counts down."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"times": ("INT", {"default": 1, "min": 0})},
            "optional": dict.fromkeys(CARRIED[1:], (ANY,)),
            "hidden": {"value1": (ANY,)},
        }

    RETURN_TYPES = ("LOOP", "INT", ANY, ANY)
    FUNCTION = "open"
    CATEGORY = "testing"

    def open(self, times, value1=None, **values):
        builder = GraphBuilder()
        builder.node("CompatWhileOpen", go=times > 0, value1=times, **values)
        left = times if value1 is None else value1
        return {"result": ("", left, *(values.get(name) for name in CARRIED[1:])), "expand": builder.finalize()}


class TimesClose:
    """Goes on as the closing of a loop that counts down from what the opening node gives as its second output."""

    @classmethod
    def INPUT_TYPES(cls):
        raw = {"rawLink": True}
        return {"required": {"loop": ("LOOP", raw)}, "optional": dict.fromkeys(CARRIED[1:], (ANY, raw))}

    RETURN_TYPES = (ANY, ANY)
    FUNCTION = "close"
    CATEGORY = "testing"

    def close(self, loop, **values):
        builder = GraphBuilder()
        left = builder.node("CompatLess", value=[loop[0], 1])
        closing = builder.node("CompatWhileClose", loop=loop, go=left.out(1), value1=left.out(0), **values)
        return {"result": (closing.out(1), closing.out(2)), "expand": builder.finalize()}


class Less:
    """One less, and whether anything is left."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    RETURN_TYPES = ("INT", "BOOLEAN")
    FUNCTION = "subtract"
    CATEGORY = "testing"

    def subtract(self, value):
        return (value - 1, value > 1)


class Doubled:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT",)}}

    RETURN_TYPES = ("INT",)
    FUNCTION = "double"
    CATEGORY = "testing"

    def double(self, value):
        return (value * 2,)


NODES = {
    "WhileOpen": WhileOpen,
    "WhileClose": WhileClose,
    "TimesOpen": TimesOpen,
    "TimesClose": TimesClose,
    "Less": Less,
    "Doubled": Doubled,
}
