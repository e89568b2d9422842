"""A small skeleton: bones hang from bones, a pose turns them, and the view turns them all. Lengths count in body heights.

x is to the right of the picture when somebody faces us, y up, z towards us.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from marquetry.nodes.world.stage.figure.poses import Pose, Swing, pose_at
from marquetry.nodes.world.stage.scene import Actor

Point = tuple[float, float, float]
VIEW_DEGREES = {
    "front": 0.0,
    "three-quarter left": -40.0,
    "three-quarter right": 40.0,
    "side left": -90.0,
    "side right": 90.0,
    "back": 180.0,
}


@dataclass(frozen=True, slots=True)
class Build:
    """Proportions, in body heights; `height_m` is the body height in metres."""

    height_m: float
    head: float  # radius
    shoulder_y: float
    shoulder_half: float
    hip_y: float
    hip_half: float
    upper_arm: float
    lower_arm: float
    upper_leg: float
    lower_leg: float
    arm_width: float
    leg_width: float
    chest_half: float
    waist_half: float
    depth_half: float


CHILD = Build(1.22, 0.186, 0.575, 0.088, 0.30, 0.052, 0.125, 0.125, 0.135, 0.13, 0.062, 0.078, 0.100, 0.094, 0.084)
WOMAN = Build(1.60, 0.142, 0.665, 0.092, 0.40, 0.052, 0.135, 0.130, 0.185, 0.175, 0.046, 0.062, 0.092, 0.074, 0.066)
MAN = Build(1.72, 0.138, 0.675, 0.112, 0.40, 0.056, 0.140, 0.135, 0.185, 0.175, 0.052, 0.068, 0.112, 0.096, 0.074)
BUILDS = {"girl": CHILD, "boy": CHILD, "woman": WOMAN, "man": MAN}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints of somebody as they stand in a picture: turned to their view, the ground at y = 0."""

    build: Build
    pose: Pose
    degrees: float  # which way they face: 0 to us, 90 to the right of the picture
    joints: dict[str, Point]
    seat: float  # how high the seat is that they sit on; 0 where they don't sit

    def flat(self, name: str) -> complex:
        """A joint as the picture shows it."""
        x, y, _ = self.joints[name]
        return complex(x, y)

    def nearness(self, *names: str) -> float:
        """How far joints lie towards us from the middle of the body."""
        return sum(self.joints[name][2] for name in names) / len(names)

    @property
    def head_degrees(self) -> float:
        """Which way the head faces, from -180 to 180."""
        return (self.degrees + self.pose.head_turn + 180.0) % 360.0 - 180.0


def skeleton_of(actor: Actor) -> Skeleton:
    """The joints of an actor."""
    return _skeleton(actor.person.kind, actor.pose, actor.phase, VIEW_DEGREES[actor.view] + actor.turn)


@lru_cache(maxsize=256)
def _skeleton(kind: str, pose_name: str, phase: float, degrees: float) -> Skeleton:
    build = BUILDS[kind]
    pose = pose_at(pose_name, phase, abs(math.sin(math.radians(degrees))) > 0.8)
    joints = _body(build, pose)
    seat = 0.0
    if pose.sits:
        seat = build.lower_leg + 0.02 - build.leg_width * 0.45
    lowest = min(joints["left_ankle"][1], joints["right_ankle"][1]) - 0.025
    rise = pose.lift - lowest
    turned = {name: _turned((x, y + rise, z), degrees) for name, (x, y, z) in joints.items()}
    return Skeleton(build, pose, degrees, turned, seat)


def _turned(point: Point, degrees: float) -> Point:
    x, y, z = point
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (x * cosine + z * sine, y, -x * sine + z * cosine)


def _hung(start: Point, length: float, side: float, swing: Swing) -> Point:
    forward, outward = math.radians(swing[0]), math.radians(swing[1])
    x, y, z = start
    return (
        x + side * length * math.sin(outward),
        y - length * math.cos(outward) * math.cos(forward),
        z + length * math.cos(outward) * math.sin(forward),
    )


def _body(build: Build, pose: Pose) -> dict[str, Point]:
    hip, lean = (0.0, build.hip_y, 0.0), math.radians(pose.lean)
    length = build.shoulder_y - build.hip_y
    chest_y, chest_z = hip[1] + length * math.cos(lean), length * math.sin(lean)
    sway = build.shoulder_half * math.sin(math.radians(pose.roll))
    joints: dict[str, Point] = {"hip": hip, "neck": (0.0, chest_y + 0.015, chest_z)}
    nod = build.head * 0.9
    joints["head"] = (nod * math.sin(math.radians(pose.head_roll)), chest_y + 0.015 + nod, chest_z + nod * math.sin(lean) * 0.5)
    for name, side, arm, leg in (("left", 1.0, pose.left_arm, pose.left_leg), ("right", -1.0, pose.right_arm, pose.right_leg)):
        shoulder = (side * build.shoulder_half, chest_y - 0.02 + side * sway, chest_z)
        elbow = _hung(shoulder, build.upper_arm, side, arm[0])
        thigh = (side * build.hip_half, build.hip_y, 0.0)
        knee = _hung(thigh, build.upper_leg, side, leg[0])
        ankle = _hung(knee, build.lower_leg, side, leg[1])
        joints |= {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_wrist": _hung(elbow, build.lower_arm, side, arm[1])}
        toe = math.radians(leg[1][0] + pose.toes)
        joints |= {f"{name}_hip": thigh, f"{name}_knee": knee, f"{name}_ankle": ankle}
        joints[f"{name}_toe"] = (ankle[0] + side * 0.012, ankle[1] + 0.075 * math.sin(toe), ankle[2] + 0.075 * math.cos(toe))
    return joints
