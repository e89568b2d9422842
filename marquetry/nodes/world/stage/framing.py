"""Where the camera goes for a scene: far enough for a wide shot, near enough for a face."""

from __future__ import annotations

import math

from marquetry.nodes.world.stage.camera import Camera
from marquetry.nodes.world.stage.figure.skeleton import skeleton_of
from marquetry.nodes.world.stage.props.registry import KINDS
from marquetry.nodes.world.stage.scene import Actor, Prop, Scene


def camera_of(scene: Scene) -> Camera:
    """The camera of a scene, with the scene's own turn added."""
    camera = _framed(scene)
    return Camera(camera.height, camera.back, camera.pitch + scene.pitch, scene.yaw, camera.aside)


def _framed(scene: Scene) -> Camera:
    if scene.shot == "wide":
        return Camera(1.32, 6.4 if _large(scene) else 4.1, 0.5 if _large(scene) else -3.0)
    if scene.actors:
        return _on_people(scene)
    return _on_things(scene.props, 0.62 if scene.shot == "medium" else 0.88) if scene.props else Camera(1.3, 3.0, -3.5)


def _on_things(props: tuple[Prop, ...], share: float) -> Camera:
    """The whole of things: in a medium shot with room around them."""
    kinds = [KINDS[prop.kind] for prop in props]
    low = min(kind.above for kind in kinds)
    high = max(kind.above + kind.height * prop.size for kind, prop in zip(kinds, props, strict=True))
    halves = [max(kind.width, kind.height * 0.8) * prop.size / 2 for kind, prop in zip(kinds, props, strict=True)]
    left = min(prop.x - half for prop, half in zip(props, halves, strict=True))
    right = max(prop.x + half for prop, half in zip(props, halves, strict=True))
    near = min(prop.z for prop in props)
    back = 1.374 * max(high - low, (right - left) * 0.92, 0.45) / share
    if low > 0.5:
        return Camera(1.3, back - near, math.degrees(math.atan2((low + high) / 2 - 1.3, back)), aside=(left + right) / 2)
    return Camera(max(high * 0.62, 0.35), back - near, -4.0, aside=(left + right) / 2)


def _large(scene: Scene) -> bool:
    return any(KINDS[prop.kind].above + KINDS[prop.kind].height * prop.size > 2.0 for prop in scene.props if prop.z < 6.0)


def _on_people(scene: Scene) -> Camera:
    """Medium: from the knees up; close-up: head and shoulders."""
    heads = [_head(actor) for actor in scene.actors]
    aside = sum(actor.x for actor in scene.actors) / len(scene.actors)
    spread = max(actor.x for actor in scene.actors) - min(actor.x for actor in scene.actors)
    height = sum(head[0] for head in heads) / len(heads)
    radius = max(head[1] for head in heads)
    near = min(actor.z for actor in scene.actors)
    if scene.shot == "close-up":
        back = max(radius * 2.0 / 0.47, spread / 0.50) * 1.374
        return Camera(height - radius * 0.15, back - near, 0.0, aside=aside)
    back = max(radius * 2.0 / 0.29, spread / 0.62) * 1.374
    return Camera(height - radius * 1.15, back - near, -1.0, aside=aside)


def _head(actor: Actor) -> tuple[float, float]:
    skeleton = skeleton_of(actor)
    return skeleton.joints["head"][1] * skeleton.build.height_m, skeleton.build.head * skeleton.build.height_m
