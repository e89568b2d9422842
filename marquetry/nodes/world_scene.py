"""Nodes of the drawn world: scenes, characters and clips with everything that is true of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import numpy, torch
from marquetry.engine.ports import Advanced, Choice, Image, Mask, Range, Seed, Text, Tip
from marquetry.nodes.world.stage import vocabulary as known

if TYPE_CHECKING:
    from marquetry.nodes.world.stage.scene import Person, Scene
    from marquetry.nodes.world.stage.truth import Truth

ANY = "any"
NONE = "none"
MAX_WORLD_SIZE = 1024
Setting = Annotated[str, Choice(ANY, *known.SETTINGS), Tip("Where it takes place.")]
Time = Annotated[str, Choice(ANY, *known.TIMES)]
Weather = Annotated[str, Choice(ANY, *known.WEATHERS), Tip("Rooms have no weather.")]
Shot = Annotated[str, Choice(ANY, *known.SHOTS), Tip("How near the camera is.")]
Style = Annotated[str, Choice(ANY, *known.STYLES), Tip("How it is drawn.")]
View = Annotated[str, Choice(ANY, *known.VIEWS), Tip("From where the character is seen.")]
Pose = Annotated[str, Choice(ANY, *known.POSES)]
Expression = Annotated[str, Choice(ANY, *known.EXPRESSIONS)]
Size = Annotated[int, Range(64, MAX_WORLD_SIZE, step=64), Tip("Width and height in pixels.")]
Description = Annotated[
    str, Text(multiline=True), Tip("A scene as JSON; it overrules the choices. Leave it empty to have one drawn by lot.")
]
CharacterText = Annotated[str, Text(multiline=True), Advanced, Tip("A character from World Character, put into the scene.")]
PartText = Annotated[str, Text(), Tip("Such as: actor 0, actor 0 hair, prop 1, tree, sky. Several with commas.")]


class WorldPicture(NamedTuple):
    IMAGE: Image
    caption: Annotated[str, Tip("A sentence that says what the picture shows, and nothing else.")]
    subject: Annotated[Mask, Tip("Where the people, animals and things of the scene are.")]
    depth: Annotated[Image, Tip("White is near, black is the sky.")]
    edges: Image
    pose: Annotated[Image, Tip("People as OpenPose draws them.")]
    masks: Annotated[Mask, Tip("One for each thing and part; their names are in truth, in this order.")]
    truth: Annotated[str, Tip("All that is known of the picture, as JSON.")]
    description: Annotated[str, Tip("The scene itself, as JSON: the same text gives the same picture.")]


class WorldFrames(NamedTuple):
    IMAGE: Image
    caption: str
    subject: Mask
    depth: Image
    pose: Image
    truth: Annotated[str, Tip("A JSON list with the truth of each frame, such as how far mouths are open.")]


@node(id="WorldScene", title="World Scene", category="world", aliases=("draw scene", "synthetic picture", "training data"))
def world_scene(
    seed: Annotated[int, Seed()] = 0,
    setting: Setting = ANY,
    time: Time = ANY,
    weather: Weather = ANY,
    shot: Shot = ANY,
    style: Style = ANY,
    people: Annotated[str, Choice(ANY, "0", "1", "2")] = ANY,
    size: Size = 256,
    caption: Annotated[str, Choice("short", "long", "tags")] = "short",
    view: View = ANY,
    pose: Pose = ANY,
    expression: Expression = ANY,
    character: CharacterText = "",
    description: Description = "",
) -> WorldPicture:
    """Draws a scene of the built-in world, with its caption and everything that is true of it.

    The scene is drawn by lot from `seed` within what is chosen, or read from `description`. Masks, depth, edges and pose are
    exact to the pixel, because the scene is drawn. `view`, `pose` and `expression` are those of the first person.
    """
    wishes = {"setting": setting, "time": time, "weather": weather, "shot": shot, "style": style}
    acting = {"view": view, "pose": pose, "expression": expression}
    scene = _scene(seed, wishes, people, acting, character, description)
    return _picture(scene, size, caption, seed)


@node(id="WorldCharacter", title="World Character", category="world", aliases=("person", "named character"))
def world_character(
    name: Annotated[str, Text()] = "",
    seed: Annotated[int, Seed()] = 0,
    kind: Annotated[str, Choice(ANY, *known.KINDS)] = ANY,
    skin: Annotated[str, Choice(ANY, *known.SKINS)] = ANY,
    hair_style: Annotated[str, Choice(ANY, *known.HAIR_STYLES)] = ANY,
    hair_colour: Annotated[str, Choice(ANY, *known.HAIR_COLOURS)] = ANY,
    eyes: Annotated[str, Choice(ANY, *known.EYE_COLOURS)] = ANY,
    description: Annotated[str, Text(multiline=True), Tip("A character as JSON; it overrules the choices.")] = "",
) -> str:
    """A character of the drawn world that can be put into any scene, pose, view and style; the same each time.

    What is left to "any", the clothes among it, is drawn by lot from `seed`.
    """
    from dataclasses import replace

    from marquetry.nodes.world.stage.casting import person_of
    from marquetry.nodes.world.stage.wire import person_from_json, to_json

    if description.strip():
        return to_json(person_from_json(description))
    person = person_of(seed, "" if kind == ANY else kind, name)
    chosen = {"skin": skin, "hair_style": hair_style, "hair_colour": hair_colour, "eyes": eyes}
    changes: dict[str, Any] = {key: value for key, value in chosen.items() if value != ANY}
    return to_json(replace(person, **changes))


@node(id="WorldClip", title="World Clip", category="world", aliases=("synthetic video", "animation"))
def world_clip(
    context: Context,
    seed: Annotated[int, Seed()] = 0,
    motion: Annotated[str, Choice(*known.MOTIONS), Tip("Walking, waving, talking, drifting clouds, or a turning camera.")] = "walk",
    frames: Annotated[int, Range(1, 256, step=1)] = 16,
    frames_per_second: Annotated[float, Range(1.0, 60.0, step=0.5)] = 8.0,
    setting: Setting = ANY,
    time: Time = ANY,
    weather: Weather = ANY,
    shot: Shot = ANY,
    style: Style = ANY,
    size: Size = 256,
    character: CharacterText = "",
    description: Description = "",
) -> WorldFrames:
    """A short clip `[F, H, W, 3]` of the drawn world with the truth of each frame.

    When somebody talks, the truth says how far the mouth is open in each frame.
    """
    from marquetry.nodes.world.stage.clips import frames_of

    wishes = {"setting": setting, "time": time, "weather": weather, "shot": shot, "style": style}
    people = "1" if motion in ("walk", "wave", "talk") else ANY
    scene = _scene(seed, wishes, people, {"view": "front" if motion == "talk" else ANY}, character, description)
    pictures: list[WorldPicture] = []
    for index, moment in enumerate(frames_of(scene, motion, frames, frames_per_second)):
        context.check()
        pictures.append(_picture(moment, size, "short", seed))
        context.progress(index + 1, frames)
    told = [json.loads(picture.truth) for picture in pictures]
    return WorldFrames(
        torch.cat([picture.IMAGE for picture in pictures]),
        pictures[0].caption,
        torch.cat([picture.subject for picture in pictures]),
        torch.cat([picture.depth for picture in pictures]),
        torch.cat([picture.pose for picture in pictures]),
        json.dumps(told),
    )


@node(id="WorldMask", title="World Mask", category="world", aliases=("part mask",))
def world_mask(masks: Mask, truth: Annotated[str, Text(multiline=True)], parts: PartText = "actor 0") -> Mask:
    """The mask `[1, H, W]` of named things or parts of a drawn scene, joined; fails for a name that the picture doesn't show."""
    try:
        names = list(json.loads(truth)["masks"])
    except (ValueError, TypeError, KeyError) as error:
        raise NodeFailed("`truth` is not the truth of a drawn scene; connect the output of World Scene") from error
    wanted = [part.strip() for part in parts.split(",") if part.strip()]
    missing = [part for part in wanted if part not in names]
    if missing or not wanted:
        raise NodeFailed(f"the picture doesn't show {missing[0] if missing else 'nothing'!r}; it shows: {', '.join(names)}")
    return masks[[names.index(part) for part in wanted]].amax(dim=0, keepdim=True)


def _scene(seed: int, wishes: dict[str, str], people: str, acting: dict[str, str], character: str, description: str) -> Scene:
    from dataclasses import replace

    from marquetry.nodes.world.stage.casting import Wishes, scene_of
    from marquetry.nodes.world.stage.scene import Actor
    from marquetry.nodes.world.stage.wire import person_from_json, scene_from_json

    if description.strip():
        scene = scene_from_json(description)
    else:
        count = None if people == ANY else int(people)
        chosen = {key: "" if value == ANY else value for key, value in wishes.items()}
        scene = scene_of(seed, Wishes(**chosen, actors=max(count or 1, 1) if character.strip() else count))
    if character.strip():
        person: Person = person_from_json(character)
        first = scene.actors[0] if scene.actors else Actor(person)
        scene = replace(scene, actors=(replace(first, person=person), *scene.actors[1:]))
    changes: dict[str, Any] = {key: value for key, value in acting.items() if value != ANY}
    if scene.actors and changes and not description.strip():
        scene = replace(scene, actors=(replace(scene.actors[0], **changes), *scene.actors[1:]))
    return scene


def _picture(scene: Scene, size: int, kind: str, seed: int) -> WorldPicture:
    import random

    from marquetry.nodes.world.stage.captions import caption
    from marquetry.nodes.world.stage.render import draw
    from marquetry.nodes.world.stage.style import finish
    from marquetry.nodes.world.stage.truth import pose_picture, truth_of
    from marquetry.nodes.world.stage.wire import to_json

    drawing = draw(scene, size)
    truth = truth_of(drawing)
    text = caption(truth.attributes, random.Random(seed), kind).text
    masks = numpy.stack(list(truth.masks.values()))
    return WorldPicture(
        torch.from_numpy(finish(drawing).astype(numpy.float32) / 255.0)[None],
        text,
        torch.from_numpy(_subject(truth, size))[None],
        _grey(truth.depth),
        _grey(truth.edges),
        torch.from_numpy(pose_picture(truth.people, size).astype(numpy.float32) / 255.0)[None],
        torch.from_numpy(masks.astype(numpy.float32)),
        json.dumps(truth.told()),
        to_json(scene),
    )


def _subject(truth: Truth, size: int) -> Any:
    named = [mask for name, mask in truth.masks.items() if len(name.split()) == 2 and name.split()[0] in ("actor", "prop")]
    return numpy.any(named, axis=0).astype(numpy.float32) if named else numpy.zeros((size, size), dtype=numpy.float32)


def _grey(values: Any) -> Any:
    return torch.from_numpy(values.astype(numpy.float32))[None, ..., None].expand(-1, -1, -1, 3)
