"""A fixed cast for measuring: ten characters, twenty environments, fifty panels; and the fourteen anchors of a character."""

from __future__ import annotations

import random
from dataclasses import replace

from marquetry.nodes.world.stage import vocabulary as known
from marquetry.nodes.world.stage.casting import person_of
from marquetry.nodes.world.stage.scene import Actor, Person, Scene

NAMES: tuple[tuple[str, str, int], ...] = (
    ("Mia", "girl", 13), ("Leo", "boy", 23), ("Ada", "woman", 35), ("Tom", "man", 47), ("Zoe", "girl", 58),
    ("Sam", "boy", 64), ("Ines", "woman", 79), ("Omar", "man", 82), ("Lili", "girl", 93), ("Noor", "woman", 104),
)  # fmt: skip
ANCHOR_POSES: tuple[str, ...] = ("standing", "sitting", "waving")
PANELS_COUNT = 50


def characters() -> tuple[Person, ...]:
    """Ten named people, always the same."""
    return tuple(person_of(seed, kind, name) for name, kind, seed in NAMES)


def environments() -> tuple[Scene, ...]:
    """Twenty empty places: every setting by day and night, and six of them at sunset."""
    hours = [(setting, time) for time in ("day", "night", "sunset") for setting in known.SETTINGS]
    return tuple(Scene(setting, time, light=known.LIGHTS[index % 2], seed=1000 + index) for index, (setting, time) in enumerate(hours[:20]))


def panels(style: str = "outlined") -> tuple[Scene, ...]:
    """Fifty panels: each character five times, in other places, poses, views and moods."""
    draw = random.Random(50)
    places, cast = environments(), characters()
    made = []
    for index in range(PANELS_COUNT):
        actor = Actor(
            cast[index % len(cast)],
            view=known.VIEWS[draw.randrange(5)],
            pose=known.POSES[(index * 3 + index // 10) % len(known.POSES)],
            expression=known.EXPRESSIONS[(index + index // 10) % len(known.EXPRESSIONS)],
        )
        made.append(replace(places[(index * 7) % len(places)], shot=("wide", "medium")[index % 2], style=style, actors=(actor,)))
    return tuple(made)


def anchors(person: Person, style: str = "outlined") -> dict[str, Scene]:
    """What a character looks like: six views, five expressions, three poses, by name."""
    plain = Scene("room", shot="medium", style=style, actors=(Actor(person),), seed=7)

    def acting(shot: str, actor: Actor) -> Scene:
        return replace(plain, shot=shot, actors=(actor,))

    views = {view: acting("medium", Actor(person, view=view)) for view in known.VIEWS}
    moods = {expression: acting("close-up", Actor(person, expression=expression)) for expression in known.EXPRESSIONS}
    poses = {pose: acting("wide", Actor(person, pose=pose)) for pose in ANCHOR_POSES}
    return views | moods | poses
