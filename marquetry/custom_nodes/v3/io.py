"""`io` of `comfy_api.latest`: every type by its V3 name."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from marquetry.custom_nodes.v3.node import ComfyNode, Hidden, NodeOutput, Schema
from marquetry.custom_nodes.v3.sockets import ComboInput, Input, MultiTypeInput, Output, PortType, port_type
from marquetry.engine.ports import ANY

NAMES = {
    "Image": "IMAGE", "Mask": "MASK", "Latent": "LATENT", "Conditioning": "CONDITIONING", "Sampler": "SAMPLER", "Sigmas": "SIGMAS",
    "Noise": "NOISE", "Guider": "GUIDER", "Clip": "CLIP", "ControlNet": "CONTROL_NET", "Vae": "VAE", "Model": "MODEL",
    "ClipVision": "CLIP_VISION", "ClipVisionOutput": "CLIP_VISION_OUTPUT", "StyleModel": "STYLE_MODEL", "Gligen": "GLIGEN",
    "UpscaleModel": "UPSCALE_MODEL", "LatentUpscaleModel": "LATENT_UPSCALE_MODEL", "Audio": "AUDIO", "Video": "VIDEO", "SVG": "SVG",
    "LoraModel": "LORA_MODEL", "LossMap": "LOSS_MAP", "Voxel": "VOXEL", "Mesh": "MESH", "Hooks": "HOOKS", "HookKeyframes": "HOOK_KEYFRAMES",
    "TimestepsRange": "TIMESTEPS_RANGE", "LatentOperation": "LATENT_OPERATION", "FlowControl": "FLOW_CONTROL", "Accumulation": "ACCUMULATION",
    "Load3DCamera": "LOAD3D_CAMERA", "Load3D": "LOAD_3D", "Load3DAnimation": "LOAD_3D_ANIMATION", "Photomaker": "PHOTOMAKER",
    "Point": "POINT", "FaceAnalysis": "FACE_ANALYSIS", "BBOX": "BBOX", "SEGS": "SEGS", "Tracks": "TRACKS", "BoundingBox": "BOUNDING_BOX",
    "Webcam": "WEBCAM", "WanCameraEmbedding": "WAN_CAMERA_EMBEDDING", "AudioEncoder": "AUDIO_ENCODER",
    "AudioEncoderOutput": "AUDIO_ENCODER_OUTPUT", "AudioRecord": "AUDIO_RECORD", "ModelPatch": "MODEL_PATCH",
    "Int": "INT", "Float": "FLOAT", "String": "STRING", "Boolean": "BOOLEAN",
}  # fmt: skip
globals().update({name: port_type(kind) for name, kind in NAMES.items()})
AnyType = port_type(ANY)
Combo = port_type("COMBO", ComboInput)


class MultiCombo(Combo):  # type: ignore[misc, valid-type]
    """A choice of several."""

    class Input(ComboInput):
        """A choice of several."""

        def __init__(self, id: str, options: Any = None, placeholder: str | None = None, chip: bool | None = None, **more: Any) -> None:
            shown = {"placeholder": placeholder, "chip": chip}
            super().__init__(id, options, multi_select={key: value for key, value in shown.items() if value is not None}, **more)


class MultiType:
    """Several types in one input."""

    Input = MultiTypeInput


class NumberDisplay(StrEnum):
    """How a number is shown."""

    number = "number"
    slider = "slider"
    color = "color"


class UploadType(StrEnum):
    """What may be uploaded into a choice."""

    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"
    model = "file_upload"


class FolderType(StrEnum):
    """Where an uploaded file stands."""

    input = "input"
    output = "output"
    temp = "temp"


class RemoteOptions:
    """Where a choice's values come from."""

    def __init__(self, route: str, refresh_button: bool = False, **more: Any) -> None:
        self.route = route
        self.refresh_button = refresh_button
        self.more = more

    def as_dict(self) -> dict[str, Any]:
        return {"route": self.route, "refresh_button": self.refresh_button, **self.more}


def Custom(io_type: str) -> type[PortType]:
    """A type of a pack's own."""
    return port_type(io_type)


def comfytype(io_type: str, **more: Any) -> Any:
    """Make a V3 type of a class, which may bring its own Input and Output."""

    def decorate(cls: Any) -> Any:
        made = port_type(io_type)
        for name in ("Input", "Output"):
            own = getattr(cls, name, None)
            setattr(cls, name, getattr(made, name) if own is None else own)
            getattr(cls, name).io_type = io_type
        cls.io_type = io_type
        return cls

    return decorate


__all__ = [
    "AnyType", "Combo", "ComfyNode", "Custom", "FolderType", "Hidden", "Input", "MultiCombo", "MultiType", "NodeOutput", "NumberDisplay", "Output",
    "RemoteOptions", "Schema", "UploadType", "comfytype", *NAMES,
]  # fmt: skip
