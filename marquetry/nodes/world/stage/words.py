"""The words for what a scene shows. Every word that a caption may hold is in these tables."""

from __future__ import annotations

Phrases = tuple[str, ...]

PLACES: dict[str, Phrases] = {
    "room": ("in a room", "in a cosy room", "in a living room", "at home"),
    "cafe": ("in a cafe", "in a cosy cafe", "at a cafe"),
    "street": ("on a street", "in the street", "in a town"),
    "field": ("in a field", "in a meadow", "on the grass"),
    "beach": ("on the beach", "at the beach", "by the sea"),
    "forest": ("in a forest", "in the forest", "in the woods"),
    "castle": ("in front of a castle", "at a castle", "by the castle"),
}
PLACE_TAGS: dict[str, Phrases] = {
    "room": ("room", "living room"),
    "cafe": ("cafe",),
    "street": ("street", "town"),
    "field": ("field", "meadow"),
    "beach": ("beach", "sea"),
    "forest": ("forest", "woods"),
    "castle": ("castle",),
}
TIMES: dict[str, Phrases] = {
    "day": ("", "", "", "by day", "during the day", "in daylight"),
    "sunset": ("at sunset", "at sunset", "at dusk", "in the evening"),
    "night": ("at night", "at night", "by night"),
}
TIME_TAGS: dict[str, Phrases] = {"day": ("", "day", "daylight"), "sunset": ("sunset", "dusk"), "night": ("night",)}
WEATHERS: dict[str, Phrases] = {
    "clear": ("", "", "", "under a clear sky"),
    "clouds": ("under a cloudy sky", "under clouds"),
    "rain": ("in the rain", "while it rains"),
    "snow": ("in the snow", "while it snows"),
    "fog": ("in the fog", "in thick fog"),
}
WEATHER_TAGS: dict[str, Phrases] = {
    "clear": ("", "", "clear sky"),
    "clouds": ("cloudy", "clouds"),
    "rain": ("rain", "rainy"),
    "snow": ("snow", "snowy"),
    "fog": ("fog", "foggy"),
}
STYLES: dict[str, Phrases] = {
    "flat": ("flat illustration", "flat drawing"),
    "outlined": ("cartoon", "storybook illustration", "cartoon"),
    "pastel": ("pastel drawing", "soft pastel drawing"),
    "pixel": ("pixel art",),
    "ink": ("ink drawing", "black and white ink drawing"),
    "watercolour": ("watercolour painting", "watercolor painting", "watercolour"),
}
SHOTS: dict[str, Phrases] = {"wide": ("wide shot", "full body"), "medium": ("medium shot",), "close-up": ("close-up", "portrait")}
THING_SHOTS: dict[str, Phrases] = {"wide": ("wide shot",), "medium": ("medium shot",), "close-up": ("close-up",)}
LIGHTS: dict[str, str] = {
    "left": "lit from the left",
    "right": "lit from the right",
    "front": "lit from the front",
    "back": "lit from behind",
}

KINDS: dict[str, Phrases] = {"girl": ("girl",), "boy": ("boy",), "woman": ("woman",), "man": ("man",)}
EXPRESSIONS: dict[str, Phrases] = {
    "neutral": ("calm",),
    "happy": ("happy", "smiling", "happy"),
    "sad": ("sad", "crying", "sad"),
    "angry": ("angry", "angry", "furious"),
    "surprised": ("surprised", "surprised", "astonished"),
}
VIEWS: dict[str, Phrases] = {
    "front": ("seen from the front", "facing us"),
    "three-quarter left": ("turned a little to the left", "three-quarter view to the left"),
    "three-quarter right": ("turned a little to the right", "three-quarter view to the right"),
    "side left": ("seen from the side, looking left", "facing left"),
    "side right": ("seen from the side, looking right", "facing right"),
    "back": ("seen from behind", "seen from the back"),
}
HAIR: dict[str, str] = {
    "short": "short {colour} hair",
    "spiky": "spiky {colour} hair",
    "curly": "curly {colour} hair",
    "bob": "a {colour} bob",
    "long": "long {colour} hair",
    "ponytail": "a {colour} ponytail",
    "bun": "{colour} hair in a bun",
    "pigtails": "{colour} pigtails",
    "braids": "{colour} braids",
}
SKINS: dict[str, str] = {"fair": "fair skin", "light": "light skin", "tan": "tan skin", "brown": "brown skin", "dark": "dark skin"}
PLURAL_GARMENTS: Phrases = ("trousers", "shorts", "shoes", "boots", "round glasses", "square glasses", "sunglasses")
GARMENTS: dict[str, str] = {"long dress": "long {colour} dress", "striped shirt": "{colour} striped shirt"}
PROPS: dict[str, Phrases] = {"balloon": ("hot air balloon",), "bus": ("bus",), "pine": ("pine tree",), "palm": ("palm tree",)}
GLUE: Phrases = (
    "a", "an", "the", "of", "and", "with", "in", "is", "there", "wearing", "on", "left", "right", "who", "next to", "beside", "eyes", "hair", "one", "picture",
)  # fmt: skip


def article(following: str) -> str:
    """`an` before a vowel, otherwise `a`."""
    return f"an {following}" if following[0] in "aeiou" else f"a {following}"
