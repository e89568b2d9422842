"""Terms: what was agreed on a run when it was submitted. Its charges are made under them, by whichever server sees its nodes finish."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from marquetry.marketplace.metering.errors import UnreadableTerms
from marquetry.marketplace.pricing.price import Charge, Conditions
from marquetry.marketplace.pricing.quote import Quote
from marquetry.marketplace.pricing.royalties import RoyaltyLine

LONGEST_KEY = 120


class NodeTerms(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one submitted node may cost: its operations and the royalties that it owes; see `pricing.quote.QuotedNode`."""

    display_id: str
    type_id: str
    operations_microcredits: int
    covered: int
    royalties: tuple[RoyaltyLine, ...]
    unknown_microcredits: int
    certain: bool
    signature: str | None
    quoted: Charge


class Terms(msgspec.Struct, frozen=True):
    """`reserved` is what of the plan's monthly quotas was set aside for the run, in the period that began at `period_start_ms`."""

    run_id: str
    owner: str
    conditions: Conditions
    nodes: dict[str, NodeTerms]
    maximum_microcredits: int
    reserved: dict[str, int] = {}
    period_start_ms: int = 0
    listing: str | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Terms)
_charge_decoder = msgspec.msgpack.Decoder(Charge)


def terms_of(quote: Quote, run_id: str, owner: str, reserved: Mapping[str, int], period_start_ms: int, listing: str | None = None) -> Terms:
    """What a quote promises."""
    nodes = {
        node.consumer.id: NodeTerms(
            node.consumer.display_id,
            node.consumer.type_id,
            node.charge.operations_microcredits,
            node.charge.covered,
            node.royalties,
            node.unknown_microcredits,
            node.consumer.certain,
            node.consumer.signature,
            node.charge,
        )
        for node in quote.nodes
    }
    return Terms(run_id, owner, quote.conditions, nodes, quote.maximum_microcredits, dict(reserved), period_start_ms, listing)


def encode_terms(terms: Terms) -> bytes:
    """For the database."""
    return _encoder.encode(terms)


def decode_terms(data: bytes) -> Terms:
    """The inverse of `encode_terms`. Raises UnreadableTerms."""
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise UnreadableTerms(f"the terms of a run can't be read: {error}") from error


def encode_charge(charge: Charge) -> bytes:
    """For the database."""
    return _encoder.encode(charge)


def decode_charge(data: bytes) -> Charge:
    """The inverse of `encode_charge`."""
    return _charge_decoder.decode(data)


def node_key(id: str) -> str:
    """A node's id, or what stands for a long one."""
    return id if len(id) <= LONGEST_KEY else "#" + hashlib.sha256(id.encode(errors="surrogatepass")).hexdigest()


def plain(charge: Charge) -> Any:
    """A charge as plain values, for JSON."""
    return msgspec.to_builtins(charge)
