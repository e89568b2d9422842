"""Where the camera goes for a scene: far enough for a wide shot, near enough for a face."""

from __future__ import annotations

from marquetry.nodes.world.stage.camera import Camera
from marquetry.nodes.world.stage.figure.skeleton import skeleton_of
from marquetry.nodes.world.stage.props.registry import HEIGHTS
from marquetry.nodes.world.stage.scene import Actor, Scene


def camera_of(scene: Scene) -> Camera:
    """The camera of a scene, with the scene's own turn added."""
    camera = _framed(scene)
    return Camera(camera.height, camera.back, camera.pitch + scene.pitch, scene.yaw, camera.aside)


def _framed(scene: Scene) -> Camera:
    if scene.shot == "wide":
        return Camera(1.32, 4.1 if not _tall(scene) else 6.4, -3.5)
    if scene.actors:
        return _on_people(scene)
    tops = [HEIGHTS[prop.kind] * prop.size for prop in scene.props] or [1.2]
    high = max(tops)
    aside = sum(prop.x for prop in scene.props) / max(len(scene.props), 1)
    near = min((prop.z for prop in scene.props), default=0.0)
    share = 0.62 if scene.shot == "medium" else 0.95
    back = 1.374 * max(high, 0.45) / share
    return Camera(max(high * 0.62, 0.35), back - near, -4.0, aside=aside)


def _tall(scene: Scene) -> bool:
    return any(HEIGHTS[prop.kind] * prop.size > 2.4 for prop in scene.props if prop.z < 6.0)


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
