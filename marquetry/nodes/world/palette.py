"""The colours of the built-in world, by day and by night."""

from typing import TypeAlias

Rgb: TypeAlias = tuple[int, int, int]

SUBJECT_COLOURS: dict[str, Rgb] = {
    "red": (218, 32, 38),
    "orange": (250, 134, 14),
    "yellow": (252, 220, 40),
    "green": (52, 172, 62),
    "blue": (36, 98, 226),
    "purple": (132, 52, 186),
    "pink": (255, 130, 190),
    "white": (246, 246, 244),
}

OUTLINE: Rgb = (38, 32, 48)
SKY: dict[str, dict[str, Rgb]] = {
    "field": {"day": (120, 200, 250), "night": (20, 26, 72)},
    "beach": {"day": (140, 216, 250), "night": (22, 30, 80)},
    "forest": {"day": (176, 222, 232), "night": (16, 26, 60)},
    "snow": {"day": (176, 206, 240), "night": (30, 40, 96)},
    "city": {"day": (164, 204, 236), "night": (26, 22, 66)},
    "desert": {"day": (252, 226, 170), "night": (44, 24, 80)},
}
GROUND: dict[str, dict[str, Rgb]] = {
    "field": {"day": (122, 200, 76), "night": (30, 78, 62)},
    "beach": {"day": (244, 220, 158), "night": (118, 108, 112)},
    "forest": {"day": (74, 118, 56), "night": (20, 48, 46)},
    "snow": {"day": (240, 246, 252), "night": (138, 154, 196)},
    "city": {"day": (122, 124, 132), "night": (54, 54, 76)},
    "desert": {"day": (232, 164, 84), "night": (106, 66, 84)},
}


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """`first` moved towards `second` by `share` in 0..1."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Rgb, share: float = 0.3) -> Rgb:
    """A darker tone of a colour."""
    return mix(colour, OUTLINE, share)


def by_time(colour: Rgb, time_of_day: str) -> Rgb:
    """A background colour as seen at that time of day."""
    return mix(colour, (14, 18, 60), 0.62) if time_of_day == "night" else colour


def subject_colour(name: str, time_of_day: str) -> Rgb:
    """A subject's colour: only slightly dimmed at night, so that it can still be named."""
    colour = SUBJECT_COLOURS[name]
    return mix(colour, (14, 18, 60), 0.07) if time_of_day == "night" else colour
