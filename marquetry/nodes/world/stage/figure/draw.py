"""Draws somebody: which piece comes before which, from every side and in every pose."""

from __future__ import annotations

import math

from marquetry.nodes.world.stage.figure import clothes, extras
from marquetry.nodes.world.stage.figure.hair import draw_hair, draw_hair_behind
from marquetry.nodes.world.stage.figure.head import draw_skull
from marquetry.nodes.world.stage.figure.limbs import draw_arm, draw_leg
from marquetry.nodes.world.stage.figure.skeleton import Skeleton, skeleton_of
from marquetry.nodes.world.stage.figure.torso import Trunk, trunk_of
from marquetry.nodes.world.stage.scene import Actor
from marquetry.nodes.world.stage.sketch import Brush


def draw_actor(brush: Brush, actor: Actor) -> None:
    """Somebody whose feet are at the brush's origin; its units are body heights."""
    skeleton = skeleton_of(actor)
    trunk = trunk_of(skeleton)
    outfit, person = actor.person.outfit, actor.person
    faces_us = math.cos(math.radians(skeleton.degrees)) > -0.3
    head = brush.at(skeleton.flat("head"), skeleton.build.head, -_tilt(skeleton))
    draw_hair_behind(head, person.hair_style, person.hair_colour, skeleton.head_degrees)
    if faces_us:
        _draw_back(brush, actor, skeleton, trunk)
    sides = sorted(("left", "right"), key=lambda side: skeleton.joints[f"{side}_shoulder"][2])
    arms = {side: skeleton.nearness(f"{side}_elbow", f"{side}_wrist") for side in sides}
    for side in sides:
        if arms[side] < -0.03:
            draw_arm(brush, person, skeleton, side)
    _draw_lower(brush, actor, skeleton, trunk)
    if outfit.coat is not None and outfit.coat.kind != "cape":
        clothes.draw_coat(brush, person, skeleton, trunk)
    if outfit.bag is not None and outfit.bag.kind == "backpack" and faces_us:
        extras.draw_straps(brush, outfit.bag, skeleton, trunk)
    for side in sides:
        if arms[side] >= -0.03:
            draw_arm(brush, person, skeleton, side)
            if side == "left" and outfit.bag is not None and outfit.bag.kind == "handbag":
                extras.draw_handbag(brush, outfit.bag, skeleton)
    if not faces_us:
        _draw_back(brush, actor, skeleton, trunk)
    if outfit.scarf is not None:
        clothes.draw_scarf(brush, outfit.scarf, skeleton, trunk)
    _draw_head(head, actor, skeleton)


def _tilt(skeleton: Skeleton) -> float:
    return skeleton.pose.head_roll * math.cos(math.radians(skeleton.degrees))


def _draw_back(brush: Brush, actor: Actor, skeleton: Skeleton, trunk: Trunk) -> None:
    outfit = actor.person.outfit
    if outfit.coat is not None and outfit.coat.kind == "cape":
        clothes.draw_cape(brush, outfit.coat, skeleton, trunk)
    if outfit.bag is not None and outfit.bag.kind == "backpack":
        extras.draw_backpack(brush, outfit.bag, skeleton, trunk)


def _draw_lower(brush: Brush, actor: Actor, skeleton: Skeleton, trunk: Trunk) -> None:
    """Legs, trunk and skirt: thighs that come towards us lie over the trunk, others under it."""
    person, outfit = actor.person, actor.person.outfit
    legs = sorted(("left", "right"), key=lambda side: skeleton.nearness(f"{side}_hip", f"{side}_knee"))
    over = [side for side in legs if skeleton.nearness(f"{side}_knee") > 0.06]
    for side in legs:
        if side not in over:
            draw_leg(brush, person, skeleton, side)
    clothes.draw_trunk(brush, person, skeleton, trunk)
    for side in over:
        draw_leg(brush, person, skeleton, side)
    if outfit.dress is not None:
        clothes.draw_skirt(brush, outfit.dress, "dress", skeleton, trunk)
    elif outfit.bottom is not None and outfit.bottom.kind == "skirt":
        clothes.draw_skirt(brush, outfit.bottom, "bottom", skeleton, trunk)


def _draw_head(head: Brush, actor: Actor, skeleton: Skeleton) -> None:
    person, degrees = actor.person, skeleton.head_degrees
    draw_skull(head, actor, degrees)
    if person.outfit.glasses is not None and abs(degrees) < 120.0:
        extras.draw_glasses(head, person.outfit.glasses, degrees)
    draw_hair(head, person.hair_style, person.hair_colour, degrees)
    if person.outfit.hat is not None:
        extras.draw_hat(head, person.outfit.hat, degrees)
