"""Identity: the content key of a node execution. Same key, same result: across graphs, jobs, users and machines.

A key is the SHA-256 of the node's type and version, its literals, the content of its files, its own fingerprint, the keys of what
it is linked from, and of the owner's name where results come from one person's files. Node ids are no part of it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from marquetry.engine.awaiting import settled
from marquetry.engine.execution.plan import PlannedNode
from marquetry.engine.validation import parameters_of

Key = bytes
FileToken = Callable[[str, str], bytes]  # (kind, name) -> what identifies the content of that file

UNWRITABLE = (TypeError, OverflowError, msgspec.MsgspecError, ValueError, RecursionError)
_encode = msgspec.msgpack.Encoder(order="deterministic").encode


class Identifier:
    """Makes the keys of one run. `owner` is the sharing domain of private results; `numerics` says how devices compute.

    `prompt` gives the submitted graph as API JSON, for fingerprints that ask to see it.
    """

    def __init__(self, owner: str, file_token: FileToken, numerics: str = "", prompt: Callable[[], Any] = lambda: None) -> None:
        self.owner = owner.encode()
        self.prompt = prompt
        self.file_token = file_token
        self.numerics = numerics.encode()

    def key(self, planned: PlannedNode, parent_keys: list[Key], salt: bytes = b"") -> tuple[Key, bool]:
        """The node's key, and whether it may be looked up again: a fingerprint that never equals itself makes it useless later.

        `parent_keys` are those of `links`, then of `raw`, then of `lazy`. `salt` stands in for literals that
        can't be written down, such as tensors inside an expansion: it identifies the expansion and the node in it.
        """
        static = planned.static
        if static is None:
            static = planned.static = static_part(planned)
        node_type = planned.type
        parts = [static, *parent_keys]
        stable = True
        if node_type.fingerprint is not None:
            fingerprint = self._fingerprint(planned)
            stable = fingerprint is not None
            parts.append(b"\x01" + (fingerprint or os.urandom(16)))
        if planned.files:
            for kind, name in planned.files:
                token = self.file_token(kind, name)
                parts.append(b"\x02" + len(token).to_bytes(4, "big") + token)
        if node_type.private or node_type.is_output:
            parts.append(b"\x03" + self.owner)
        if node_type.lane == "device":
            parts.append(b"\x04" + self.numerics)
        if planned.unhashable:
            parts.append(b"\x05" + (salt or os.urandom(16)))
            stable = stable and bool(salt)
        return sha256(b"".join(parts)).digest(), stable

    def _fingerprint(self, planned: PlannedNode) -> bytes | None:
        fingerprint = planned.type.fingerprint
        assert fingerprint is not None
        names, everything = parameters_of(fingerprint)
        linked = [name for group in (planned.links, planned.raw or (), planned.lazy or ()) for name, _, _ in group]
        values = {**planned.constants, **dict.fromkeys(linked)}
        for name, kind in planned.type.hidden.items():
            if kind == "UNIQUE_ID":
                values[name] = planned.id
            elif kind == "PROMPT":
                values[name] = self.prompt()
        try:
            answer = settled(fingerprint(**(values if everything else {name: value for name, value in values.items() if name in names})))
            if isinstance(answer, float) and math.isnan(answer):
                return None
            return _encode(answer)
        except Exception:  # a pack's IS_CHANGED may raise anything; that counts as "always changed"
            return None


def identify(nodes: list[PlannedNode], identifier: Identifier, keys: list[Key], volatile: set[int], salt: bytes = b"") -> None:
    """Append the keys of the nodes from `len(keys)` on; parents stand before children. `volatile` collects those that never come again."""
    append = keys.append
    for index in range(len(keys), len(nodes)):
        planned = nodes[index]
        parents = planned.parents
        if planned.plain_key:
            static = planned.static
            if static is None:
                static = planned.static = static_part(planned)
            if not planned.unhashable:
                append(sha256(b"".join([static, *[keys[parent] for parent in parents]])).digest())
                if volatile and not volatile.isdisjoint(parents):
                    volatile.add(index)
                continue
        if planned.lazy is not None:
            parents = parents + [parent for _, parent, _ in planned.lazy]
        key, stable = identifier.key(planned, [keys[parent] for parent in parents], salt and salt + planned.id.encode())
        append(key)
        if not stable or (volatile and not volatile.isdisjoint(parents)):
            volatile.add(index)


def static_part(planned: PlannedNode) -> bytes:
    """Type, version, literals and the shape of the links, in one canonical encoding."""
    node_type = planned.type
    constants: Mapping[str, Any] = planned.constants
    links = [(name, slot) for name, _, slot in planned.links]
    if planned.raw is not None or planned.lazy is not None:
        links += [(name, slot) for group in (planned.raw or (), planned.lazy or ()) for name, _, slot in group]
    unique = planned.id if node_type.not_idempotent or (node_type.hidden and "UNIQUE_ID" in node_type.hidden.values()) else None
    head: list[Any] = [node_type.id, node_type.version, links, unique]
    if planned.seal is not None:
        head.append(planned.seal.domain)
    try:
        return _encode([*head, constants])
    except UNWRITABLE:
        planned.unhashable = True
        plain: dict[str, Any] = {}
        for name, value in constants.items():
            try:
                _encode(value)
            except UNWRITABLE:
                plain[name] = repr(value) if isinstance(value, int) else "?"
            else:
                plain[name] = value
        return _encode([*head, plain])
