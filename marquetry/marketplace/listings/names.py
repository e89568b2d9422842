"""Names: handles of creators, slugs of listings, semantic versions, and the node type that a published graph becomes."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from marquetry.marketplace.listings.errors import InvalidListing

PREFIX = "listing:"
HANDLE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?")
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,77}[a-z0-9])?")
VERSION = re.compile(
    r"(?P<major>0|[1-9]\d{0,8})\.(?P<minor>0|[1-9]\d{0,8})\.(?P<patch>0|[1-9]\d{0,8})(?:-(?P<pre>[0-9a-z]{1,16}(?:\.[0-9a-z]{1,16}){0,2}))?"
)
TYPE_ID = re.compile(rf"{PREFIX}(?P<handle>{HANDLE.pattern})/(?P<slug>{SLUG.pattern})(?:@(?P<version>[0-9a-z.-]{{1,64}}))?")
RESERVED_HANDLES = frozenset({"admin", "api", "marquetry", "me", "system", "support", "official", "market", "staff"})


@dataclass(frozen=True, slots=True)
class Name:
    """`listing:handle/slug`, with `@version` unless it follows the newest."""

    handle: str
    slug: str
    version: str = ""

    @property
    def type_id(self) -> str:
        return f"{PREFIX}{self.handle}/{self.slug}{'@' + self.version if self.version else ''}"

    def at(self, version: str) -> Name:
        """The same at a version."""
        return Name(self.handle, self.slug, version)


def parse(type_id: str) -> Name | None:
    """The name that a node type stands for; None: it is none."""
    match = TYPE_ID.fullmatch(type_id)
    return None if match is None else Name(match["handle"], match["slug"], match["version"] or "")


def checked_handle(handle: str) -> str:
    """Raises InvalidListing."""
    if HANDLE.fullmatch(handle) is None or handle in RESERVED_HANDLES:
        raise InvalidListing("a handle has 1 to 39 small letters, digits and - inside, and is no reserved word", field="handle")
    return handle


def checked_slug(slug: str) -> str:
    """Raises InvalidListing."""
    if SLUG.fullmatch(slug) is None:
        raise InvalidListing("a slug has 1 to 79 small letters, digits and - inside", field="slug")
    return slug


def checked_version(version: str) -> str:
    """Raises InvalidListing."""
    if VERSION.fullmatch(version) is None:
        raise InvalidListing("a version is MAJOR.MINOR.PATCH, as 1.0.0, or 1.0.0-beta.1 before it", field="version")
    return version


def rank(version: str) -> str:
    """A text that sorts as versions do: `1.0.0-beta` before `1.0.0` before `1.0.1` before `1.10.0`."""
    match = VERSION.fullmatch(version)
    assert match is not None, "the version was checked"
    numbers = ".".join(f"{int(match[part]):09}" for part in ("major", "minor", "patch"))
    if match["pre"] is None:
        return f"{numbers}~"
    parts = (f"0{int(part):016}" if part.isdigit() else f"1{part}" for part in match["pre"].split("."))
    return f"{numbers}-{'.'.join(parts)}"


def new_id(kind: str) -> str:
    """A name that nobody guesses."""
    return f"{kind}_{secrets.token_hex(12)}"
