"""Arms and legs with what covers them. Units are body heights."""

from __future__ import annotations

from marquetry.nodes.world.stage.curves import Points, ellipse, hull, ribbon
from marquetry.nodes.world.stage.figure.skeleton import Skeleton
from marquetry.nodes.world.stage.palette import COLOURS, SKINS, WHITE, Rgb, darker, mix
from marquetry.nodes.world.stage.scene import Outfit, Person
from marquetry.nodes.world.stage.sketch import Brush

LONG_SLEEVES = ("striped shirt", "sweater", "hoodie", "shirt")


def along(points: list[complex], share: float) -> list[complex]:
    """The beginning of a limb of two bones."""
    root, joint, end = points
    if share <= 0.5:
        return [root, root + (joint - root) * share, root + (joint - root) * share * 2.0]
    return [root, joint, joint + (end - joint) * (share - 0.5) * 2.0]


def draw_arm(brush: Brush, person: Person, skeleton: Skeleton, side: str) -> None:
    """An arm in its sleeve."""
    build, skin = skeleton.build, SKINS[person.skin]
    path = [skeleton.flat(f"{side}_{joint}") for joint in ("shoulder", "elbow", "wrist")]
    wide = build.arm_width
    part = f"{side} arm"
    hand = path[2] + (path[2] - path[1]) / max(abs(path[2] - path[1]), 1e-6) * wide * 0.35
    brush.fill(ellipse(hand, wide * 0.62, wide * 0.62), skin, f"{side} hand", bulk=wide * 0.6)
    brush.fill(ribbon(path, [wide * 0.95, wide * 0.88, wide * 0.78]), skin, part, over=f"{side} hand", bulk=wide * 0.5)
    sleeve = sleeve_of(person.outfit)
    if sleeve is None:
        return
    colour, share, place = sleeve
    loose = 1.34 if place == "coat" else 1.2
    covered = along(path, share)
    brush.fill(
        ribbon(covered, [wide * loose * 1.04, wide * loose, wide * loose * 1.02], round_ends=True),
        colour,
        place,
        over=f"{side} sleeve",
        bulk=wide * 0.6,
    )
    if share > 0.6:
        cuff = [covered[2] + (covered[1] - covered[2]) * 0.10, covered[2]]
        brush.fill(
            ribbon(cuff, [wide * loose * 1.04] * 2, 2, round_ends=False),
            darker(colour, 0.16),
            place,
            over=f"{side} sleeve",
            bulk=wide * 0.6,
        )


def sleeve_of(outfit: Outfit) -> tuple[Rgb, float, str] | None:
    """The colour of a sleeve, how much of the arm it covers, and what it belongs to."""
    if outfit.coat is not None and outfit.coat.kind != "cape":
        return COLOURS[outfit.coat.colour], 0.92, "coat"
    if outfit.dress is not None:
        return COLOURS[outfit.dress.colour], 0.34 if outfit.dress.kind == "dress" else 0.9, "dress"
    if outfit.top is not None:
        return COLOURS[outfit.top.colour], 0.92 if outfit.top.kind in LONG_SLEEVES else 0.38, "top"
    return None


def draw_leg(brush: Brush, person: Person, skeleton: Skeleton, side: str) -> None:
    """A leg in its trousers, with sock and shoe."""
    build, outfit, skin = skeleton.build, person.outfit, SKINS[person.skin]
    path = [skeleton.flat(f"{side}_{joint}") for joint in ("hip", "knee", "ankle")]
    wide, part = build.leg_width, f"{side} leg"
    bottom = outfit.bottom
    brush.fill(ribbon(path, [wide, wide * 0.86, wide * 0.66]), skin, part, bulk=wide * 0.5)
    if bottom is None or bottom.kind != "trousers":
        sock = [path[2] + (path[1] - path[2]) * 0.30, path[2]]
        brush.fill(
            ribbon(sock, [wide * 0.78, wide * 0.72], 2, round_ends=False),
            mix(WHITE, (210, 205, 220), 0.15),
            part,
            over=part,
            bulk=wide * 0.5,
        )
    _draw_shoe(brush, person, skeleton, side, path)
    if bottom is not None and bottom.kind != "skirt":
        colour = COLOURS[bottom.colour]
        covered = along(path, 0.93 if bottom.kind == "trousers" else 0.40)
        widths = [wide * 1.22, wide * 1.14, wide * 1.08] if bottom.kind == "trousers" else [wide * 1.26, wide * 1.3, wide * 1.36]
        brush.fill(ribbon(covered, widths, round_ends=bottom.kind == "trousers"), colour, "bottom", over=f"{side} trouser", bulk=wide * 0.6)
        if bottom.kind == "trousers":
            turned = [covered[2] + (covered[1] - covered[2]) * 0.08, covered[2]]
            brush.fill(
                ribbon(turned, [wide * 1.14] * 2, 2, round_ends=False),
                darker(colour, 0.14),
                "bottom",
                over=f"{side} trouser",
                bulk=wide * 0.6,
            )


def _draw_shoe(brush: Brush, person: Person, skeleton: Skeleton, side: str, path: list[complex]) -> None:
    wide, shoes = skeleton.build.leg_width, person.outfit.shoes
    colour = COLOURS[shoes.colour]
    ankle, toe = path[2], skeleton.flat(f"{side}_toe")
    upper: list[Points] = [ellipse(ankle, wide * 0.44, wide * 0.42, count=12), ellipse(toe, wide * 0.44, wide * 0.36, count=12)]
    if shoes.kind == "boots":
        shaft = ankle + (path[1] - ankle) * 0.42
        brush.fill(
            ribbon([shaft, ankle], [wide * 0.96, wide * 0.84], 2, round_ends=False), colour, "shoes", over=f"{side} shoe", bulk=wide * 0.5
        )
        brush.fill(
            ribbon([shaft + (ankle - shaft) * 0.16, shaft], [wide * 1.04] * 2, 2, round_ends=False),
            darker(colour, 0.2),
            "shoes",
            over=f"{side} shoe",
            bulk=wide * 0.5,
        )
    body = hull([complex(point) for ring in upper for point in ring])
    brush.fill(
        body - 0.007j, darker(colour, 0.5) if shoes.colour != "white" else (190, 184, 190), "shoes", over=f"{side} shoe", bulk=wide * 0.3
    )
    brush.fill(body + 0.004j, colour, "shoes", over=f"{side} shoe", bulk=wide * 0.5)
