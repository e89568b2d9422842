"""What one input accepts: links by port type, constants by kind, limits and choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from marquetry.engine.errors import UnsafePath
from marquetry.engine.folders import DATA_FOLDERS, Folders
from marquetry.engine.graph import Link
from marquetry.engine.registry import choices_of
from marquetry.engine.schema import Input, NodeType

MAX_CHOICES_SHOWN = 20
SOCKETS_ONLY = frozenset({
    "IMAGE", "MASK", "LATENT", "CONDITIONING", "MODEL", "CLIP", "VAE", "CONTROL_NET", "CLIP_VISION", "CLIP_VISION_OUTPUT", "UPSCALE_MODEL",
    "SAMPLER", "SIGMAS", "GUIDER", "NOISE", "AUDIO", "VIDEO",
})  # fmt: skip
CASTS: Mapping[str, type] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


class Finding(NamedTuple):
    """A problem of one node, before it is known whose."""

    type: str
    message: str
    details: str
    input_name: str | None
    extra: Mapping[str, Any]


def types_match(received: Any, wanted: Any) -> bool:
    """Whether an output of one type may feed an input of another: equal by `!=`, which packs override, or a common part of comma lists."""
    if not (received != wanted):  # noqa: SIM202 - packs override `!=` alone
        return True
    if received == "COMBO" and isinstance(wanted, (list, tuple)):
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    if "," not in received and "," not in wanted:
        return False
    return bool({part.strip() for part in received.split(",")} & {part.strip() for part in wanted.split(",")})


def check_link(declared: Input, link: Link, parent_type: NodeType, *, skip_types: bool) -> Finding | None:
    """A finding when the linked output does not exist or is of another type."""
    name = declared.name
    try:
        received = parent_type.outputs[link.slot].type
    except IndexError:
        details = (
            f"{name}: node '{link.node_id}' ({parent_type.id}) has {len(parent_type.outputs)} outputs, and none with the number {link.slot}"
        )
        return Finding("bad_linked_input", "Input is linked from an output that is not there", details, name,
                       {"input_name": name, "received_value": [link.node_id, link.slot]})  # fmt: skip
    if skip_types or types_match(received, declared.type):
        return None
    details = f"{name}, received_type({received}) mismatch input_type({_shown(declared.type)})"
    extra = {"input_name": name, "input_config": _config(declared), "received_type": received, "linked_node": [link.node_id, link.slot]}
    return Finding("return_type_mismatch", "Return type mismatch between linked nodes", details, name, extra)


def check_constant(declared: Input, value: Any, folders: Folders, *, custom: bool) -> tuple[Any, Finding | None]:
    """The constant in the input's type, and a finding if it can't be used. `custom`: the node checks limits and choices itself."""
    kind = declared.type
    if isinstance(kind, str):
        cast = CASTS.get(kind)
        if cast is not None:
            if type(value) is not cast:
                try:
                    value = cast(value)
                except (ValueError, TypeError, OverflowError) as error:
                    return value, _wrong_type(declared, value, str(error))
            if cast is bool or cast is str:
                return value, None
            if not math.isfinite(value):
                return value, _wrong_type(declared, value, "it is not a finite number")
            low, high = declared.options.get("min"), declared.options.get("max")
            if custom or ((low is None or value >= low) and (high is None or value <= high)):
                return value, None
            return value, _limits(declared, value)
        if kind in SOCKETS_ONLY and not custom:
            return value, _wrong_type(declared, value, f"{kind} comes from another node and can't be written as a value")
        return value, None
    if custom:
        return value, None
    return value, _choice(declared, value, folders)


def _limits(declared: Input, value: float) -> Finding | None:
    low, high = declared.options.get("min"), declared.options.get("max")
    if low is not None and value < low:
        kind, message = "value_smaller_than_min", f"Value {value} smaller than min of {low}"
    elif high is not None and value > high:
        kind, message = "value_bigger_than_max", f"Value {value} bigger than max of {high}"
    else:
        return None
    return Finding(kind, message, declared.name, declared.name, _extra(declared, value))


def _choice(declared: Input, value: Any, folders: Folders) -> Finding | None:
    if declared.file_kind in DATA_FOLDERS and isinstance(value, str) and value not in declared.also:
        try:
            missing = not folders.annotated(value, declared.file_kind).is_file()
        except UnsafePath as error:
            return Finding("custom_validation_failed", "Custom validation failed for node", f"{declared.name} - {error.message}", declared.name,
                           {"input_name": declared.name, "received_value": value})  # fmt: skip
        if not missing:
            return None
        details = f"{declared.name} - Invalid file: '{value}' is not in the {declared.file_kind} folder; upload it first"
        return Finding("custom_validation_failed", "Custom validation failed for node", details, declared.name,
                       {"input_name": declared.name, "received_value": value})  # fmt: skip
    choices = choices_of(declared, folders)
    if choices is None:
        return None
    if (
        isinstance(value, str)
        and (declared.file_kind, value) in folders.permitted
        and folders.find(str(declared.file_kind), value) is not None
    ):
        return None
    try:
        if value in choices or (
            declared.options.get("multi_select") and isinstance(value, list) and all(part in choices for part in value)
        ):
            return None
    except TypeError:
        pass
    shown = f"{choices}" if len(choices) <= MAX_CHOICES_SHOWN else f"(list of length {len(choices)})"
    details = f"{declared.name}: '{value}' not in {shown}"
    config = [choices, dict(declared.options)] if len(choices) <= MAX_CHOICES_SHOWN else None
    return Finding("value_not_in_list", "Value not in list", details, declared.name,
                   {"input_name": declared.name, "input_config": config, "received_value": value})  # fmt: skip


def _wrong_type(declared: Input, value: Any, reason: str) -> Finding:
    details = f"{declared.name}, {_shown(value)}, {reason}"
    message = f"Failed to convert an input value to a {declared.type} value"
    return Finding("invalid_input_type", message, details, declared.name, _extra(declared, value) | {"exception_message": reason})


def _extra(declared: Input, value: Any) -> dict[str, Any]:
    return {"input_name": declared.name, "input_config": _config(declared), "received_value": value}


def _config(declared: Input) -> list[Any]:
    return [declared.type, dict(declared.options)]


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:200] + "…"
