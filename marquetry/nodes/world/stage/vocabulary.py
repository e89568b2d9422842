"""Every name that a scene of the drawn world may use. Importing this costs nothing: nodes offer these names as choices."""

from __future__ import annotations

SETTINGS: tuple[str, ...] = ("room", "cafe", "street", "field", "beach", "forest", "castle")
INDOORS: tuple[str, ...] = ("room", "cafe")
TIMES: tuple[str, ...] = ("day", "sunset", "night")
WEATHERS: tuple[str, ...] = ("clear", "clouds", "rain", "snow", "fog")
SHOTS: tuple[str, ...] = ("wide", "medium", "close-up")
STYLES: tuple[str, ...] = ("flat", "outlined", "pastel", "pixel", "ink", "watercolour")
LIGHTS: tuple[str, ...] = ("left", "right", "front", "back")

KINDS: tuple[str, ...] = ("girl", "boy", "woman", "man")
SKINS: tuple[str, ...] = ("fair", "light", "tan", "brown", "dark")
HAIR_STYLES: tuple[str, ...] = ("short", "spiky", "curly", "bob", "long", "ponytail", "bun", "pigtails", "braids")
HAIR_COLOURS: tuple[str, ...] = ("black", "brown", "blonde", "red", "white", "pink", "blue", "purple")
EYE_COLOURS: tuple[str, ...] = ("brown", "blue", "green", "grey", "purple")
COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown", "grey")

TOPS: tuple[str, ...] = ("t-shirt", "striped shirt", "sweater", "hoodie", "shirt")
BOTTOMS: tuple[str, ...] = ("trousers", "shorts", "skirt")
DRESSES: tuple[str, ...] = ("dress", "long dress")
COATS: tuple[str, ...] = ("coat", "jacket", "cape")
SHOES: tuple[str, ...] = ("shoes", "boots")
HATS: tuple[str, ...] = ("cap", "beanie", "sun hat", "witch hat", "crown", "bow")
GLASSES: tuple[str, ...] = ("round glasses", "square glasses", "sunglasses")
BAGS: tuple[str, ...] = ("backpack", "handbag")
SCARVES: tuple[str, ...] = ("scarf",)

EXPRESSIONS: tuple[str, ...] = ("neutral", "happy", "sad", "angry", "surprised")
VIEWS: tuple[str, ...] = ("front", "three-quarter left", "three-quarter right", "side left", "side right", "back")
POSES: tuple[str, ...] = ("standing", "sitting", "walking", "running", "waving", "jumping", "pointing", "cheering")
ACTION_POSES: tuple[str, ...] = POSES[2:]

ANIMALS: tuple[str, ...] = ("cat", "dog", "rabbit", "fox", "bear", "bird", "duck", "sheep", "horse", "frog")
VEHICLES: tuple[str, ...] = ("car", "bus", "bicycle", "boat", "balloon")
FURNITURE: tuple[str, ...] = ("chair", "table", "sofa", "lamp", "bookshelf")
BUILDINGS: tuple[str, ...] = ("house",)
TREES: tuple[str, ...] = ("tree", "pine", "palm")
FLOWERS: tuple[str, ...] = ("tulip", "daisy", "sunflower", "rose")
PROPS: tuple[str, ...] = (*ANIMALS, *VEHICLES, *FURNITURE, *BUILDINGS, *TREES, *FLOWERS)

MOTIONS: tuple[str, ...] = ("walk", "wave", "talk", "clouds", "turn")
