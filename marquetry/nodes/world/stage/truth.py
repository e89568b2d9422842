"""The truth about a picture: masks exact to the pixel, distances, edges, points of people, the light, and everything by name."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from marquetry.nodes.world.stage.backdrop import grid
from marquetry.nodes.world.stage.figure.face import mouth_opening
from marquetry.nodes.world.stage.figure.landmarks import BODY, LIMBS, Mark, body_marks, face_marks
from marquetry.nodes.world.stage.figure.skeleton import BUILDS
from marquetry.nodes.world.stage.render import Drawing
from marquetry.nodes.world.stage.scene import Actor
from marquetry.nodes.world.stage.seen import Attributes, attributes
from marquetry.nodes.world.stage.sketch import BACKDROP, VIEW
from marquetry.nodes.world.stage.wire import plain

Floats = NDArray[numpy.float32]
Flags = NDArray[numpy.bool_]
SKY_AFTER_M = 400.0
EDGE_CONTRAST = 14  # of 255
NEARBY = 2  # pixels


@dataclass(frozen=True, slots=True)
class Point:
    """A point in pixels; `visible` is 0 outside of the picture or on the far side, 1 where something hides it, else 2."""

    x: float
    y: float
    visible: int


@dataclass(frozen=True, slots=True)
class PersonTruth:
    """One person's points, by name, and how far the mouth is open, 0..1."""

    body: dict[str, Point]
    face: dict[str, Point]
    mouth_opening: float


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a picture. Masks are by name: `actor 0`, `actor 0 hair`, `prop 1`, `tree`, `sky`, `ground`."""

    attributes: Attributes
    masks: dict[str, Flags]  # each [S, S]
    depth: Floats  # [S, S], 1 where nearest, 0 at the sky
    edges: Flags  # [S, S]
    people: tuple[PersonTruth, ...]
    drawing: Drawing

    def told(self) -> dict[str, Any]:
        """The truth without its pictures, ready for JSON."""
        light, camera = self.drawing.light, self.drawing.camera
        return {
            "attributes": dict(self.attributes),
            "scene": plain(self.drawing.scene),
            "light": {
                "from": self.drawing.scene.light,
                "towards": list(light.towards),
                "colour": list(light.colour),
                "ambient": list(light.ambient),
            },
            "camera": {"height_m": camera.height, "back_m": camera.back, "pitch": camera.pitch, "yaw": camera.yaw, "aside_m": camera.aside},
            "masks": {name: {"pixels": int(mask.sum()), "box": _box(mask)} for name, mask in self.masks.items()},
            "people": [_person_told(person) for person in self.people],
        }


def truth_of(drawing: Drawing) -> Truth:
    """Everything that is true of a drawing."""
    index = drawing.sketch.pixels()
    people = tuple(_person(drawing, actor, number) for number, actor in enumerate(drawing.scene.actors))
    return Truth(attributes(drawing), masks(drawing), depth(drawing), edges(drawing, index), people, drawing)


def masks(drawing: Drawing) -> dict[str, Flags]:
    """A mask for each thing, and for each part of each person; names that cover no pixel are left out."""
    index, things, inks = drawing.sketch.pixels(), drawing.theatre.things, drawing.sketch.inks
    present = numpy.bincount(index.ravel(), minlength=len(inks)) > 0
    owners: dict[str, list[int]] = {}
    for number, ink in enumerate(inks):
        if not present[number] or number == BACKDROP:
            continue
        thing = things[ink.thing]
        named = f"{thing.role} {thing.index}" if thing.role in ("actor", "prop") else thing.name
        owners.setdefault(named, []).append(number)
        if thing.role == "actor":
            owners.setdefault(f"{named} {ink.part}", []).append(number)
    found: dict[str, Flags] = {}
    for name, numbers in owners.items():
        table = numpy.zeros(len(inks), dtype=numpy.bool_)
        table[numbers] = True
        found[name] = table[index]
    return found | _backdrop_masks(drawing, index == BACKDROP)


def _backdrop_masks(drawing: Drawing, backdrop: Flags) -> dict[str, Flags]:
    rows, _ = grid(drawing.sketch.size)
    above = rows < drawing.camera.horizon
    both = {"sky": backdrop & above, "ground": backdrop & ~above}
    return {name: mask for name, mask in both.items() if mask.any()}


def depth(drawing: Drawing) -> Floats:
    """How near each pixel is: the nearest distance of the picture over its own."""
    index, inks, camera = drawing.sketch.pixels(), drawing.sketch.inks, drawing.camera
    distance = numpy.array([ink.distance if ink.distance < SKY_AFTER_M else numpy.inf for ink in inks], dtype=numpy.float32)[index]
    flat = numpy.array([ink.ground for ink in inks])[index]
    rows, _ = grid(drawing.sketch.size)
    below = rows - camera.horizon
    ground = numpy.where(below > 0.05, camera.focal * camera.height / numpy.maximum(below, 0.05), numpy.inf).astype(numpy.float32)
    distance = numpy.where(flat, numpy.broadcast_to(ground, distance.shape), distance)
    nearest = max(float(distance.min()), 0.1)
    result: Floats = (nearest / distance).astype(numpy.float32)
    return result


def edges(drawing: Drawing, index: NDArray[numpy.int32]) -> Flags:
    """Pixels where one colour meets another."""
    colours = numpy.array([ink.colour for ink in drawing.sketch.inks], dtype=numpy.int16)
    colours[BACKDROP] = drawing.light.sky[1]
    painted = colours[index]
    owner = numpy.array([ink.thing for ink in drawing.sketch.inks], dtype=numpy.int32)[index]
    result = numpy.zeros(index.shape, dtype=numpy.bool_)
    for first, second in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        contrast = numpy.abs(painted[first] - painted[second]).max(axis=2) > EDGE_CONTRAST
        result[first] |= (contrast | (owner[first] != owner[second])) & (index[first] != index[second])
    return result


def _person(drawing: Drawing, actor: Actor, number: int) -> PersonTruth:
    thing = next(index for index, thing in enumerate(drawing.theatre.things) if thing.role == "actor" and thing.index == number)
    owner = numpy.array([ink.thing for ink in drawing.sketch.inks])[drawing.sketch.pixels()] == thing
    body = {name: _point(drawing, actor, mark, owner) for name, mark in body_marks(actor).items()}
    face = {name: _point(drawing, actor, mark, owner) for name, mark in face_marks(actor).items()}
    return PersonTruth({name: body[name] for name in BODY}, face, mouth_opening(actor))


def _point(drawing: Drawing, actor: Actor, mark: Mark, owner: Flags) -> Point:
    camera, size = drawing.camera, drawing.sketch.size
    height = BUILDS[actor.person.kind].height_m
    place = camera.project(actor.x, 0.0, actor.z) + (mark.at * height * camera.scale(actor.x, actor.z)).conjugate()
    x, y = place.real * size / VIEW, place.imag * size / VIEW
    if not (0 <= x < size and 0 <= y < size) or not mark.faces_us:
        return Point(x, y, 0)
    around = owner[max(int(y) - NEARBY, 0) : int(y) + NEARBY + 1, max(int(x) - NEARBY, 0) : int(x) + NEARBY + 1]
    return Point(x, y, 2 if around.any() else 1)


def pose_picture(people: tuple[PersonTruth, ...], size: int) -> NDArray[numpy.uint8]:
    """People's points as OpenPose draws them, on black, `[size, size, 3]`."""
    fine = 4
    sheet = Image.new("RGB", (size * fine, size * fine))
    draw = ImageDraw.Draw(sheet)
    wide = max(fine, round(size * fine / 64))
    for person in people:
        points = [person.body[name] for name in BODY]
        for limb, (start, end) in enumerate(LIMBS):
            if points[start].visible and points[end].visible:
                colour = tuple(int(channel * 0.6) for channel in _hue(limb))
                draw.line([(points[joint].x * fine, points[joint].y * fine) for joint in (start, end)], fill=colour, width=wide)
        for joint, point in enumerate(points):
            if point.visible:
                x, y, radius = point.x * fine, point.y * fine, wide * 0.62
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_hue(joint))
    return numpy.asarray(sheet.reduce(fine))


def _hue(number: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(number / 18.0, 1.0, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


def _box(mask: Flags) -> list[int]:
    rows, columns = numpy.flatnonzero(mask.any(axis=1)), numpy.flatnonzero(mask.any(axis=0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _person_told(person: PersonTruth) -> dict[str, Any]:
    def listed(points: dict[str, Point]) -> dict[str, list[float]]:
        return {name: [round(point.x, 2), round(point.y, 2), point.visible] for name, point in points.items()}

    return {"body": listed(person.body), "face": listed(person.face), "mouth_opening": person.mouth_opening}
