"""The colours of the drawn world: one palette for everything, so that any two things look well beside each other."""

from __future__ import annotations

from functools import lru_cache

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (214, 66, 60),
    "orange": (240, 140, 56),
    "yellow": (249, 206, 78),
    "green": (94, 168, 88),
    "blue": (70, 128, 206),
    "purple": (142, 98, 186),
    "pink": (244, 156, 186),
    "white": (250, 246, 238),
    "black": (58, 55, 68),
    "brown": (142, 94, 62),
    "grey": (156, 158, 168),
}
SKINS: dict[str, Rgb] = {
    "fair": (255, 228, 208),
    "light": (248, 208, 176),
    "tan": (226, 172, 128),
    "brown": (172, 116, 80),
    "dark": (118, 76, 56),
}
HAIR: dict[str, Rgb] = {
    "black": (54, 48, 60),
    "brown": (120, 76, 50),
    "blonde": (246, 206, 118),
    "red": (206, 92, 46),
    "white": (236, 234, 240),
    "pink": (245, 150, 184),
    "blue": (88, 136, 208),
    "purple": (146, 106, 190),
}
EYES: dict[str, Rgb] = {
    "brown": (116, 70, 42),
    "blue": (64, 132, 206),
    "green": (76, 152, 92),
    "grey": (120, 130, 146),
    "purple": (132, 92, 184),
}
INK: Rgb = (58, 42, 52)
PAPER: Rgb = (252, 246, 234)
WHITE: Rgb = (255, 255, 255)
WOOD: Rgb = (164, 112, 72)
DARK_WOOD: Rgb = (116, 76, 52)
LAMPLIGHT: Rgb = (255, 224, 138)
LEAF: Rgb = (104, 168, 84)


@lru_cache(maxsize=4096)
def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """`first` with `share` of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Rgb, share: float = 0.22) -> Rgb:
    """Towards a warm, bluish dark, as shade is in painting, not towards black."""
    return mix(colour, (62, 40, 82), share)


def lighter(colour: Rgb, share: float = 0.3) -> Rgb:
    """Towards a warm white."""
    return mix(colour, (255, 250, 236), share)


def luminance(colour: Rgb) -> float:
    """How bright a colour is, 0..1."""
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255.0
