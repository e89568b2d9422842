"""Nodes that check their inputs themselves, each with another signature."""

import torch

from .wildcards import OneOf


def product(first, second):
    both = first * second
    return (both if isinstance(both, torch.Tensor) else torch.full((1, 16, 16, 3), float(both)),)


def fault(name, value):
    return None if value is None or isinstance(value, (float, torch.Tensor)) else f"{name} is {type(value).__name__}"


class Product:
    """Two numbers or pictures. The types of links are checked by the engine, those of constants here."""

    KIND = "IMAGE,FLOAT"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"first": (cls.KIND,), "second": (cls.KIND,)}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "multiply"
    CATEGORY = "testing"

    @classmethod
    def VALIDATE_INPUTS(cls, first=None, second=None):
        return fault("first", first) or fault("second", second) or True

    def multiply(self, first, second):
        return product(first, second)


class ProductOfTypes(Product):
    """Checks the types of links too."""

    @classmethod
    def VALIDATE_INPUTS(cls, input_types, first=None, second=None):
        wrong = [f"{name} comes as {kind}" for name, kind in input_types.items() if kind not in cls.KIND.split(",")]
        return wrong[0] if wrong else fault("first", first) or fault("second", second) or True


def check_of_types(input_types):
    """Set on a class from outside, as a plain function."""
    for name, kind in input_types.items():
        if OneOf(kind) != OneOf(Product.KIND):
            return f"{name} comes as {kind}"
    return True


class ProductByDecorator(Product):
    KIND = OneOf(Product.KIND)


ProductByDecorator.VALIDATE_INPUTS = check_of_types


class ProductOfNumbers(Product):
    """Types that the engine knows: constants reach the check as numbers."""

    KIND = "FLOAT"

    @classmethod
    def VALIDATE_INPUTS(cls, first, second):
        return fault("first", first) or fault("second", second) or True


class ProductWithin(Product):
    """Names no input, takes all: the engine then checks no limits."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {name: ("FLOAT", {"min": 0.0, "max": 1.0}) for name in ("first", "second")}}

    @classmethod
    def VALIDATE_INPUTS(cls, **inputs):
        return "thirteen brings bad luck" if inputs["second"] == 13.0 else True


class Limited(Product):
    """Limits and choices that the engine checks: there is no check of its own."""

    VALIDATE_INPUTS = None

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "first": ("FLOAT", {"min": 0.0, "max": 1.0}),
                "second": ("INT", {"min": 1, "max": 3}),
                "mode": (["plain", "fancy"],),
            }
        }

    def multiply(self, first, second, mode):
        return product(first, second)


class BrokenCheck(Product):
    @classmethod
    def VALIDATE_INPUTS(cls, first):
        raise LookupError("the check itself is broken")


class AwaitedLimit(Product):
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"first": ("FLOAT",), "second": ("FLOAT",)}}

    @classmethod
    async def VALIDATE_INPUTS(cls, first, second):
        import asyncio

        await asyncio.sleep(0.02)
        return True if first <= second else f"{first} is more than {second}"


NODES = {
    "Product": Product,
    "ProductOfTypes": ProductOfTypes,
    "ProductByDecorator": ProductByDecorator,
    "ProductOfNumbers": ProductOfNumbers,
    "ProductWithin": ProductWithin,
    "Limited": Limited,
    "BrokenCheck": BrokenCheck,
    "AwaitedLimit": AwaitedLimit,
}
