"""Short clips: the same scene at successive moments, with the truth of each frame."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from marquetry.nodes.world.stage.scene import Actor, Scene, SceneError, require
from marquetry.nodes.world.stage.vocabulary import MOTIONS

MAX_FRAMES = 256
WALK_M_PER_S = 0.9
STEPS_PER_S = 1.1
WAVES_PER_S = 1.6
CLOUDS_PER_S = 0.06
TURN_DEGREES = 9.0
SYLLABLES_PER_S = 4.2


def frames_of(scene: Scene, motion: str, count: int, frames_per_second: float = 8.0) -> list[Scene]:
    """The scenes of a clip. Raises SceneError for what doesn't move: a walk or talk needs somebody."""
    require(motion, MOTIONS, "motion")
    if not 1 <= count <= MAX_FRAMES:
        raise SceneError(f"a clip of {count} frames can't be drawn; it may have 1 to {MAX_FRAMES}")
    if not 1.0 <= frames_per_second <= 60.0:
        raise SceneError(f"{frames_per_second} frames a second can't be drawn; it may be 1 to 60")
    if motion in ("walk", "wave", "talk") and not scene.actors:
        raise SceneError(f"'{motion}' needs somebody in the scene; choose 'clouds' or 'turn', or add an actor")
    return [_moment(scene, motion, index / frames_per_second, index / max(count - 1, 1)) for index in range(count)]


def mouth_at(seconds: float, seed: int) -> float:
    """How far a talking mouth is open, 0..1: syllables of uneven loudness with pauses."""
    syllable = int(seconds * SYLLABLES_PER_S)
    loud = random.Random(seed * 7919 + syllable).choice((0.0, 0.35, 0.6, 0.8, 1.0))
    return round(loud * math.sin(math.pi * (seconds * SYLLABLES_PER_S - syllable)) ** 2, 3)


def _moment(scene: Scene, motion: str, seconds: float, share: float) -> Scene:
    drifting = replace(scene, drift=scene.drift + CLOUDS_PER_S * seconds)
    if motion == "clouds":
        return drifting
    if motion == "turn":
        return replace(drifting, yaw=max(-30.0, min(30.0, scene.yaw + TURN_DEGREES * (2.0 * share - 1.0))))
    actors = tuple(_acting(actor, motion, seconds, share, scene.seed + index) for index, actor in enumerate(scene.actors))
    return replace(drifting, actors=actors)


def _acting(actor: Actor, motion: str, seconds: float, share: float, seed: int) -> Actor:
    blink = 1.0 if (seconds + seed % 3) % 2.6 < 0.12 else 0.0
    if motion == "walk":
        right = "left" not in actor.view
        way = WALK_M_PER_S * seconds * (1.0 if right else -1.0)
        view = actor.view if actor.view.startswith(("side", "three")) else "side right"
        return replace(
            actor,
            pose="walking",
            view=view,
            phase=(STEPS_PER_S * seconds) % 1.0,
            x=actor.x + way - WALK_M_PER_S * 0.5 * (1.0 if right else -1.0),
            blink=blink,
        )
    if motion == "wave":
        return replace(actor, pose="waving", phase=(WAVES_PER_S * seconds) % 1.0, blink=blink)
    return replace(
        actor, mouth=mouth_at(seconds, seed), blink=blink, phase=(0.25 * seconds) % 1.0 if actor.pose == "standing" else actor.phase
    )
