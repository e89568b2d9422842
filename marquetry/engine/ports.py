"""Port types: what travels on wires, and the marks that turn a Python signature into sockets and widgets.

Names and tensor layouts follow ComfyUI where it has one, so that graphs and packs interoperate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = object


class WildcardType(str):
    """A type name that equals every other: the way ComfyUI packs spell "anything"."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str)

    def __hash__(self) -> int:
        return str.__hash__(self)


ANY = WildcardType("*")


@dataclass(frozen=True)
class Port:
    """The wire name of a value."""

    name: str


Image = Annotated[Tensor, Port("IMAGE")]  # float32 [B, H, W, C] in 0..1
Mask = Annotated[Tensor, Port("MASK")]  # float32 [B, H, W] in 0..1
Latent = Annotated[dict[str, Any], Port("LATENT")]  # {"samples": [B, C, h, w], "noise_mask"?: [B, 1, H, W], "batch_index"?: list[int]}
Conditioning = Annotated[list[Any], Port("CONDITIONING")]  # [[embedding [B, T, D], {"pooled_output": [B, D], ...}], ...]
Model = Annotated[Any, Port("MODEL")]  # engine.sampling.model.DiffusionModel
Clip = Annotated[Any, Port("CLIP")]  # text encoder with its tokenizer
Vae = Annotated[Any, Port("VAE")]  # encode(IMAGE) -> latent, decode(latent) -> IMAGE
ControlNet = Annotated[Any, Port("CONTROL_NET")]
ControlStack = Annotated[
    Any, Port("CONTROL_STACK")
]  # tuple of engine.models.control.control_net.AppliedControl, each without a previous one
ClipVision = Annotated[Any, Port("CLIP_VISION")]
ClipVisionOutput = Annotated[Any, Port("CLIP_VISION_OUTPUT")]
UpscaleModel = Annotated[Any, Port("UPSCALE_MODEL")]
Sampler = Annotated[Any, Port("SAMPLER")]
Sigmas = Annotated[Tensor, Port("SIGMAS")]  # float32 [steps + 1], falling, usually ending in 0
Guider = Annotated[Any, Port("GUIDER")]
Noise = Annotated[Any, Port("NOISE")]
Audio = Annotated[dict[str, Any], Port("AUDIO")]  # {"waveform": [B, C, T], "sample_rate": int}
Video = Annotated[Any, Port("VIDEO")]
Dataset = Annotated[Any, Port("DATASET")]  # engine.training.dataset.Dataset
TrainingOptions = Annotated[Any, Port("TRAINING_OPTIONS")]  # engine.training.options.TrainingOptions
Anything = Annotated[Any, Port(ANY)]

PORT_MEANINGS: Mapping[str, str] = {
    "IMAGE": "pictures, float32 [B, H, W, C] in 0..1",
    "MASK": "masks, float32 [B, H, W] in 0..1",
    "LATENT": "latents, {'samples': [B, C, h, w], ...}",
    "CONDITIONING": "encoded prompts, list of [embedding, options]",
    "MODEL": "a denoising network with its schedule of noise",
    "CLIP": "a text encoder with its tokenizer",
    "VAE": "an autoencoder between pictures and latents",
    "CONTROL_NET": "a network that steers a denoiser by a picture",
    "CONTROL_STACK": "pictures that steer together, each with its network, strength, time and place",
    "CLIP_VISION": "an image encoder",
    "CLIP_VISION_OUTPUT": "an encoded image",
    "UPSCALE_MODEL": "a network that enlarges pictures",
    "SAMPLER": "a sampling method with its options",
    "SIGMAS": "noise levels, float32 [steps + 1]",
    "GUIDER": "a model with its conditionings and the way they are mixed",
    "NOISE": "a source of starting noise",
    "AUDIO": "sound, {'waveform': [B, C, T], 'sample_rate': int}",
    "VIDEO": "a clip with its sound",
    "DATASET": "captioned pictures to learn from, and those that are held out to measure on",
    "TRAINING_OPTIONS": "how a training goes about it: rates, schedules, precision",
    "STRING": "text",
    "INT": "a whole number",
    "FLOAT": "a number",
    "BOOLEAN": "true or false",
    "COMBO": "one of a list of choices",
    "*": "anything",
}


@dataclass(frozen=True)
class Range:
    """Limits of a number. `step`, `round` and `display` ("slider", "number") are for widgets."""

    minimum: float
    maximum: float
    step: float | None = None
    round: float | bool | None = None
    display: str | None = None


@dataclass(frozen=True)
class Choice:
    """One of a fixed list."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class ChoiceOf:
    """One of a list that is made anew whenever the node is described."""

    make: Callable[[], Sequence[Any]]


@dataclass(frozen=True)
class File:
    """A file of a model folder kind (`checkpoints`, `loras`, ...), or of the folder `input`, `output` or `temp`.

    The file's content is part of the node's identity. `also` are choices beside the files, such as "none".
    """

    kind: str
    also: tuple[str, ...] = ()
    upload: str | None = None  # "image", "audio", "video": the widget offers to upload


@dataclass(frozen=True)
class Text:
    """How a STRING is edited."""

    multiline: bool = False
    dynamic_prompts: bool = False
    placeholder: str | None = None


@dataclass(frozen=True)
class Seed:
    """A 64-bit seed, with the control that changes it after each run."""

    control: bool = True


@dataclass(frozen=True)
class Toggle:
    """Words for the two states of a BOOLEAN."""

    on: str
    off: str


@dataclass(frozen=True)
class Tip:
    """Help text of an input or output."""

    text: str


@dataclass(frozen=True)
class Named:
    """The name of a single output, where it is not its type's."""

    name: str


@dataclass(frozen=True)
class Raw:
    """Further options of an input, passed to the editor as they are."""

    options: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, **options: Any) -> None:
        object.__setattr__(self, "options", options)


@dataclass(frozen=True)
class Flag:
    """A property of an input without a value; see the constants below."""

    name: str


Lazy = Flag("lazy")  # made only when the node's lazy status asks for it
RawLink = Flag("raw_link")  # the node receives the [id, slot] pair itself
SocketOnly = Flag("socket_only")  # no widget
Optional = Flag("optional")  # may be left out although it has a default
Advanced = Flag("advanced")  # shown on demand
