"""What covers the trunk: tops, dresses, skirts and coats. Units are body heights."""

from __future__ import annotations

import numpy

from marquetry.nodes.world.stage.curves import Points, ellipse, hull, ribbon, smooth
from marquetry.nodes.world.stage.figure.limbs import along
from marquetry.nodes.world.stage.figure.skeleton import Skeleton
from marquetry.nodes.world.stage.figure.torso import Trunk
from marquetry.nodes.world.stage.palette import COLOURS, SKINS, Rgb, darker, lighter, mix
from marquetry.nodes.world.stage.scene import Garment, Person
from marquetry.nodes.world.stage.sketch import Brush

BUTTON: Rgb = (252, 240, 214)
SKIRT_SHARES = {"skirt": 0.52, "dress": 0.60, "long dress": 0.92, "coat": 0.56}


def draw_trunk(brush: Brush, person: Person, skeleton: Skeleton, trunk: Trunk) -> None:
    """The top or the upper part of the dress, and the waist below it."""
    outfit = person.outfit
    garment = outfit.top or outfit.dress
    assert garment is not None
    colour, place = COLOURS[garment.colour], "top" if outfit.top else "dress"
    if outfit.bottom is not None:
        brush.fill(trunk.band(-0.06, 0.22), COLOURS[outfit.bottom.colour], "bottom", bulk=0.08)
    neck = trunk.band(0.90, 1.10)
    brush.fill(neck, SKINS[person.skin], "neck", bulk=0.05)
    brush.fill(trunk.band(0.10 if outfit.top else -0.02, 0.972, 0.004, sag=0.012), colour, place, bulk=0.09)
    if outfit.top is not None:
        _draw_top(brush, outfit.top, colour, trunk)
    else:
        _draw_bodice(brush, colour, trunk)


def _draw_top(brush: Brush, top: Garment, colour: Rgb, trunk: Trunk) -> None:
    if top.kind == "striped shirt":
        stripe = lighter(colour, 0.82) if top.colour != "white" else (120, 134, 176)
        for low in (0.20, 0.40, 0.60, 0.80):
            brush.fill(trunk.band(low, low + 0.085, 0.004), stripe, "top", over="top", bulk=0.09)
    if top.kind in ("sweater", "hoodie"):
        brush.fill(trunk.band(0.08, 0.19, 0.006), darker(colour, 0.15), "top", over="top", bulk=0.09)
    if top.kind == "sweater":
        brush.fill(trunk.band(0.92, 1.0, 0.006, sag=0.006), darker(colour, 0.15), "top", over="top", bulk=0.05)
    if top.kind == "hoodie":
        brush.fill(trunk.band(0.88, 1.0, 0.022, sag=0.012), darker(colour, 0.12), "top", over="top", bulk=0.05)
        pocket = trunk.strip(0.0, 36.0, 0.22, 0.42)
        if pocket is not None:
            brush.fill(pocket, darker(colour, 0.13), "top", over="top", bulk=0.09)
        for around in (-16.0, 16.0):
            cord = trunk.strip(around, 3.0, 0.66, 0.88)
            if cord is not None:
                brush.fill(cord, BUTTON, "top", over="top", bulk=0.09)
    if top.kind == "shirt":
        line = trunk.strip(0.0, 2.2, 0.12, 0.90)
        if line is not None:
            brush.fill(line, darker(colour, 0.2), "top", over="top", bulk=0.09)
        _draw_buttons(brush, trunk, 0.0, (0.28, 0.48, 0.68), "top", darker(colour, 0.45))
        _draw_collar(brush, trunk, lighter(colour, 0.35), "top")


def _draw_bodice(brush: Brush, colour: Rgb, trunk: Trunk) -> None:
    brush.fill(trunk.band(0.36, 0.46, 0.004), darker(colour, 0.25), "dress", over="dress", bulk=0.09)
    _draw_collar(brush, trunk, lighter(colour, 0.75) if colour[0] + colour[1] + colour[2] < 690 else darker(colour, 0.2), "dress")


def _draw_collar(brush: Brush, trunk: Trunk, colour: Rgb, part: str) -> None:
    for around in (-26.0, 26.0):
        at, near = trunk.at(around, 0.93)
        if near > 0.0:
            brush.fill(ellipse(at, 0.026, 0.015, -22.0 if around > 0 else 22.0), colour, part, over=part, bulk=0.03)


def _draw_buttons(brush: Brush, trunk: Trunk, around: float, heights: tuple[float, ...], part: str, colour: Rgb = BUTTON) -> None:
    for height in heights:
        at, near = trunk.at(around, height)
        if near > 0.01:
            brush.fill(ellipse(at, 0.0085, 0.0085, count=10), colour, part, over=part, bulk=0.05)


def skirt_outline(skeleton: Skeleton, trunk: Trunk, share: float, flare: float, waist: float = 0.40) -> Points:
    """A skirt over both legs, wherever they are, that covers `share` of them."""
    half = float(trunk.half(numpy.array([waist]))[0])
    top = complex(trunk.axis(numpy.array([waist]))[0])
    hips = float(trunk.half(numpy.array([0.0]))[0]) * 1.06
    legs = [along([skeleton.flat(f"{side}_{joint}") for joint in ("hip", "knee", "ankle")], share) for side in ("left", "right")]
    ends = [leg[2] for leg in legs]
    wide = skeleton.build.leg_width * 0.62
    rings = [ellipse(trunk.hip, hips, hips * 0.7, count=12)]
    rings += [ellipse(end, wide, wide * 0.5, count=10) for end in ends]
    rings += [ellipse(leg[1], wide, wide, count=10) for leg in legs] if skeleton.seat else []
    points = [complex(point) for ring in rings for point in ring]
    middle = (ends[0] + ends[1]) / 2
    drop = (trunk.hip - middle).imag
    if drop > 0.06:
        points += [middle - hips - flare, middle + hips + flare]
    return hull([*points, top - half, top + half])


def draw_skirt(brush: Brush, garment: Garment, part: str, skeleton: Skeleton, trunk: Trunk) -> None:
    """The skirt of a dress, or a skirt alone."""
    colour = COLOURS[garment.colour]
    flare = {"skirt": 0.055, "dress": 0.065, "long dress": 0.075}[garment.kind]
    outline = skirt_outline(skeleton, trunk, SKIRT_SHARES[garment.kind], flare, 0.40 if part == "dress" else 0.22)
    brush.fill(outline, colour, part, bulk=0.11)
    low = float(outline.imag.min())
    middle = complex(outline[numpy.abs(outline.imag - low) < 0.02].real.mean(), low)
    top = complex(trunk.axis(numpy.array([0.3]))[0])
    for aside in (-0.06, 0.0, 0.06):
        foot = middle + aside + 0.012j
        brush.fill(
            ribbon([foot, foot + (top + aside * 0.5 - foot) * 0.6], [0.012, 0.0], 3), darker(colour, 0.16), part, over=part, bulk=0.11
        )


def draw_coat(brush: Brush, person: Person, skeleton: Skeleton, trunk: Trunk) -> None:
    """A coat or jacket, open at the front, over everything else on the trunk."""
    coat = person.outfit.coat
    assert coat is not None
    colour = COLOURS[coat.colour]
    if coat.kind == "coat":
        outline = skirt_outline(skeleton, trunk, SKIRT_SHARES["coat"], 0.035, 0.30)
        brush.fill(outline, colour, "coat", bulk=0.11)
    brush.fill(trunk.band(-0.02, 0.975, 0.014, sag=0.008), colour, "coat", bulk=0.10)
    inner = person.outfit.top or person.outfit.dress
    assert inner is not None
    opening = trunk.strip(0.0, 20.0, 0.34 if coat.kind == "coat" else -0.02, 0.93)
    if opening is not None:
        brush.fill(opening, COLOURS[inner.colour], "top" if person.outfit.top else "dress", over="opening", bulk=0.09)
    for around in (-27.0, 27.0):
        lapel = trunk.strip(around, 8.0, 0.66, 0.95)
        if lapel is not None:
            brush.fill(lapel, darker(colour, 0.2), "coat", over="coat", bulk=0.1)
    if coat.kind == "coat":
        _draw_buttons(brush, trunk, 0.0, (0.04, 0.20), "coat", mix(colour, BUTTON, 0.8))


def cape_outline(skeleton: Skeleton, trunk: Trunk) -> Points:
    """A cape that hangs from the shoulders down the back."""
    back, _ = trunk.at(180.0, 0.4)
    shift = (back - trunk.axis(numpy.array([0.4]))[0]).real
    half = float(trunk.half(numpy.array([0.88]))[0])
    neck = complex(trunk.axis(numpy.array([0.95]))[0])
    low = skeleton.build.hip_y * 0.30 + skeleton.pose.lift
    wide = half + 0.075
    return smooth(
        [
            neck - half,
            neck + half,
            complex(neck.real + shift * 2.0 + wide, low),
            complex(neck.real + shift * 2.4, low - 0.015),
            complex(neck.real + shift * 2.0 - wide, low),
        ]
    )


def draw_cape(brush: Brush, garment: Garment, skeleton: Skeleton, trunk: Trunk) -> None:
    """The cape itself; it is drawn before or after the body as it is seen."""
    colour = COLOURS[garment.colour]
    brush.fill(cape_outline(skeleton, trunk), darker(colour, 0.12), "coat", bulk=0.12)


def draw_scarf(brush: Brush, garment: Garment, skeleton: Skeleton, trunk: Trunk) -> None:
    """A scarf around the neck with one end hanging."""
    colour = COLOURS[garment.colour]
    half = skeleton.build.head * 0.56
    at = complex(trunk.axis(numpy.array([0.985]))[0])
    end, near = trunk.at(24.0, 0.86)
    if near > 0:
        brush.fill(
            ribbon([end, end - 0.07j, end - complex(-0.005, 0.13)], [0.05, 0.052, 0.056], 4, round_ends=False),
            darker(colour, 0.1),
            "scarf",
            bulk=0.03,
        )
    brush.fill(ribbon([at - half, at - 0.012j, at + half], [0.058, 0.07, 0.058]), colour, "scarf", bulk=0.04)
