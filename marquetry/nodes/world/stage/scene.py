"""What a picture of the drawn world shows, as frozen values: everything in the picture follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass

from marquetry.engine.errors import NodeFailed
from marquetry.nodes.world.stage import vocabulary as known

MAX_ACTORS = 2
MAX_PROPS = 8
REACH_M = 60.0


class SceneError(NodeFailed):
    """A description that can't be drawn; the message says where it is wrong and what it may be."""


def require(value: str, choices: tuple[str, ...], what: str) -> None:
    """Raises SceneError unless `value` is one of `choices`."""
    if value not in choices:
        raise SceneError(f"{what} is {value!r}; it may be one of: {', '.join(choices)}")


def require_between(value: float, low: float, high: float, what: str) -> None:
    """Raises SceneError unless `value` is a number from `low` to `high`."""
    if not low <= value <= high:
        raise SceneError(f"{what} is {value}; it may be from {low} to {high}")


@dataclass(frozen=True, slots=True)
class Garment:
    """One piece of clothing."""

    kind: str
    colour: str

    def __post_init__(self) -> None:
        require(self.colour, known.COLOURS, f"the colour of the {self.kind}")


@dataclass(frozen=True, slots=True)
class Outfit:
    """What somebody wears: a top with a bottom, or a dress; the rest as they like."""

    top: Garment | None = None
    bottom: Garment | None = None
    dress: Garment | None = None
    coat: Garment | None = None
    shoes: Garment = Garment("shoes", "brown")
    hat: Garment | None = None
    glasses: Garment | None = None
    scarf: Garment | None = None
    bag: Garment | None = None

    def __post_init__(self) -> None:
        kinds = {
            "top": known.TOPS, "bottom": known.BOTTOMS, "dress": known.DRESSES, "coat": known.COATS, "shoes": known.SHOES,
            "hat": known.HATS, "glasses": known.GLASSES, "scarf": known.SCARVES, "bag": known.BAGS,
        }  # fmt: skip
        for place, choices in kinds.items():
            garment = getattr(self, place)
            if garment is not None:
                require(garment.kind, choices, f"outfit.{place}.kind")
        if self.dress is None and (self.top is None or self.bottom is None):
            raise SceneError("an outfit needs a dress, or a top and a bottom")
        if self.dress is not None and (self.top is not None or self.bottom is not None):
            raise SceneError("an outfit has either a dress, or a top and a bottom")

    def pieces(self) -> dict[str, Garment]:
        """All that is worn, by place."""
        places = ("top", "bottom", "dress", "coat", "shoes", "hat", "glasses", "scarf", "bag")
        return {place: garment for place in places if (garment := getattr(self, place)) is not None}


@dataclass(frozen=True, slots=True)
class Person:
    """How somebody looks, whatever they do: a character that can be put into any scene."""

    kind: str
    skin: str
    hair_style: str
    hair_colour: str
    eyes: str
    outfit: Outfit
    name: str = ""

    def __post_init__(self) -> None:
        require(self.kind, known.KINDS, "kind")
        require(self.skin, known.SKINS, "skin")
        require(self.hair_style, known.HAIR_STYLES, "hair_style")
        require(self.hair_colour, known.HAIR_COLOURS, "hair_colour")
        require(self.eyes, known.EYE_COLOURS, "eyes")
        if len(self.name) > 40:
            raise SceneError("name is longer than 40 characters")


@dataclass(frozen=True, slots=True)
class Actor:
    """A person in a scene: where they stand and what they do.

    `x` and `z` are metres to the right of the middle of the stage and behind it. `phase` runs through a movement, 0..1.
    `mouth` opens the mouth, 0..1, whatever the expression says. `turn` is added to the view, in degrees.
    """

    person: Person
    x: float = 0.0
    z: float = 0.0
    view: str = "front"
    pose: str = "standing"
    expression: str = "neutral"
    phase: float = 0.25
    mouth: float | None = None
    turn: float = 0.0
    blink: float = 0.0

    def __post_init__(self) -> None:
        require(self.view, known.VIEWS, "view")
        require(self.pose, known.POSES, "pose")
        require(self.expression, known.EXPRESSIONS, "expression")
        require_between(self.x, -REACH_M, REACH_M, "x")
        require_between(self.z, -2.0, REACH_M, "z")
        require_between(self.phase, 0.0, 1.0, "phase")
        require_between(self.turn, -360.0, 360.0, "turn")
        require_between(self.blink, 0.0, 1.0, "blink")
        if self.mouth is not None:
            require_between(self.mouth, 0.0, 1.0, "mouth")


@dataclass(frozen=True, slots=True)
class Prop:
    """An animal or a thing in a scene. `size` multiplies its natural size; it looks to the right unless `mirrored`."""

    kind: str
    colour: str
    x: float = 0.0
    z: float = 0.0
    size: float = 1.0
    mirrored: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.kind, known.PROPS, "kind")
        require(self.colour, known.COLOURS, f"the colour of the {self.kind}")
        require_between(self.x, -REACH_M, REACH_M, "x")
        require_between(self.z, -2.0, REACH_M, "z")
        require_between(self.size, 0.3, 3.0, "size")


@dataclass(frozen=True, slots=True)
class Scene:
    """A whole scene. `light` is where the light comes from; `yaw` and `pitch` turn the camera, in degrees; `drift` moves the
    clouds, in pictures; `seed` draws what nobody names: which trees stand where, how the hills lie.
    """

    setting: str
    time: str = "day"
    weather: str = "clear"
    light: str = "left"
    shot: str = "wide"
    style: str = "outlined"
    actors: tuple[Actor, ...] = ()
    props: tuple[Prop, ...] = ()
    yaw: float = 0.0
    pitch: float = 0.0
    drift: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.setting, known.SETTINGS, "setting")
        require(self.time, known.TIMES, "time")
        require(self.weather, known.WEATHERS, "weather")
        require(self.light, known.LIGHTS, "light")
        require(self.shot, known.SHOTS, "shot")
        require(self.style, known.STYLES, "style")
        require_between(self.yaw, -30.0, 30.0, "yaw")
        require_between(self.pitch, -20.0, 20.0, "pitch")
        require_between(self.drift, -10.0, 10.0, "drift")
        if len(self.actors) > MAX_ACTORS:
            raise SceneError(f"a scene holds at most {MAX_ACTORS} actors; this one has {len(self.actors)}")
        if len(self.props) > MAX_PROPS:
            raise SceneError(f"a scene holds at most {MAX_PROPS} props; this one has {len(self.props)}")
        if not 0 <= self.seed < 2**64:
            raise SceneError("seed may be from 0 to 2**64 - 1")
