"""All node types of an installation: the built-in ones, then those of its packs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marquetry.engine.folders import Folders
from marquetry.engine.registry import Registry
from marquetry.server.settings import Settings

if TYPE_CHECKING:
    from marquetry.custom_nodes.host import PackReport


def registry_of(settings: Settings, folders: Folders, **installation: Any) -> tuple[Registry, list[PackReport]]:
    """The registry, and what became of each pack. `installation` holds further fields of `custom_nodes.installation.Installation`."""
    import marquetry.nodes

    registry = Registry()
    registry.scan(marquetry.nodes)
    if not settings.custom_nodes:
        return registry, []
    from marquetry.custom_nodes.host import load_packs
    from marquetry.custom_nodes.installation import Installation

    place = Installation(folders, registry, device=settings.device, options=comfy_options(settings), **installation)
    return registry, load_packs(registry, folders, installation=place, allowed=settings.custom_nodes_allowed)


def comfy_options(settings: Settings) -> dict[str, Any]:
    """The settings as the values of ComfyUI's flags, for packs that read them."""
    return {
        "listen": settings.host,
        "port": settings.port,
        "cpu": settings.device == "cpu",
        "preview_method": settings.preview_method,
        "preview_size": settings.preview_size,
        "max_upload_size": settings.limits.upload_bytes / 2**20,
        "enable_cors_header": settings.cors_origin or None,
        "disable_metadata": settings.disable_metadata,
        "multi_user": settings.multi_user,
        "verbose": settings.log_level,
    }
