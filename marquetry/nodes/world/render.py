"""Scenes into pictures: a pure function from a scene to pixels, drawn large and shrunk for smooth edges."""

import random

from PIL import Image, ImageDraw

from marquetry.nodes.world.canvas import Canvas, whole_picture
from marquetry.nodes.world.palette import Rgb, subject_colour
from marquetry.nodes.world.scene import Scene
from marquetry.nodes.world.settings import SETTINGS_DRAWN, draw_sky
from marquetry.nodes.world.subjects import DRAWINGS

PICTURE_SIZE = 64
SUPERSAMPLING = 4


def render(scene: Scene, size: int = PICTURE_SIZE) -> Image.Image:
    """The picture of a scene: RGB, `size` by `size` pixels, the same for the same scene on every machine."""
    image = Image.new("RGB", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    draw_background(image, scene)
    draw_subject(image, scene, subject_colour(scene.content.colour, scene.content.time_of_day))
    return shrunk(image)


def render_background(scene: Scene, size: int = PICTURE_SIZE) -> Image.Image:
    """A scene without its subject."""
    image = Image.new("RGB", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    draw_background(image, scene)
    return shrunk(image)


def render_subject(scene: Scene, colour: Rgb, behind: Rgb, size: int = PICTURE_SIZE) -> Image.Image:
    """A scene's subject alone, in any colour, on a flat background."""
    image = Image.new("RGB", (size * SUPERSAMPLING, size * SUPERSAMPLING), behind)
    draw_subject(image, scene, colour)
    return shrunk(image)


def draw_background(image: Image.Image, scene: Scene) -> None:
    """Sky, horizon and ground over the whole of a square picture."""
    canvas = whole_picture(image)
    draw = random.Random(scene.seed)
    setting, time_of_day = scene.content.setting, scene.content.time_of_day
    draw_sky(canvas, setting, time_of_day, draw, scene.mirrored)
    SETTINGS_DRAWN[setting](canvas, time_of_day, draw)


def draw_subject(image: Image.Image, scene: Scene, colour: Rgb) -> None:
    """The subject in its place."""
    large = image.width
    side = scene.size * large
    square = Canvas(
        draw=ImageDraw.Draw(image),
        left=scene.x * large - side / 2,
        top=scene.base * large - side,
        side=side,
        line=large / 56,
        mirrored=scene.mirrored,
    )
    DRAWINGS[scene.content.subject](square, colour, scene.content.time_of_day == "night")


def shrunk(image: Image.Image) -> Image.Image:
    """The finished picture, with the supersampling averaged away."""
    size = image.width // SUPERSAMPLING
    return image.resize((size, size), Image.Resampling.BOX)
