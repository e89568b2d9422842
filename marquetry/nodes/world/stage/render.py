"""From a scene to its drawing, and from the drawing to pixels in the scene's style."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy
from numpy.typing import NDArray

from marquetry.nodes.world.stage.backdrop import paint_backdrop
from marquetry.nodes.world.stage.camera import Camera
from marquetry.nodes.world.stage.figure.draw import draw_actor
from marquetry.nodes.world.stage.figure.skeleton import skeleton_of
from marquetry.nodes.world.stage.framing import camera_of
from marquetry.nodes.world.stage.light import Light, light_of
from marquetry.nodes.world.stage.places.registry import PLACES, SEATS
from marquetry.nodes.world.stage.props.registry import put_prop
from marquetry.nodes.world.stage.scene import Actor, Scene, SceneError
from marquetry.nodes.world.stage.sketch import Sketch
from marquetry.nodes.world.stage.style import finish
from marquetry.nodes.world.stage.theatre import Theatre, Thing

Floats = NDArray[numpy.float32]
MAX_SIZE = 1024


@dataclass(frozen=True, slots=True)
class Drawing:
    """A scene that is drawn but has no pixels yet."""

    scene: Scene
    camera: Camera
    light: Light
    theatre: Theatre
    backdrop: Floats  # [S, S, 3] in 0..255

    @property
    def sketch(self) -> Sketch:
        """The sheet with ink numbers."""
        return self.theatre.sketch


def draw(scene: Scene, size: int = 256) -> Drawing:
    """Draws a scene; `size` is a multiple of 64. Raises SceneError for other sizes."""
    if size % 64 or not 64 <= size <= MAX_SIZE:
        raise SceneError(f"a picture of {size} pixels can't be drawn; the size is a multiple of 64 up to {MAX_SIZE}")
    camera, light = camera_of(scene), light_of(scene)
    theatre = Theatre(scene, camera, light, size)
    ground = PLACES[scene.setting](theatre)
    for index, prop in enumerate(scene.props):
        put_prop(theatre, prop, index)
    for index, actor in enumerate(scene.actors):
        _put_actor(theatre, actor, index)
    theatre.draw()
    return Drawing(scene, camera, light, theatre, paint_backdrop(theatre, ground))


def picture(scene: Scene, size: int = 256) -> NDArray[numpy.uint8]:
    """The picture of a scene, `[size, size, 3]`."""
    return finish(draw(scene, size))


def _put_actor(theatre: Theatre, actor: Actor, index: int) -> None:
    skeleton = skeleton_of(actor)
    height = skeleton.build.height_m
    if skeleton.seat:
        name, seat = SEATS[theatre.scene.setting]
        theatre.put(Thing(name, "scenery"), actor.x, actor.z + 0.03, partial(seat, height=skeleton.seat * height), foot=0.4, height=0.3)
    theatre.put(
        Thing(actor.person.kind, "actor", index),
        actor.x,
        actor.z,
        partial(draw_actor, actor=actor),
        size=height,
        foot=0.24 if not skeleton.pose.lift else 0.2,
        height=height,
    )
