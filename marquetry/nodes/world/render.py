"""Scenes into pictures: a pure function from a scene to pixels, drawn large and shrunk for smooth edges."""

import random

from PIL import Image, ImageDraw

from marquetry.nodes.world.canvas import Canvas, whole_picture
from marquetry.nodes.world.palette import subject_colour
from marquetry.nodes.world.scene import Scene
from marquetry.nodes.world.settings import SETTINGS_DRAWN, draw_sky
from marquetry.nodes.world.subjects import DRAWINGS

PICTURE_SIZE = 64
SUPERSAMPLING = 4


def render(scene: Scene, size: int = PICTURE_SIZE) -> Image.Image:
    """The picture of a scene: RGB, `size` by `size` pixels, the same for the same scene on every machine."""
    content = scene.content
    large = size * SUPERSAMPLING
    image = Image.new("RGB", (large, large))
    background = whole_picture(image)
    draw = random.Random(scene.seed)
    draw_sky(background, content.setting, content.time_of_day, draw, scene.mirrored)
    SETTINGS_DRAWN[content.setting](background, content.time_of_day, draw)
    side = scene.size * large
    square = Canvas(
        draw=ImageDraw.Draw(image),
        left=scene.x * large - side / 2,
        top=scene.base * large - side,
        side=side,
        line=large / 56,
        mirrored=scene.mirrored,
    )
    night = content.time_of_day == "night"
    DRAWINGS[content.subject](square, subject_colour(content.colour, content.time_of_day), night)
    return image.resize((size, size), Image.Resampling.BOX)
