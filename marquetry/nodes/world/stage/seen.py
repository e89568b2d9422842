"""What of a scene its picture really shows, by name: nothing that is hidden, cut off or without colour is listed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy

from marquetry.nodes.world.stage.figure.skeleton import Skeleton, skeleton_of
from marquetry.nodes.world.stage.render import Drawing
from marquetry.nodes.world.stage.scene import Actor
from marquetry.nodes.world.stage.sketch import VIEW
from marquetry.nodes.world.stage.vocabulary import INDOORS

Attributes = Mapping[str, str]  # such as "actor 0 hair colour": "red"
SEEN_SHARE = 0.0006  # of the picture, for something to be named
SEEN_THING_SHARE = 0.002
SEEN_FACE_SHARE = 0.00028  # a mouth is a thin line
LEG_POSES = ("sitting", "walking", "running", "jumping", "standing")
ACTING_WRISTS = {"waving": ("right",), "pointing": ("left",), "cheering": ("left", "right"), "jumping": ("left", "right")}
COLOURLESS = ("crown", "sun hat")  # their colour is that of a small detail
PART_OF_PLACE = {
    "bottom": "bottom",
    "top": "top",
    "dress": "dress",
    "coat": "coat",
    "shoes": "shoes",
    "hat": "hat",
    "glasses": "glasses",
    "scarf": "scarf",
    "bag": "bag",
}


def shares(drawing: Drawing) -> dict[tuple[int, str], float]:
    """How much of the picture each part of each thing covers."""
    index = drawing.sketch.pixels()
    counts = numpy.bincount(index.ravel(), minlength=len(drawing.sketch.inks)) / index.size
    total: dict[tuple[int, str], float] = {}
    for ink, count in zip(drawing.sketch.inks, counts, strict=True):
        if count:
            total[ink.thing, ink.part] = total.get((ink.thing, ink.part), 0.0) + float(count)
    return total


def attributes(drawing: Drawing) -> Attributes:
    """Everything that may be said about the picture."""
    scene = drawing.scene
    found: dict[str, str] = {"setting": scene.setting, "time": scene.time, "shot": scene.shot, "style": scene.style, "light": scene.light}
    if scene.setting not in INDOORS:
        found["weather"] = scene.weather
    parts = shares(drawing)
    coloured = scene.style != "ink"
    for number, thing in enumerate(drawing.theatre.things):
        if thing.role == "actor":
            own = {part: share for (owner, part), share in parts.items() if owner == number}
            if sum(own.values()) > SEEN_THING_SHARE:
                found |= _of_actor(drawing, thing.index, own, coloured)
        if thing.role == "prop" and sum(share for (owner, _), share in parts.items() if owner == number) > SEEN_THING_SHARE:
            found[f"prop {thing.index} kind"] = thing.name
            if coloured:
                found[f"prop {thing.index} colour"] = thing.colour
    return found


def _of_actor(drawing: Drawing, index: int, parts: dict[str, float], coloured: bool) -> dict[str, str]:
    actor = drawing.scene.actors[index]
    person, name = actor.person, f"actor {index}"
    found = {f"{name} kind": person.kind, f"{name} view": actor.view}
    if len(drawing.scene.actors) == 2:
        found[f"{name} side"] = "left" if actor.x < drawing.scene.actors[1 - index].x else "right"
    if parts.get("hair", 0.0) > SEEN_SHARE:
        found[f"{name} hair style"] = person.hair_style
        if coloured:
            found[f"{name} hair colour"] = person.hair_colour
    if parts.get("face", 0.0) > SEEN_SHARE * 2 and coloured:
        found[f"{name} skin"] = person.skin
    face_share = SEEN_FACE_SHARE * (4.0 if drawing.scene.style == "pixel" else 1.0)
    glasses = person.outfit.glasses
    shaded = glasses is not None and glasses.kind == "sunglasses"
    if parts.get("mouth", 0.0) > face_share and (shaded or parts.get("left eye", 0.0) + parts.get("right eye", 0.0) > face_share):
        found[f"{name} expression"] = actor.expression
    irises = max(parts.get("left eye iris", 0.0), parts.get("right eye iris", 0.0))
    if irises > SEEN_SHARE * 2 and coloured and not shaded:
        found[f"{name} eyes"] = person.eyes
    for place, garment in person.outfit.pieces().items():
        if parts.get(PART_OF_PLACE[place], 0.0) > SEEN_SHARE:
            found[f"{name} {place} kind"] = garment.kind
            if coloured and garment.kind not in COLOURLESS and place != "glasses":
                found[f"{name} {place} colour"] = garment.colour
    if _pose_shows(drawing, actor):
        found[f"{name} pose"] = actor.pose
    return found


def _pose_shows(drawing: Drawing, actor: Actor) -> bool:
    skeleton = skeleton_of(actor)
    joints = [f"{side}_wrist" for side in ACTING_WRISTS.get(actor.pose, ())]
    if actor.pose in LEG_POSES:
        joints += ["left_knee", "right_knee"]
    return all(_inside(drawing, actor, skeleton, joint) for joint in joints)


def _inside(drawing: Drawing, actor: Actor, skeleton: Skeleton, joint: str) -> bool:
    place = on_picture(drawing, actor, skeleton, joint)
    return 0.0 <= place.real <= VIEW and 0.0 <= place.imag <= VIEW


def on_picture(drawing: Drawing, actor: Actor, skeleton: Skeleton, joint: str) -> complex:
    """Where a joint is seen, in the picture's units."""
    foot = drawing.camera.project(actor.x, 0.0, actor.z)
    return foot + (skeleton.flat(joint) * skeleton.build.height_m * drawing.camera.scale(actor.x, actor.z)).conjugate()
