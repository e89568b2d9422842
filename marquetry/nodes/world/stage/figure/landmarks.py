"""Points of people as detectors mark them: OpenPose's eighteen of the body, and those of the face."""

from __future__ import annotations

import math
from dataclasses import dataclass

from marquetry.nodes.world.stage.figure.face import EYE_DEGREES, EYE_Y, LOOKS, MOUTH_Y, mouth_opening, spot
from marquetry.nodes.world.stage.figure.skeleton import Skeleton, skeleton_of
from marquetry.nodes.world.stage.scene import Actor

BODY: tuple[str, ...] = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee",
    "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """A point in body heights from between the feet, y up; `faces_us` where it isn't on the far side of the head."""

    at: complex
    faces_us: bool = True


def body_marks(actor: Actor) -> dict[str, Mark]:
    """The eighteen points of the body, by name."""
    skeleton = skeleton_of(actor)
    marks = {name: Mark(skeleton.flat(name)) for name in BODY if name in skeleton.joints}
    for name, degrees, y in (
        ("nose", 0.0, -0.30),
        ("left_eye", EYE_DEGREES, EYE_Y),
        ("right_eye", -EYE_DEGREES, EYE_Y),
        ("left_ear", 90.0, -0.13),
        ("right_ear", -90.0, -0.13),
    ):
        marks[name] = _on_head(skeleton, degrees, y)
    return marks


def face_marks(actor: Actor) -> dict[str, Mark]:
    """Points of the face: eyes with their corners, brows, nose, the mouth's corners and lips."""
    skeleton, look = skeleton_of(actor), LOOKS[actor.expression]
    opening = mouth_opening(actor)
    marks: dict[str, Mark] = {"nose": _on_head(skeleton, 0.0, -0.30)}
    for name, side in (("left", 1.0), ("right", -1.0)):
        marks[f"{name}_eye"] = _on_head(skeleton, side * EYE_DEGREES, EYE_Y)
        marks[f"{name}_eye_inner"] = _on_head(skeleton, side * (EYE_DEGREES - 11.0), EYE_Y)
        marks[f"{name}_eye_outer"] = _on_head(skeleton, side * (EYE_DEGREES + 12.0), EYE_Y)
        marks[f"{name}_brow_inner"] = _on_head(skeleton, side * (EYE_DEGREES - 9.0), EYE_Y + 0.27 + look.brow - look.slant)
        marks[f"{name}_brow_outer"] = _on_head(skeleton, side * (EYE_DEGREES + 13.0), EYE_Y + 0.25 + look.brow + look.slant * 0.45)
        marks[f"{name}_mouth"] = _on_head(skeleton, side * math.degrees(look.width), MOUTH_Y + look.smile)
    lift = look.smile * 0.55 if look.smile > 0.05 else 0.02 + 0.14 * opening
    drop = (0.05 + 0.30 * opening) if look.smile > 0.05 else 0.02 + 0.17 * opening
    marks["upper_lip"] = _on_head(skeleton, 0.0, MOUTH_Y + (lift if opening >= 0.06 else -look.smile * 0.6))
    marks["lower_lip"] = _on_head(skeleton, 0.0, MOUTH_Y - (drop if opening >= 0.06 else look.smile * 0.6))
    return marks


def _on_head(skeleton: Skeleton, degrees: float, y: float) -> Mark:
    place = spot(degrees, y, skeleton.head_degrees)
    tilt = -math.radians(skeleton.pose.head_roll * math.cos(math.radians(skeleton.degrees)))
    turned = place.at * complex(math.cos(tilt), math.sin(tilt))
    return Mark(skeleton.flat("head") + turned * skeleton.build.head, place.narrow > (0.05 if abs(degrees) < 80.0 else -0.3))
