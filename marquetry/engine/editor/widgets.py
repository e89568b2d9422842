"""Which inputs have widgets, and which place of `widgets_values` holds whose value.

The list is positional and holds more than the inputs: what follows a seed, buttons, and in old files the values of inputs
that have no widget any more. Several readings are tried, and the one taken that fits the values best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from marquetry.engine.editor.document import EditorNode
from marquetry.engine.folders import Folders
from marquetry.engine.registry import choices_of
from marquetry.engine.schema import MISSING, Input, NodeType

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
CONTROLS = frozenset({"fixed", "increment", "increment-wrap", "decrement", "randomize"})
UPLOADS = ("image_upload", "video_upload", "animated_image_upload", "audio_upload")
AUDIO_PLAYERS = frozenset({"LoadAudio", "SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "PreviewAudio"})


class Place(NamedTuple):
    """One place of `widgets_values`: an input's value, or with `input` None something that never reaches the prompt."""

    input: Input | None
    kind: str  # "value", "control", "filter", "refresh", "legacy", "button"


def has_widget(declared: Input) -> bool:
    """Whether the editor gives the input a widget."""
    if declared.options.get("forceInput"):
        return False
    return _is_widget_type(declared)


def _is_widget_type(declared: Input) -> bool:
    if not isinstance(declared.type, str):
        return True
    return str(declared.type) in WIDGET_TYPES or declared.options.get("widgetType") in WIDGET_TYPES


def places_of(node_type: NodeType, *, legacy: bool = False, controls: bool = True, custom: frozenset[str] = frozenset()) -> list[Place]:
    """The places of `widgets_values` in their order. `legacy`: with inputs that are sockets only; `custom` have widgets of packs."""
    places: list[Place] = []
    for declared in node_type.inputs:
        if has_widget(declared) or declared.name in custom:
            places.append(Place(declared, "value"))
        elif legacy and declared.options.get("forceInput") and _is_widget_type(declared):
            places.append(Place(None, "legacy"))
        else:
            continue
        places += _after(declared, controls=controls)
    if node_type.id in AUDIO_PLAYERS:
        places.append(Place(None, "button"))
    if any(declared.required and _uploads(declared) for declared in node_type.inputs):
        places.append(Place(None, "button"))
    return places


def _uploads(declared: Input) -> bool:
    return has_widget(declared) and any(declared.options.get(option) for option in UPLOADS)


def _after(declared: Input, *, controls: bool) -> list[Place]:
    places: list[Place] = []
    control = declared.options.get("control_after_generate")
    if declared.type == "INT":
        if controls and (control or (control is None and declared.name in ("seed", "noise_seed"))):
            places.append(Place(None, "control"))
    elif control and controls:
        places += [Place(None, "control"), Place(None, "filter")]
    remote = declared.options.get("remote")
    if isinstance(remote, Mapping):
        places += [Place(None, "refresh")] * (bool(remote.get("control_after_refresh")) + bool(remote.get("refresh_button")))
    return places


def read_values(node: EditorNode, node_type: NodeType, folders: Folders) -> dict[str, Any]:
    """The widgets' values by name, defaults for those that the file does not hold, in the order of the inputs."""
    stored = node.named_values if node.named_values is not None else node.values
    if isinstance(stored, Mapping):
        found = {str(name): value for name, value in stored.items() if name != "videopreview"}
    else:
        found = _read_list(node, node_type, folders, stored if isinstance(stored, list) else [])
    values: dict[str, Any] = {}
    for declared in node_type.inputs:
        if declared.name in found:
            values[declared.name] = _corrected(declared.name, found.pop(declared.name))
        elif has_widget(declared):
            values[declared.name] = default_of(declared, folders)
    return values | (found if isinstance(stored, Mapping) else {})


def _read_list(node: EditorNode, node_type: NodeType, folders: Folders, stored: list[Any]) -> dict[str, Any]:
    if not stored:
        return {}
    readings = [places_of(node_type), places_of(node_type, legacy=True), places_of(node_type, controls=False)]
    custom = _custom_widgets(node, node_type)
    if custom:
        readings.append(places_of(node_type, custom=custom))
    best = min(readings, key=lambda places: _misfit(places, stored, folders))
    return {place.input.name: value for place, value in zip(best, stored, strict=False) if place.input is not None and value is not None}


def _custom_widgets(node: EditorNode, node_type: NodeType) -> frozenset[str]:
    """Inputs of a pack's own type that the file shows as widgets, or does not show as sockets."""
    slots = {slot.name: slot for slot in node.inputs}
    return frozenset(
        declared.name
        for declared in node_type.inputs
        if not has_widget(declared)
        and not declared.options.get("forceInput")
        and (declared.name not in slots or slots[declared.name].widget is not None)
    )


def _misfit(places: Sequence[Place], stored: Sequence[Any], folders: Folders) -> tuple[int, int]:
    wrong = sum(not _fits(place, value, folders) for place, value in zip(places, stored, strict=False))
    buttons = sum(place.kind == "button" for place in places)
    length = 0 if len(places) - buttons <= len(stored) <= len(places) else abs(len(places) - len(stored))
    return wrong, length


def _fits(place: Place, value: Any, folders: Folders) -> bool:
    if place.kind == "control":
        return isinstance(value, bool) or _is_control(value)
    if place.input is None or value is None:
        return True
    if not isinstance(place.input.type, str):
        choices = choices_of(place.input, folders) or []
        return not choices or value in choices or (type(value) in {type(choice) for choice in choices} and not _is_control(value))
    match str(place.input.type):
        case "INT":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "FLOAT":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "BOOLEAN":
            return isinstance(value, bool)
        case "STRING":
            return isinstance(value, str) and not _is_control(value)
        case _:
            return True


def _is_control(value: Any) -> bool:
    return isinstance(value, str) and value in CONTROLS


def default_of(declared: Input, folders: Folders) -> Any:
    """The value that a new widget shows."""
    if declared.default is not MISSING:
        return declared.default
    choices = choices_of(declared, folders)
    if choices is None:
        listed = declared.options.get("options")
        choices = listed if isinstance(listed, list) else None
    if choices is not None:
        return choices[0] if choices else None
    least = declared.options.get("min", 0)
    return {"INT": least, "FLOAT": least, "STRING": "", "BOOLEAN": False}.get(str(declared.type))


def _corrected(name: str, value: Any) -> Any:
    if name == "sampler_name" and isinstance(value, str):
        return value.removeprefix("sample_")
    return value
