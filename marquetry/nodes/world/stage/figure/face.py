"""Faces: features sit on a globe and turn with it; expressions move them. Units are head radii, y up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from marquetry.nodes.world.stage.curves import arc, ellipse, ribbon, smooth
from marquetry.nodes.world.stage.palette import EYES, INK, SKINS, WHITE, Rgb, darker, mix
from marquetry.nodes.world.stage.scene import Actor
from marquetry.nodes.world.stage.sketch import Brush

GLOBE = 0.93
MOUTH_RED: Rgb = (150, 52, 58)
TONGUE: Rgb = (232, 120, 120)
BLUSH: Rgb = (240, 120, 110)
TEAR: Rgb = (130, 190, 240)
EYE_Y = -0.10
MOUTH_Y = -0.53
EYE_DEGREES = 25.0


@dataclass(frozen=True, slots=True)
class Look:
    """How an expression moves a face. `smile` lifts the corners of the mouth, `slant` lowers the inner ends of the brows."""

    smile: float
    open: float
    width: float
    brow: float
    slant: float
    lids: float  # how far the eyes are open, 1 is usual
    iris: float
    blush: float
    tears: bool = False


LOOKS = {
    "neutral": Look(0.025, 0.0, 0.15, 0.0, 0.0, 1.0, 1.0, 0.28),
    "happy": Look(0.12, 0.62, 0.27, 0.06, -0.02, 0.96, 1.04, 0.62),
    "sad": Look(-0.11, 0.0, 0.19, 0.04, -0.15, 0.74, 1.0, 0.30, tears=True),
    "angry": Look(-0.10, 0.16, 0.22, -0.13, 0.20, 0.72, 0.86, 0.50),
    "surprised": Look(-0.02, 0.85, 0.13, 0.17, -0.03, 1.22, 0.72, 0.30),
}


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the face: where it is seen, and how narrow it looks there."""

    at: complex
    narrow: float

    @property
    def seen(self) -> bool:
        """Whether it lies on our side."""
        return self.narrow > 0.12


def spot(degrees: float, y: float, head_degrees: float) -> Spot:
    """The place at an angle from the middle of the face and a height, for a head that is turned."""
    ring = GLOBE * math.sqrt(max(0.0, 1.0 - (y / 1.15) ** 2))
    angle = math.radians(degrees + head_degrees)
    return Spot(complex(ring * math.sin(angle), y), math.cos(angle))


def mouth_opening(actor: Actor) -> float:
    """How far an actor's mouth is open, 0..1."""
    return LOOKS[actor.expression].open if actor.mouth is None else actor.mouth


def draw_face(brush: Brush, actor: Actor, degrees: float) -> None:
    """Everything between the ears, as far as it is on our side."""
    look = LOOKS[actor.expression]
    skin = SKINS[actor.person.skin]
    for side in (-1.0, 1.0):
        cheek = spot(side * 39.0, -0.36, degrees)
        if cheek.seen:
            brush.fill(ellipse(cheek.at, 0.17 * cheek.narrow, 0.10), mix(skin, BLUSH, look.blush * 0.6), "face", over="face")
    nose = spot(0.0, -0.30, degrees)
    if abs(degrees) > 60.0:
        tip = complex(math.copysign(0.965, degrees), -0.24)
        brush.fill(ellipse(tip, 0.085, 0.07), skin, "nose", over="face", bulk=0.9)
    if nose.narrow > 0.3:
        brush.fill(
            ellipse(nose.at + 0.02 * math.sin(math.radians(degrees)), 0.055, 0.038), mix(skin, (214, 96, 84), 0.42), "nose", over="face"
        )
    for side in (-1.0, 1.0):
        place = spot(side * EYE_DEGREES, EYE_Y, degrees)
        if place.seen:
            _draw_eye(brush, actor, look, place, side)
    _draw_mouth(brush, look, mouth_opening(actor), degrees)


def _draw_eye(brush: Brush, actor: Actor, look: Look, place: Spot, side: float) -> None:
    narrow = 0.30 + 0.70 * place.narrow
    name = "left eye" if side > 0 else "right eye"
    opened = look.lids * (1.0 - actor.blink)
    wide, tall = 0.175 * narrow, 0.235 * opened
    lash = mix(INK, EYES[actor.person.eyes], 0.12)
    middle = place.at - 0.02j * (1.0 - opened)
    if opened < 0.2:
        brush.fill(ribbon([middle - wide, middle - 0.06j, middle + wide], [0.04, 0.055, 0.04]), lash, name, over="face")
    else:
        _draw_open_eye(brush, actor, look, middle, wide, tall, name)
        inner, outer = (middle - side * wide * 1.02, middle + side * wide * 1.12)
        slant = look.slant * 0.35j
        lid = [inner + 0.45j * tall - slant, middle + 0.98j * tall, outer + 0.42j * tall + slant * 0.4]
        thick = 0.085 if actor.person.kind in ("girl", "woman") else 0.065
        brush.fill(ribbon(lid, [thick * 0.6, thick, thick * 0.75]), lash, name, over="face")
        if actor.person.kind in ("girl", "woman"):
            tip = lid[2] + complex(side * 0.085 * narrow, 0.07)
            brush.fill(ribbon([lid[2] - side * 0.01, tip], [thick * 0.75, 0.02]), lash, name, over="face")
    _draw_brow(brush, actor, look, place, side, narrow)
    if look.tears and side > 0:
        drop = place.at + complex(side * 0.06 * narrow, -0.30)
        brush.fill(smooth([drop + 0.13j, drop + 0.13j, drop + 0.07, drop - 0.07j, drop - 0.07]), TEAR, "tear", over="face")


def _draw_open_eye(brush: Brush, actor: Actor, look: Look, middle: complex, wide: float, tall: float, name: str) -> None:
    colour = EYES[actor.person.eyes]
    brush.fill(ellipse(middle, wide, tall), WHITE, name, over="face")
    round_x, round_y = wide * 0.86 * look.iris, min(tall * 0.93, 0.215 * look.iris)
    centre = middle - 0.012j
    brush.fill(ellipse(centre, round_x, round_y), darker(colour, 0.55), name + " iris", over="face")
    brush.fill(ellipse(centre - 0.26j * round_y, round_x * 0.80, round_y * 0.66), mix(colour, WHITE, 0.18), name + " iris", over="face")
    brush.fill(ellipse(centre + 0.06j * round_y, round_x * 0.50, round_y * 0.56), mix(INK, colour, 0.10), name + " pupil", over="face")
    brush.fill(ellipse(centre + complex(-0.36 * round_x, 0.44 * round_y), round_x * 0.34, round_y * 0.28), WHITE, name, over="face")
    brush.fill(ellipse(centre + complex(0.36 * round_x, -0.42 * round_y), round_x * 0.17, round_y * 0.14), WHITE, name, over="face")


def _draw_brow(brush: Brush, actor: Actor, look: Look, place: Spot, side: float, narrow: float) -> None:
    from marquetry.nodes.world.stage.palette import HAIR

    colour = mix(HAIR[actor.person.hair_colour], INK, 0.45)
    height = 0.27 + look.brow
    inner = place.at + complex(-side * 0.15 * narrow, height - look.slant)
    outer = place.at + complex(side * 0.19 * narrow, height + look.slant * 0.45 - 0.02)
    middle = (inner + outer) / 2 + 0.035j * (1.0 - abs(look.slant) * 3)
    thick = 0.075 if actor.person.kind in ("boy", "man") else 0.055
    brush.fill(ribbon([inner, middle, outer], [thick, thick, thick * 0.5]), colour, "brow", over="face")


def _draw_mouth(brush: Brush, look: Look, opening: float, degrees: float) -> None:
    shift = -math.copysign(25.0, degrees) * max(0.0, (abs(degrees) - 30.0) / 60.0)
    place = spot(shift, MOUTH_Y, degrees)
    if place.narrow < 0.12:
        return
    wide = look.width * (0.35 + 0.65 * place.narrow) * (1.0 - 0.15 * opening if look.smile > 0 else 1.0)
    left, right = place.at + complex(-wide, look.smile), place.at + complex(wide, look.smile)
    middle = place.at - 1j * look.smile * 0.6
    if opening < 0.06:
        brush.fill(ribbon([left, middle, right], [0.04, 0.05, 0.04]), mix(INK, MOUTH_RED, 0.5), "mouth", over="face")
        return
    _draw_open_mouth(brush, look, opening, place.at, left, right, wide)


def _draw_open_mouth(brush: Brush, look: Look, opening: float, at: complex, left: complex, right: complex, wide: float) -> None:
    if look.slant > 0.1:
        _draw_snarl(brush, at, wide, opening)
        return
    if look.smile > 0.05:
        top, bottom = at + 1j * (look.smile * 0.55), at - 1j * (0.05 + 0.30 * opening)
        outline = [
            left,
            left,
            top,
            right,
            right,
            right + complex(-wide * 0.28, -0.15 * opening),
            bottom,
            left + complex(wide * 0.28, -0.15 * opening),
        ]
    else:
        top, bottom = at + 1j * (0.02 + 0.14 * opening - min(look.smile, 0.0) * 0.6), at - 1j * (0.02 + 0.17 * opening)
        outline = [left, top + wide * -0.62, top, top + wide * 0.62, right, bottom + wide * 0.62, bottom, bottom - wide * 0.62]
    brush.fill(smooth(outline), mix(INK, MOUTH_RED, 0.72), "mouth", over="face")
    if opening > 0.3:
        brush.fill(ellipse(bottom + 0.07j, wide * 0.50, 0.055 * (0.5 + opening)), TONGUE, "mouth", over="face")
    if look.smile > 0.05 and opening > 0.4:
        teeth = arc(top + 0.012j, wide * 0.62, 0.055, 180.0, 360.0, 8)
        brush.fill(teeth, WHITE, "mouth", over="face")


def _draw_snarl(brush: Brush, at: complex, wide: float, opening: float) -> None:
    """An angry mouth: corners down, teeth clenched."""
    low, high = -0.10 - 0.12 * opening, 0.06 + 0.20 * opening
    lips = [
        (-1.0, low),
        (-1.0, low),
        (-0.62, high * 0.6),
        (0.0, high),
        (0.62, high * 0.6),
        (1.0, low),
        (1.0, low),
        (0.5, low + 0.04),
        (0.0, low + 0.08),
        (-0.5, low + 0.04),
    ]
    outline = [at + complex(x * wide, y) for x, y in lips]
    brush.fill(smooth(outline), mix(INK, MOUTH_RED, 0.5), "mouth", over="face")
    middle = at + 1j * (low + high) * 0.5
    teeth = [middle + (point - middle) * 0.62 + 0.012j for point in outline]
    brush.fill(smooth(teeth), WHITE, "mouth", over="face")
