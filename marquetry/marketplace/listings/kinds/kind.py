"""Kind: what listings of one sort hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from marquetry.marketplace.listings.errors import InvalidListing

Content: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[Mapping[str, Any]], Content]
PRICINGS = ("free", "one_time", "per_use", "subscription")
MAX_TEXT = 20_000
FILES = "files"
"""The folder of files that no job loads as weights."""


def no_content(given: Mapping[str, Any]) -> Content:
    """Nothing beside graph and files."""
    return only(given, ())


@dataclass(frozen=True, slots=True)
class Kind:
    """`graph` and `files` say whether a version needs them, may have them, or can't. `folders` are the kinds of files that it may hold.

    `content` checks what else it holds. `split_type` decides how earnings are divided, unless the content says otherwise by `split_of`.
    `split` names the rule, see `pricing.splits`.
    """

    id: str
    title: str
    graph: str = "none"  # needed, optional, none
    files: str = "none"
    folders: tuple[str, ...] = ()
    pricings: tuple[str, ...] = PRICINGS
    content: Check = no_content
    split_of: Callable[[Mapping[str, Any]], str] | None = None
    used_by_jobs: bool = True
    fields: Mapping[str, str] = field(default_factory=dict)  # what the content may hold, for people

    def split(self, content: Mapping[str, Any]) -> str:
        """The type by which earnings are divided."""
        return self.id if self.split_of is None else self.split_of(content)

    def check(self, content: Mapping[str, Any], *, has_graph: bool, folders: Sequence[str]) -> Content:
        """What a version holds. Raises InvalidListing."""
        for name, rule, there in (("graph", self.graph, has_graph), ("files", self.files, bool(folders))):
            if rule == "needed" and not there:
                raise InvalidListing(f"a {self.title} needs {'a graph' if name == 'graph' else 'at least one file'}", field=name)
            if rule == "none" and there:
                raise InvalidListing(f"a {self.title} has no {name}", field=name)
        wrong = [folder for folder in folders if folder not in self.folders]
        if wrong:
            raise InvalidListing(f"a {self.title} holds files of {', '.join(self.folders)}, not of '{wrong[0][:40]}'", field="files")
        return self.content(content)


def only(given: Mapping[str, Any], names: Sequence[str]) -> Content:
    """The content, if it holds nothing else than `names`, each a text. Raises InvalidListing."""
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidListing(
            f"'{unknown[0][:40]}' is nothing that this kind holds; it knows {', '.join(names) or 'nothing'}", field="content"
        )
    for name in given:
        text(given, name)
    return dict(given)


def text(given: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    """A text of the content. Raises InvalidListing."""
    value = given.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_TEXT or (needed and not value.strip()):
        raise InvalidListing(f"content.{name} is a text of {1 if needed else 0} to {MAX_TEXT:,} characters", field=f"content.{name}")
    return value


def whole(given: Mapping[str, Any], name: str, low: int, high: int, default: int) -> int:
    """A whole number of the content. Raises InvalidListing."""
    value = given.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidListing(f"content.{name} is a whole number from {low} to {high}", field=f"content.{name}")
    return value
