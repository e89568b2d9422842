"""Captions: short, long and tag-like, which say only what the picture shows, and which list what they claim."""

from __future__ import annotations

import random
from dataclasses import dataclass

from marquetry.nodes.world.stage import vocabulary, words
from marquetry.nodes.world.stage.seen import Attributes

KINDS: tuple[str, ...] = ("short", "long", "tags")
CLOTHES: tuple[str, ...] = ("dress", "top", "coat", "bottom")
ACCESSORIES: tuple[str, ...] = ("hat", "glasses", "scarf", "bag", "shoes")
SHORT_FORMS: tuple[str, ...] = (
    "{subject} {place} {time} {weather}, {style}",
    "{subject} {place} {time} {weather}, {style}",
    "{subject} {place} {weather} {time}, {style}",
    "{style} of {subject} {place} {time} {weather}",
    "{shot}, {subject} {place} {time} {weather}, {style}",
    "{shot} of {subject} {place} {time} {weather}, {style}",
    "{subject}, {place} {time} {weather}, {shot}, {style}",
    "{place} {time} {weather}, {subject}, {style}",
    "{style}, {shot} of {subject} {place} {time} {weather}",
)
HELD_OUT_FORMS: tuple[str, ...] = (
    "{style}, {place} {time} {weather}, {shot} of {subject}",
    "there is {subject} {place} {time} {weather}, {style}, {shot}",
    "{time} {weather}, {style} of {subject} {place}, {shot}",
)


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence or list about a picture, with the attributes that it claims."""

    text: str
    claims: tuple[tuple[str, str], ...]


class Writer:
    """Writes one caption: remembers what it has claimed."""

    def __init__(self, seen: Attributes, draw: random.Random) -> None:
        self.seen = seen
        self.draw = draw
        self.claims: list[tuple[str, str]] = []

    def claim(self, what: str) -> str | None:
        """The value of an attribute, which the caption now claims; None where it is not seen."""
        value = self.seen.get(what)
        if value is not None:
            self.claims.append((what, value))
        return value

    def phrase(self, what: str, table: dict[str, words.Phrases]) -> str:
        """A phrase for an attribute; "" leaves it unsaid."""
        value = self.seen.get(what)
        if value is None:
            return ""
        chosen = self.draw.choice(table[value])
        if chosen:
            self.claims.append((what, value))
        return chosen

    def coloured(self, colour_key: str, noun: str) -> str:
        """A noun with its colour before it, where that is seen."""
        colour = self.claim(colour_key)
        template = words.GARMENTS.get(noun, "{colour} " + noun)
        return " ".join(template.format(colour=colour or "").split())

    def sometimes(self, share: float) -> bool:
        """True in a share of cases."""
        return self.draw.random() < share


def caption(seen: Attributes, draw: random.Random, kind: str = "", held_out: bool = False) -> Caption:
    """A caption of a kind, or of any; `held_out` takes phrasings that lessons never use."""
    chosen = kind or draw.choices(KINDS, (0.5, 0.3, 0.2))[0]
    writer = Writer(seen, draw)
    text = _tags(writer) if chosen == "tags" else _sentence(writer, chosen == "long", held_out)
    return Caption(text, tuple(dict.fromkeys(writer.claims)))


def _tidy(text: str) -> str:
    parts = [" ".join(part.split()) for part in text.split(",")]
    tidied = ", ".join(part for part in parts if part).replace(", and ", " and ").replace(", on the left and", " on the left and")
    return tidied.removeprefix("of ").replace(", of ", ", ")


def _sentence(writer: Writer, full: bool, held_out: bool) -> str:
    form = writer.draw.choice(HELD_OUT_FORMS if held_out else SHORT_FORMS)
    plain = writer.seen["style"] == "outlined" and writer.sometimes(0.6)
    return _tidy(
        form.format(
            subject=_subjects(writer, full),
            place=writer.phrase("setting", words.PLACES),
            time=writer.phrase("time", words.TIMES),
            weather=writer.phrase("weather", words.WEATHERS),
            style="" if plain else writer.phrase("style", words.STYLES),
            shot=_shot(writer) if "{shot}" in form or writer.seen["shot"] == "close-up" else "",
        )
    )


def _shot(writer: Writer) -> str:
    if writer.seen["shot"] != "close-up" and writer.sometimes(0.5):
        return ""
    people = any(key.startswith("actor") for key in writer.seen)
    return writer.phrase("shot", words.SHOTS if people else words.THING_SHOTS)


def numbers(seen: Attributes, role: str) -> list[int]:
    """Which actors or props are seen."""
    return sorted({int(key.split()[1]) for key in seen if key.startswith(role + " ") and key.endswith(" kind") and len(key.split()) == 3})


def _subjects(writer: Writer, full: bool) -> str:
    actors, props = numbers(writer.seen, "actor"), numbers(writer.seen, "prop")
    told = [_person(writer, index, full, len(actors)) for index in actors]
    told += [_prop(writer, index) for index in props[: 4 if full or not actors else 2]]
    if not told:
        return "an empty place"
    return " and ".join(told) if len(told) < 3 else ", ".join(told[:-1]) + " and " + told[-1]


def _prop(writer: Writer, index: int) -> str:
    noun = writer.claim(f"prop {index} kind") or ""
    noun = writer.draw.choice(words.PROPS.get(noun, (noun,)))
    return words.article(writer.coloured(f"prop {index} colour", noun))


def _person(writer: Writer, index: int, full: bool, count: int) -> str:
    name = f"actor {index}"
    noun = writer.phrase(f"{name} kind", words.KINDS)
    expression = writer.seen.get(f"{name} expression")
    if expression is not None and (full or expression != "neutral") and (full or writer.sometimes(0.75)):
        noun = f"{writer.phrase(f'{name} expression', words.EXPRESSIONS)} {noun}"
    text = words.article(noun) + _looks(writer, name, full)
    pose = _pose(writer, name, full)
    text += f", {pose}," if pose and " " in text.removeprefix("a ").removeprefix("an ") else f" {pose}"
    view = writer.seen[f"{name} view"]
    if view in ("back", "side left", "side right") or (full and view != "front") or writer.sometimes(0.08):
        text += f", {writer.phrase(f'{name} view', words.VIEWS)},"
    if count == 2 and writer.sometimes(0.6):
        text += f" on the {writer.claim(f'{name} side')}"
    return text


def _pose(writer: Writer, name: str, full: bool) -> str:
    pose = writer.seen.get(f"{name} pose")
    if pose is None or (pose == "standing" and not full and not writer.sometimes(0.2)):
        return ""
    return writer.claim(f"{name} pose") or "" if full or writer.sometimes(0.85) else ""


def _looks(writer: Writer, name: str, full: bool) -> str:
    worn = [place for place in CLOTHES if f"{name} {place} kind" in writer.seen]
    extra = [place for place in ACCESSORIES if f"{name} {place} kind" in writer.seen]
    if not full:
        worn = worn[: writer.draw.choice((0, 1, 1, 2, 2))]
        extra = [place for place in extra if writer.sometimes(0.3 if place != "shoes" else 0.08)]
    text = ""
    if full or writer.sometimes(0.55):
        hair = _hair(writer, name)
        text += f" with {hair}" if hair else ""
        if full and f"{name} eyes" in writer.seen:
            text += f" and {writer.claim(f'{name} eyes')} eyes"
    pieces = [_garment(writer, name, place) for place in (*worn, *extra)]
    if pieces:
        text += (" wearing " if writer.sometimes(0.4) else " in ") + (
            " and ".join(pieces) if len(pieces) < 3 else ", ".join(pieces[:-1]) + " and " + pieces[-1]
        )
    return text


def _hair(writer: Writer, name: str) -> str:
    style = writer.claim(f"{name} hair style")
    if style is None:
        return ""
    return " ".join(words.HAIR[style].format(colour=writer.claim(f"{name} hair colour") or "").split())


def _garment(writer: Writer, name: str, place: str) -> str:
    noun = writer.claim(f"{name} {place} kind") or ""
    text = writer.coloured(f"{name} {place} colour", noun)
    return text if noun in words.PLURAL_GARMENTS else words.article(text)


def _tags(writer: Writer) -> str:
    tags: list[str] = []
    for index in numbers(writer.seen, "actor"):
        name = f"actor {index}"
        tags.append(writer.phrase(f"{name} kind", words.KINDS))
        tags.append(_hair(writer, name).removeprefix("a "))
        if writer.seen.get(f"{name} expression", "neutral") != "neutral":
            tags.append(writer.phrase(f"{name} expression", words.EXPRESSIONS))
        for place in (*CLOTHES, *ACCESSORIES):
            if f"{name} {place} kind" in writer.seen and writer.sometimes(0.7):
                tags.append(writer.coloured(f"{name} {place} colour", writer.claim(f"{name} {place} kind") or ""))
        tags.append(writer.claim(f"{name} pose") or "" if writer.sometimes(0.8) else "")
        if writer.seen[f"{name} view"] != "front":
            tags.append(writer.phrase(f"{name} view", words.VIEWS))
    tags += [_prop(writer, index).split(" ", 1)[1] for index in numbers(writer.seen, "prop")]
    tags += [
        writer.phrase("setting", words.PLACE_TAGS),
        writer.phrase("time", words.TIME_TAGS),
        writer.phrase("weather", words.WEATHER_TAGS),
        _shot(writer),
    ]
    if writer.seen["style"] != "outlined" or writer.sometimes(0.5):
        tags.append(writer.phrase("style", words.STYLES))
    return ", ".join(tag for tag in tags if tag)


def caption_words() -> frozenset[str]:
    """Every word that a caption may hold."""
    tables: tuple[dict[str, words.Phrases], ...] = (
        words.PLACES, words.PLACE_TAGS, words.TIMES, words.TIME_TAGS, words.WEATHERS, words.WEATHER_TAGS, words.STYLES, words.SHOTS,
        words.KINDS, words.EXPRESSIONS, words.VIEWS, words.PROPS,
    )  # fmt: skip
    phrases = [phrase for table in tables for choices in table.values() for phrase in choices]
    phrases += [*words.HAIR.values(), *words.SKINS.values(), *words.LIGHTS.values(), *words.GARMENTS.values(), *words.GLUE, ","]
    names = (
        vocabulary.COLOURS, vocabulary.HAIR_COLOURS, vocabulary.EYE_COLOURS, vocabulary.TOPS, vocabulary.BOTTOMS, vocabulary.DRESSES, vocabulary.COATS, vocabulary.SHOES,
        vocabulary.HATS, vocabulary.GLASSES, vocabulary.BAGS, vocabulary.SCARVES, vocabulary.POSES, vocabulary.PROPS, ("empty", "place"),
    )  # fmt: skip
    phrases += [name for group in names for name in group]
    return frozenset(part for phrase in phrases for part in phrase.replace("{colour}", " ").replace(",", " , ").split())
