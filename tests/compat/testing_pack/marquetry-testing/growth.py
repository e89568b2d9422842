"""Nodes that go on as graphs: always, sometimes, wrongly."""

import torch
from comfy_execution.graph_utils import GraphBuilder

from .wildcards import ANY


def white():
    return torch.ones(1, 16, 16, 3)


class SometimesGrows:
    """Small values give a tuple, larger ones a dict, the largest a graph; the second output never links."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"level": ("FLOAT", {"default": 0.0})}}

    RETURN_TYPES = ("IMAGE", "IMAGE")
    FUNCTION = "grow"
    CATEGORY = "testing"

    def grow(self, level):
        if level < 0.15:
            return (white() * level, white())
        if level < 0.25:
            return {"result": (white() * level, white())}
        graph = GraphBuilder()
        mask = graph.node("CompatFlatMask", level=level, size=16)
        black, bright = (graph.node("CompatFlat", level=end, size=16) for end in (0.0, 1.0))
        mix = graph.node("CompatLazyMix", mask=mask.out(0), first=black.out(0), second=bright.out(0))
        return {"result": (mix.out(0), white()), "expand": graph.finalize()}


class Ring:
    """Its graph needs itself."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"picture": ("IMAGE",)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "grow"
    CATEGORY = "testing"

    def grow(self, picture):
        graph = GraphBuilder()
        one = graph.node("CompatMean", picture1=picture)
        two = graph.node("CompatMean", picture1=one.out(0))
        one.set_input("picture2", two.out(0))
        return {"result": (two.out(0),), "expand": graph.finalize()}


class LazyRing(Ring):
    """The ring closes through an input that is asked for only later."""

    def grow(self, picture):
        graph = GraphBuilder()
        mask = graph.node("CompatFlatMask", level=0.5, size=16)
        one = graph.node("CompatLazyMix", mask=mask.out(0), first=picture)
        two = graph.node("CompatLazyMix", mask=mask.out(0), first=one.out(0), second=picture)
        one.set_input("second", two.out(0))
        return {"result": (two.out(0),), "expand": graph.finalize()}


class RingInside(Ring):
    """A graph with a ring inside a graph."""

    def grow(self, picture):
        graph = GraphBuilder()
        ring = graph.node("CompatRing", picture=picture)
        return {"result": (ring.out(0),), "expand": graph.finalize()}


class TakesAnId:
    """Its graph holds an id that is taken by a submitted node."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": ("STRING", {"default": ""})}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "grow"
    CATEGORY = "testing"

    def grow(self, name):
        return {"result": ([name, 0],), "expand": {name: {"class_type": "CompatFlat", "inputs": {"level": 0.0}}}}


class ShowsInside:
    """Its graph holds output nodes; one is shown on this node, by its display id. Nothing links to them."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}, "hidden": {"me": "UNIQUE_ID"}}

    RETURN_TYPES = (ANY,)
    OUTPUT_NODE = True
    FUNCTION = "grow"
    CATEGORY = "testing"

    def grow(self, value, me):
        graph = GraphBuilder()
        graph.node("CompatShow", "inner", value=value)
        graph.node("CompatShow", "elsewhere", value=value, salt="elsewhere").set_override_display_id("another")
        return {"result": (value,), "expand": graph.finalize()}


class HandsOver:
    """Hands an object to a node of its graph that could never be written down: it holds itself, infinities and keys that are no texts."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"salt": ("STRING", {"default": ""})}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "grow"
    CATEGORY = "testing"

    def grow(self, salt):
        odd = {1: float("inf"), ("a", "pair"): [[1, 2], {"nothing": None}], "nan": [float("nan")]}
        odd["itself"] = odd
        deep = []
        for _ in range(200):
            deep = [deep]
        graph = GraphBuilder()
        opened = graph.node("CompatOpened", odd=odd, deep=deep, bound=float("inf"), salt=salt)
        return {"result": (opened.out(0),), "expand": graph.finalize()}


class Opened:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"odd": ("ODD",), "deep": ("ODD",), "bound": ("FLOAT",)}, "optional": {"salt": ("STRING",)}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "open"
    CATEGORY = "testing"

    def open(self, odd, deep, bound, salt=""):
        depth = 0
        while deep:
            deep, depth = deep[0], depth + 1
        return (f"{odd['itself'] is odd} {odd[1]} {odd['a', 'pair'][0]} {depth} {bound}",)


class FailsInside:
    """Its graph fails."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    RETURN_TYPES = (ANY,)
    FUNCTION = "grow"
    CATEGORY = "testing"

    def grow(self, value):
        graph = GraphBuilder()
        failing = graph.node("CompatFailsAtOnce", value=value)
        return {"result": (failing.out(0),), "expand": graph.finalize()}


class Samples:
    """Goes on as the whole way from a text to a picture, with a model that it holds in its hands."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": ("MODEL",),
                "clip": ("CLIP",),
                "vae": ("VAE",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1}),
                "steps": ("INT", {"default": 2, "min": 1, "max": 100}),
                "text": ("STRING", {"multiline": True}),
            }
        }

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "grow"
    CATEGORY = "testing"

    def grow(self, model, clip, vae, seed, steps, text):
        graph = GraphBuilder()
        wanted, unwanted = (graph.node("CLIPTextEncode", text=words, clip=clip).out(0) for words in (text, ""))
        latent = graph.node("EmptyLatentImage", width=64, height=64, batch_size=1).out(0)
        settings = {"seed": seed, "steps": steps, "cfg": 3.0, "sampler_name": "euler_ancestral", "scheduler": "normal", "denoise": 1.0}
        sampled = graph.node("KSampler", model=model, positive=wanted, negative=unwanted, latent_image=latent, **settings)
        return {"result": (graph.node("VAEDecode", samples=sampled.out(0), vae=vae).out(0),), "expand": graph.finalize()}


NODES = {
    "SometimesGrows": SometimesGrows,
    "Ring": Ring,
    "LazyRing": LazyRing,
    "RingInside": RingInside,
    "TakesAnId": TakesAnId,
    "ShowsInside": ShowsInside,
    "FailsInside": FailsInside,
    "HandsOver": HandsOver,
    "Opened": Opened,
    "Samples": Samples,
}
