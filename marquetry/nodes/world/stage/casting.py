"""Scenes and people drawn by lot: varied, but composed as somebody would who draws for a living."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from marquetry.nodes.world.stage import vocabulary as known
from marquetry.nodes.world.stage.places.registry import PLACES
from marquetry.nodes.world.stage.props.registry import KINDS, PLACED_IN
from marquetry.nodes.world.stage.scene import Actor, Garment, Outfit, Person, Prop, Scene

STYLE_WEIGHTS = {"flat": 0.14, "outlined": 0.42, "pastel": 0.12, "pixel": 0.10, "ink": 0.08, "watercolour": 0.14}
GARMENT_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown", "grey")
BRIGHT = GARMENT_COLOURS[:8]
HELD_OUT_MODULUS = 10
LARGE = ("car", "bus", "house", "tree", "pine", "palm", "balloon", "horse", "sofa", "bicycle")  # stand behind people, not beside them


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a drawn scene must have; "" leaves it to the lot."""

    setting: str = ""
    time: str = ""
    weather: str = ""
    shot: str = ""
    style: str = ""
    actors: int | None = None


def person_of(seed: int, kind: str = "", name: str = "") -> Person:
    """A person drawn by lot."""
    return _person(random.Random(seed ^ 0x9E3779B9), kind, name)


def _person(draw: random.Random, kind: str = "", name: str = "") -> Person:
    kind = kind or draw.choice(known.KINDS)
    female = kind in ("girl", "woman")
    styles = (
        ("bob", "long", "ponytail", "bun", "pigtails", "braids", "curly", "short")
        if female
        else ("short", "spiky", "curly", "short", "long")
    )
    hair = draw.choices(known.HAIR_COLOURS, (5, 5, 4, 4, 2, 2, 2, 2))[0]
    return Person(
        kind, draw.choice(known.SKINS), draw.choice(styles), hair, draw.choice(known.EYE_COLOURS), _outfit(draw, kind, female), name
    )


def _outfit(draw: random.Random, kind: str, female: bool) -> Outfit:
    main = draw.choice(GARMENT_COLOURS)
    other = draw.choice([colour for colour in GARMENT_COLOURS if colour != main])
    top = bottom = dress = None
    if female and draw.random() < 0.4:
        dress = Garment(draw.choice(known.DRESSES), main)
    else:
        top = Garment(draw.choice(known.TOPS), main)
        bottom = Garment(draw.choice(known.BOTTOMS if female else known.BOTTOMS[:2]), other)
    rest = [colour for colour in GARMENT_COLOURS if colour not in (main, other)]

    def maybe(share: float, kinds: tuple[str, ...], colours: list[str] | tuple[str, ...] = BRIGHT) -> Garment | None:
        return Garment(draw.choice(kinds), draw.choice(colours)) if draw.random() < share else None

    hats = known.HATS if female else known.HATS[:5]
    glasses = maybe(0.16, known.GLASSES, ("black",))
    return Outfit(top, bottom, dress, maybe(0.18, known.COATS, rest), Garment(draw.choice(known.SHOES), draw.choice(("brown", "black", "red", "white", "blue", "grey"))),
                  maybe(0.28, hats, rest[:8]), glasses, maybe(0.14, known.SCARVES), maybe(0.16, known.BAGS if female else known.BAGS[:1], rest))  # fmt: skip


def scene_of(seed: int, wishes: Wishes = Wishes()) -> Scene:
    """A scene drawn by lot; `wishes` fix what they name."""
    draw = random.Random(seed)
    setting = wishes.setting or draw.choice(tuple(PLACES))
    time = wishes.time or draw.choices(known.TIMES, (0.5, 0.25, 0.25))[0]
    weather = wishes.weather or (
        "clear" if setting in known.INDOORS else draw.choices(known.WEATHERS, (0.6, 0.13, 0.1, 0.0 if setting == "beach" else 0.1, 0.07))[0]
    )
    shot = wishes.shot or draw.choices(known.SHOTS, (0.45, 0.33, 0.22))[0]
    style = wishes.style or draw.choices(tuple(STYLE_WEIGHTS), tuple(STYLE_WEIGHTS.values()))[0]
    count = wishes.actors if wishes.actors is not None else draw.choices((0, 1, 2), (0.24, 0.6, 0.16))[0]
    actors = _actors(draw, count)
    props = _props(draw, setting, len(actors), shot)
    if any(prop.kind == "boat" for prop in props) and not wishes.shot:
        shot = "wide"
    return Scene(setting, time, weather, draw.choice(known.LIGHTS), shot, style, actors, props, seed=draw.randrange(1 << 32))


def _actors(draw: random.Random, count: int) -> tuple[Actor, ...]:
    places = {0: (), 1: (draw.uniform(-0.25, 0.25),), 2: (draw.uniform(-0.58, -0.44), draw.uniform(0.44, 0.58))}[count]
    return tuple(_actor(draw, x) for x in places)


def _actor(draw: random.Random, x: float) -> Actor:
    view = draw.choices(known.VIEWS, (0.40, 0.15, 0.15, 0.1, 0.1, 0.1))[0]
    pose = draw.choices(known.POSES, (0.26, 0.14, 0.12, 0.1, 0.12, 0.09, 0.09, 0.08))[0]
    expression = draw.choices(known.EXPRESSIONS, (0.18, 0.26, 0.19, 0.18, 0.19))[0]
    phase = draw.uniform(0.18, 0.32) if pose in ("walking", "running", "jumping") else draw.random()
    return Actor(_person(draw), x, draw.uniform(-0.15, 0.25), view, pose, expression, phase)


def _props(draw: random.Random, setting: str, actors: int, shot: str) -> tuple[Prop, ...]:
    """Things beside or instead of people, one or two."""
    if actors:
        count = 0 if shot == "close-up" or draw.random() < 0.68 else 1
        return tuple(_beside(draw, setting) for _ in range(count))
    first = _alone(draw, draw.choice(PLACED_IN[setting]), 0.0)
    if draw.random() < 0.7 or first.kind in (*LARGE, "boat"):
        return (replace(first, x=draw.uniform(-0.2, 0.2)) if first.kind != "boat" else first,)
    second = draw.choice([kind for kind in PLACED_IN[setting] if kind not in (*LARGE, "boat", first.kind)])
    apart = (_half(first.kind) + _half(second)) * 0.5 + 0.12
    return replace(first, x=-apart), _alone(draw, second, apart)


def _half(kind: str) -> float:
    return max(KINDS[kind].width, KINDS[kind].height * 0.8) / 2


def _alone(draw: random.Random, kind: str, x: float) -> Prop:
    z = draw.uniform(6.0, 9.0) if kind == "boat" else draw.uniform(-0.1, 0.15)
    if kind == "boat":
        x = draw.uniform(-1.5, 1.5)
    return Prop(kind, draw.choice(KINDS[kind].colours), x, z, mirrored=draw.random() < 0.5, seed=draw.randrange(1000))


def _beside(draw: random.Random, setting: str) -> Prop:
    kind = draw.choice(PLACED_IN[setting])
    if kind == "boat":
        return _alone(draw, kind, 0.0)
    side = draw.choice((-1.0, 1.0))
    if kind in LARGE:
        return replace(_alone(draw, kind, side * draw.uniform(1.1, 1.8)), z=draw.uniform(1.8, 3.0))
    return replace(_alone(draw, kind, side * (0.42 + _half(kind) + draw.uniform(0.0, 0.15))), z=draw.uniform(-0.1, 0.35))


def is_held_out(scene: Scene) -> bool:
    """True for the tenth of all combinations of subject, main colour, setting and time that lessons never show."""
    rank = 7 * known.SETTINGS.index(scene.setting) + 5 * known.TIMES.index(scene.time)
    for actor in scene.actors:
        outfit = actor.person.outfit
        main = outfit.dress or outfit.top
        assert main is not None
        rank += 3 * known.COLOURS.index(main.colour) + known.KINDS.index(actor.person.kind) + 2 * known.EXPRESSIONS.index(actor.expression)
    for prop in scene.props:
        rank += 3 * known.COLOURS.index(prop.colour) + known.PROPS.index(prop.kind)
    return rank % HELD_OUT_MODULUS == 0
