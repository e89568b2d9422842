"""Sources: pictures and masks of one level, numbers, texts."""

import torch

SIZE = ("INT", {"default": 16, "min": 1, "max": 4096})
SALT = ("STRING", {"default": ""})


class Flat:
    """A picture in which every channel of every pixel has one level. The salt keeps runs of different tests apart."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"level": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0})},
            "optional": {"size": SIZE, "salt": SALT, "batch": ("INT", {"default": 1, "min": 1, "max": 64})},
        }

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "paint"
    CATEGORY = "testing"

    def paint(self, level, size=16, salt="", batch=1):
        return (torch.full((batch, size, size, 3), level),)


class FlatMask:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"level": ("FLOAT", {"default": 0.0})}, "optional": {"size": SIZE, "salt": SALT}}

    RETURN_TYPES = ("MASK",)
    FUNCTION = "paint"
    CATEGORY = "testing"

    def paint(self, level, size=16, salt=""):
        return (torch.full((1, size, size), level),)


class Whole:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"default": 0})}, "optional": {"salt": SALT}}

    RETURN_TYPES = ("INT",)
    FUNCTION = "give"
    CATEGORY = "testing"

    def give(self, value, salt=""):
        return (value,)


class Real:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("FLOAT", {"default": 0.0})}, "optional": {"salt": SALT}}

    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "give"
    CATEGORY = "testing"

    def give(self, value, salt=""):
        return (value,)


NODES = {"Flat": Flat, "FlatMask": FlatMask, "Whole": Whole, "Real": Real}
