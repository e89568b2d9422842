"""`ui` of `comfy_api.latest`: what clients show of a node."""

from __future__ import annotations

from typing import Any


class PreviewText:
    """A text."""

    def __init__(self, value: str, **more: Any) -> None:
        self.value = value

    def as_dict(self) -> dict[str, Any]:
        return {"text": (self.value,)}


class SavedResult(dict[str, Any]):
    """A saved file, as clients find it."""

    def __init__(self, filename: str, subfolder: str, type: Any) -> None:
        super().__init__(filename=filename, subfolder=subfolder, type=str(getattr(type, "value", type)))


class SavedImages:
    """Saved pictures."""

    def __init__(self, results: list[SavedResult], is_animated: bool = False) -> None:
        self.results = results
        self.is_animated = is_animated

    def as_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"images": self.results}
        return shown | {"animated": (True,)} if self.is_animated else shown
