"""What happens between pictures: a mix that takes only what it needs, a mean of however many, an output node with a socket."""

import torch

from .wildcards import ANY, Numbered


class LazyMix:
    """Where the mask is nought it wants only the first picture, where it is one only the second."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"mask": ("MASK",), "first": ("IMAGE", {"lazy": True}), "second": ("IMAGE", {"lazy": True})}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "mix"
    CATEGORY = "testing"

    def check_lazy_status(self, mask, first, second):
        wanted = []
        if first is None and bool((mask < 1.0).any()):
            wanted.append("first")
        if second is None and bool((mask > 0.0).any()):
            wanted.append("second")
        return wanted

    def mix(self, mask, first, second):
        if first is None or second is None:
            return (first if second is None else second,)
        return (torch.lerp(first, second, mask.unsqueeze(-1)),)


class Mean:
    """Declares one picture, and takes every other that is linked to it."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"picture1": ("IMAGE",)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "mean"
    CATEGORY = "testing"

    def mean(self, **pictures):
        return (sum(pictures[name] for name in sorted(pictures)) / len(pictures),)


class ScaleAndShow:
    """An output node whose picture goes on."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"picture": ("IMAGE",), "by": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 10.0})}}

    RETURN_TYPES = ("IMAGE",)
    OUTPUT_NODE = True
    FUNCTION = "scale"
    CATEGORY = "testing"

    def scale(self, picture, by):
        return {"ui": {"by": [by]}, "result": (picture * by,)}


class Names:
    """Shows the names of what it received: it declares few of them."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}, "optional": Numbered("more", "INT"), "hidden": {"width": ("INT",)}}

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"
    CATEGORY = "testing"

    def show(self, **given):
        return {"ui": {"names": sorted(given)}}


NODES = {"LazyMix": LazyMix, "Mean": Mean, "ScaleAndShow": ScaleAndShow, "Names": Names}
