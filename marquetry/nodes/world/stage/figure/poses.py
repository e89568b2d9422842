"""What people do: the angles of their bones, still or at a moment of a movement.

A swing is a pair of degrees from hanging straight down: forwards, and outwards to the limb's own side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

Swing = tuple[float, float]
Limb = tuple[Swing, Swing]  # upper bone, lower bone

ARM_LEFT: Limb = ((4.0, 14.0), (12.0, 8.0))
ARM_RIGHT: Limb = ((4.0, 14.0), (12.0, 8.0))
LEG: Limb = ((0.0, 4.0), (0.0, 2.0))


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles of the whole body. `lift` is how far the feet are above the ground, in body heights."""

    left_arm: Limb = ARM_LEFT
    right_arm: Limb = ARM_RIGHT
    left_leg: Limb = LEG
    right_leg: Limb = LEG
    lean: float = 0.0
    roll: float = 0.0
    head_turn: float = 0.0
    head_roll: float = 0.0
    lift: float = 0.0
    toes: float = 0.0
    sits: bool = False


def pose_at(name: str, phase: float, aside: bool = False) -> Pose:
    """The pose of a name; `phase` from 0 to 1 goes once through its movement.

    Arms that show something move in the plane of the picture: `aside` is for people who are seen from the side.
    """
    pose = _POSES[name](math.tau * phase)
    if not aside:
        return pose
    left = _ahead(pose.left_arm) if name in ("pointing", "cheering", "jumping") else pose.left_arm
    right = _ahead(pose.right_arm) if name in ("waving", "cheering", "jumping") else pose.right_arm
    return replace(pose, left_arm=left, right_arm=right)


def _ahead(limb: Limb) -> Limb:
    """An arm that was lifted outwards, lifted forwards."""
    return (limb[0][1], 9.0), (limb[1][1], 3.0)


def standing(turn: float) -> Pose:
    breath = 1.5 * math.sin(turn)
    return Pose(((4.0, 13.0 + breath), (12.0, 6.0)), ((4.0, 13.0 + breath), (12.0, 6.0)))


def sitting(turn: float) -> Pose:
    legs: Limb = ((86.0, 7.0), (2.0, 2.0))
    arms: Limb = ((22.0, 10.0), (58.0, -14.0))
    return Pose(arms, arms, legs, legs, lean=-2.0 + math.sin(turn), sits=True)


def walking(turn: float) -> Pose:
    step = 27.0 * math.sin(turn)
    left_knee, right_knee = -10.0 - 26.0 * max(0.0, math.cos(turn)), -10.0 - 26.0 * max(0.0, -math.cos(turn))
    return Pose(
        left_arm=((-step * 1.1, 9.0), (-step * 1.1 + 18.0, 4.0)),
        right_arm=((step * 1.1, 9.0), (step * 1.1 + 18.0, 4.0)),
        left_leg=((step, 3.0), (step + left_knee, 1.0)),
        right_leg=((-step, 3.0), (-step + right_knee, 1.0)),
        lean=3.0,
        roll=3.0 * math.sin(turn),
    )


def running(turn: float) -> Pose:
    step = 48.0 * math.sin(turn)
    left_knee, right_knee = -22.0 - 62.0 * max(0.0, 0.25 + math.cos(turn)), -22.0 - 62.0 * max(0.0, 0.25 - math.cos(turn))
    return Pose(
        left_arm=((-step, 12.0), (-step + 84.0, 4.0)),
        right_arm=((step, 12.0), (step + 84.0, 4.0)),
        left_leg=((step + 8.0, 3.0), (step + left_knee, 1.0)),
        right_leg=((-step + 8.0, 3.0), (-step + right_knee, 1.0)),
        lean=13.0,
        lift=0.04 + 0.025 * abs(math.sin(turn)),
    )


def waving(turn: float) -> Pose:
    sway = 20.0 * math.sin(turn)
    return Pose(ARM_LEFT, ((0.0, 104.0), (0.0, 152.0 + sway)), head_roll=5.0, roll=-3.0)


def jumping(turn: float) -> Pose:
    high = 0.16 * abs(math.sin(turn))
    arms: Limb = ((10.0, 116.0), (10.0, 142.0))
    return Pose(arms, arms, ((26.0, 12.0), (-58.0, 8.0)), ((-6.0, 12.0), (-72.0, 8.0)), lift=high + 0.01, toes=-12.0)


def pointing(turn: float) -> Pose:
    raised = 92.0 + 3.0 * math.sin(turn)
    return Pose(((10.0, raised), (10.0, raised + 2.0)), ((-4.0, 26.0), (30.0, -34.0)), head_turn=12.0, head_roll=-3.0)


def cheering(turn: float) -> Pose:
    arms: Limb = ((4.0, 122.0 + 5.0 * math.sin(turn)), (4.0, 154.0))
    return Pose(arms, arms, ((0.0, 9.0), (0.0, 5.0)), ((0.0, 9.0), (0.0, 5.0)))


_POSES = {
    "standing": standing,
    "sitting": sitting,
    "walking": walking,
    "running": running,
    "waving": waving,
    "jumping": jumping,
    "pointing": pointing,
    "cheering": cheering,
}
