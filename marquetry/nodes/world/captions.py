"""How a scene may be put into words: synonyms, phrasings, and the defaults for what is left unsaid."""

import random
from dataclasses import dataclass

from marquetry.nodes.world.scene import Content

SUBJECT_WORDS: dict[str, tuple[str, ...]] = {
    "cat": ("cat", "cat", "kitten", "kitty"),
    "house": ("house", "house", "cottage", "home"),
    "car": ("car", "car", "automobile", "motorcar"),
    "tree": ("tree", "tree", "leafy tree"),
    "fish": ("fish", "fish", "jumping fish"),
    "boat": ("boat", "boat", "sailboat", "ship"),
    "flower": ("flower", "flower", "blossom", "bloom"),
    "rocket": ("rocket", "rocket", "spaceship", "spacecraft"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "red", "scarlet", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple", "purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
}
PLACES: dict[str, tuple[str, ...]] = {
    "field": ("in a field", "in the field", "in a meadow", "on the grass"),
    "beach": ("on the beach", "at the beach", "at the seaside", "by the sea", "on the sand"),
    "forest": ("in the forest", "in a forest", "in the woods"),
    "snow": ("in the snow", "in the mountains", "in winter", "on the snow"),
    "city": ("in the city", "in a city", "on a street", "in the street", "in town"),
    "desert": ("in the desert", "in a desert", "among the dunes"),
}
PLACE_NOUNS: dict[str, tuple[str, ...]] = {
    "field": ("field", "meadow"),
    "beach": ("beach", "seaside"),
    "forest": ("forest", "woods"),
    "snow": ("snow", "mountains", "winter"),
    "city": ("city", "street", "town"),
    "desert": ("desert", "dunes"),
}
MOMENTS: dict[str, tuple[str, ...]] = {
    "day": ("", "", "", "by day", "during the day", "in daylight", "at noon", "in the sunshine"),
    "night": ("at night", "at night", "by night", "under the moon", "in the moonlight", "in the dark", "at midnight"),
}
MOMENT_NOUNS: dict[str, tuple[str, ...]] = {
    "day": ("", "", "day", "daytime", "sunny"),
    "night": ("night", "nighttime", "moonlight"),
}
MEDIA: tuple[str, ...] = ("photo", "picture", "drawing", "painting", "sketch", "cartoon")

PHRASINGS: tuple[str, ...] = (
    "{article} {colour} {subject} {place} {moment}",
    "{article} {colour} {subject} {place} {moment}",
    "{article} {colour} {subject} {moment} {place}",
    "{colour} {subject} {place} {moment}",
    "the {colour} {subject} {place} {moment}",
    "a {medium} of {article} {colour} {subject} {place} {moment}",
    "{medium} of {article} {colour} {subject}, {place}, {moment}",
    "{moment}, {place}, {article} {colour} {subject}",
    "{place} {moment}, {article} {colour} {subject}",
    "{colour} {subject}, {place_noun}, {moment_noun}",
    "{article} {colour} {subject}, {moment_noun}, {place_noun}",
    "{moment_noun}, {place_noun}, {colour} {subject}",
    "{place_noun}, {colour} {subject}, {moment_noun}",
    "there is {article} {colour} {subject} {place} {moment}",
    "{article} {subject} that is {colour}, {place}, {moment}",
    "a {medium} of {article} {colour} {subject}",
    "{article} {colour} {subject}",
    "{article} {subject} {place} {moment}",
    "{article} {subject}",
)
HELD_OUT_PHRASINGS: tuple[str, ...] = (
    "{place} {moment} there is {article} {colour} {subject}",
    "{moment_noun}, {colour} {subject}, {place_noun}",
    "the {medium} of the {colour} {subject} {moment} {place}",
    "{colour} {subject} {place_noun} {moment_noun}",
)
UNSAID_TIME_PHRASINGS: tuple[str, ...] = (
    "a {medium} of {article} {colour} {subject}",
    "{article} {colour} {subject}",
    "{article} {subject}",
)
FILLERS: tuple[str, ...] = ("lovely", "little", "beautiful", "very nice", "detailed", "highly detailed", "cute", "old")


@dataclass(frozen=True, slots=True)
class Wording:
    """A phrasing with the words chosen for each of its gaps."""

    phrasing: str
    words: dict[str, str]

    def text(self) -> str:
        """The caption, with the gaps closed up where a word was left out."""
        text = self.phrasing.format(**self.words)
        parts = [" ".join(part.split()) for part in text.split(",")]
        return ", ".join(part for part in parts if part)


def article(following: str) -> str:
    """`an` before a vowel, otherwise `a`."""
    return "an" if following[0] in "aeiou" else "a"


def word(content: Content, phrasing: str, draw: random.Random) -> Wording:
    """Chooses words for a content in one phrasing."""
    subject = draw.choice(SUBJECT_WORDS[content.subject])
    colour = draw.choice(COLOUR_WORDS[content.colour])
    coloured_first = "{article} {colour}" in phrasing
    words = {
        "subject": subject,
        "colour": colour,
        "article": article(colour if coloured_first else subject),
        "place": draw.choice(PLACES[content.setting]),
        "moment": draw.choice(MOMENTS[content.time_of_day]),
        "place_noun": draw.choice(PLACE_NOUNS[content.setting]),
        "moment_noun": draw.choice(MOMENT_NOUNS[content.time_of_day]),
        "medium": draw.choice(MEDIA),
    }
    return Wording(phrasing, words)


def caption(content: Content, draw: random.Random, phrasings: tuple[str, ...] = PHRASINGS) -> str:
    """One caption for a content. Time may go unsaid by day only, so that night is always asked for."""
    usable = phrasings if content.time_of_day == "day" else tuple(p for p in phrasings if p not in UNSAID_TIME_PHRASINGS)
    return word(content, draw.choice(usable), draw).text()


def with_filler(text: str, draw: random.Random) -> str:
    """The caption with a word in it that means nothing to the model, so that such words do no harm later."""
    words = text.split(" ")
    words.insert(draw.randrange(len(words) + 1), draw.choice(FILLERS))
    return " ".join(words)


def caption_words() -> frozenset[str]:
    """Every word that a caption may hold."""
    groups = (SUBJECT_WORDS, COLOUR_WORDS, PLACES, PLACE_NOUNS, MOMENTS, MOMENT_NOUNS)
    phrases = [phrase for group in groups for choices in group.values() for phrase in choices]
    fixed = ["a", "an", "the", "of", "there", "is", "that", ","]
    return frozenset(part for phrase in (*phrases, *MEDIA, *fixed) for part in phrase.split())
