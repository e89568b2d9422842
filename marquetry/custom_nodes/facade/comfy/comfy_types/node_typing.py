"""`comfy.comfy_types.node_typing` for packs: names of types, and the shapes of V1 declarations."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Protocol, TypedDict


class IO(StrEnum):
    """A type name; it equals another when they share a part of a comma-separated list, and ANY equals every type."""

    STRING = "STRING"
    IMAGE = "IMAGE"
    MASK = "MASK"
    LATENT = "LATENT"
    BOOLEAN = "BOOLEAN"
    INT = "INT"
    FLOAT = "FLOAT"
    COMBO = "COMBO"
    CONDITIONING = "CONDITIONING"
    SAMPLER = "SAMPLER"
    SIGMAS = "SIGMAS"
    GUIDER = "GUIDER"
    NOISE = "NOISE"
    CLIP = "CLIP"
    CONTROL_NET = "CONTROL_NET"
    VAE = "VAE"
    MODEL = "MODEL"
    LORA_MODEL = "LORA_MODEL"
    LOSS_MAP = "LOSS_MAP"
    CLIP_VISION = "CLIP_VISION"
    CLIP_VISION_OUTPUT = "CLIP_VISION_OUTPUT"
    STYLE_MODEL = "STYLE_MODEL"
    GLIGEN = "GLIGEN"
    UPSCALE_MODEL = "UPSCALE_MODEL"
    AUDIO = "AUDIO"
    WEBCAM = "WEBCAM"
    POINT = "POINT"
    FACE_ANALYSIS = "FACE_ANALYSIS"
    BBOX = "BBOX"
    SEGS = "SEGS"
    VIDEO = "VIDEO"
    ANY = "*"
    NUMBER = "FLOAT,INT"
    PRIMITIVE = "STRING,FLOAT,INT,BOOLEAN"

    def __ne__(self, other: object) -> bool:
        if self.value == "*" or other == "*":
            return False
        if not isinstance(other, str):
            return True
        return not {part.strip() for part in self.value.split(",")} & {part.strip() for part in str(other).split(",")}

    __hash__ = str.__hash__


class RemoteInputOptions(TypedDict, total=False):
    """Where a choice's values come from."""

    route: str
    refresh_button: bool
    control_after_refresh: Literal["first", "last"]
    timeout: int
    max_retries: int
    refresh: int


class MultiSelectOptions(TypedDict, total=False):
    """A choice of several."""

    placeholder: str
    chip: bool


class InputTypeOptions(TypedDict, total=False):
    """Options of one input."""

    default: Any
    defaultInput: bool
    forceInput: bool
    tooltip: str
    socketless: bool
    widgetType: str
    lazy: bool
    rawLink: bool
    min: float
    max: float
    step: float
    round: float
    label_on: str
    label_off: str
    multiline: bool
    placeholder: str
    dynamicPrompts: bool
    image_upload: bool
    image_folder: Literal["input", "output", "temp"]
    remote: RemoteInputOptions
    control_after_generate: bool
    options: list[Any]
    multi_select: MultiSelectOptions


class HiddenInputTypeDict(TypedDict, total=False):
    """Values that the engine gives by itself."""

    node_id: Literal["UNIQUE_ID"]
    unique_id: Literal["UNIQUE_ID"]
    prompt: Literal["PROMPT"]
    extra_pnginfo: Literal["EXTRA_PNGINFO"]
    dynprompt: Literal["DYNPROMPT"]


class InputTypeDict(TypedDict, total=False):
    """What INPUT_TYPES gives."""

    required: dict[str, tuple[Any, InputTypeOptions]]
    optional: dict[str, tuple[Any, InputTypeOptions]]
    hidden: HiddenInputTypeDict


class ComfyNodeABC:
    """Base of V1 classes that want to be checked by their editor; it has no behaviour."""

    DESCRIPTION: str
    CATEGORY: str
    EXPERIMENTAL: bool
    DEPRECATED: bool
    API_NODE: bool | None
    INPUT_IS_LIST: bool
    OUTPUT_NODE: bool
    OUTPUT_IS_LIST: tuple[bool, ...]
    RETURN_TYPES: tuple[Any, ...]
    RETURN_NAMES: tuple[str, ...]
    OUTPUT_TOOLTIPS: tuple[str, ...]
    FUNCTION: str

    @classmethod
    def INPUT_TYPES(cls) -> InputTypeDict:
        return {"required": {}}


class CheckLazyMixin:
    """Asks for every lazy input that is not there yet."""

    def check_lazy_status(self, **kwargs: Any) -> list[str]:
        return [name for name, value in kwargs.items() if value is None]


class FileLocator(TypedDict):
    """A saved file, as clients find it."""

    filename: str
    subfolder: str
    type: Literal["input", "output", "temp"]


class UnetApplyFunction(Protocol):
    """A network of a diffusion model."""

    def __call__(self, x: Any, t: Any, **kwargs: Any) -> Any: ...


class UnetApplyConds(TypedDict, total=False):
    """Conditionings of one call of the network."""

    c_concat: Any
    c_crossattn: Any
    control: Any
    transformer_options: dict[str, Any] | None


class UnetParams(TypedDict):
    """What a wrapper of the network is given."""

    input: Any
    timestep: Any
    c: UnetApplyConds
    cond_or_uncond: list[int]


class UnetWrapperFunction(Protocol):
    """Wraps calls of the network."""

    def __call__(self, model: UnetApplyFunction, params: UnetParams) -> Any: ...
