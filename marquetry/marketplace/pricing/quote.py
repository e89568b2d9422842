"""Quote: what a graph costs at most, node by node, before it runs. A pure function of what its nodes will consume and of what was agreed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from marquetry.engine.usage import Usage
from marquetry.marketplace.pricing.errors import UnknownWeights
from marquetry.marketplace.pricing.price import Charge, Conditions, PriceList
from marquetry.marketplace.pricing.royalties import RoyaltyBook, RoyaltyLine


@dataclass(frozen=True, slots=True)
class Consumer:
    """A node that will consume something, or draws upon `resources`.

    `display_id` is the submitted node that it belongs to. `unnamed`: some of its weights are linked, so nobody knows them yet. `certain`: it
    is needed whenever the job completes. `signature` stands for what it makes, for its owner alone.
    """

    id: str
    display_id: str
    type_id: str
    usage: tuple[Usage, ...] = ()
    resources: tuple[str, ...] = ()
    unnamed: bool = False
    certain: bool = True
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class QuotedNode:
    """What one node costs at most. `unknown_microcredits` bounds royalties of weights that are not named yet; `remembered`: its owner made the
    same lately, so it is likely to be free but for royalties."""

    consumer: Consumer
    charge: Charge
    royalties: tuple[RoyaltyLine, ...]
    unknown_microcredits: int = 0
    remembered: bool = False

    @property
    def maximum_microcredits(self) -> int:
        return self.charge.amount_microcredits + self.unknown_microcredits

    @property
    def expected_microcredits(self) -> int:
        return self.charge.royalties_microcredits if self.remembered else self.charge.amount_microcredits


@dataclass(frozen=True, slots=True)
class Quote:
    """All nodes that cost something or draw upon something, parents before children."""

    conditions: Conditions
    nodes: tuple[QuotedNode, ...]

    @property
    def maximum_microcredits(self) -> int:
        """What a run is never charged more than."""
        return sum(node.maximum_microcredits for node in self.nodes)

    @property
    def expected_microcredits(self) -> int:
        """What it will cost if what is remembered is still there."""
        return sum(node.expected_microcredits for node in self.nodes)

    @property
    def covered(self) -> int:
        """Images that the plan's quota pays for."""
        return sum(node.charge.covered for node in self.nodes)


def quote(
    consumers: Sequence[Consumer],
    prices: PriceList,
    conditions: Conditions,
    book: RoyaltyBook,
    owner: str,
    *,
    images_left: int = 0,
    remembered: Collection[str] = (),
) -> Quote:
    """What nodes cost at most. `images_left` are spent in the order of the nodes; `remembered` are signatures of what the owner made lately.

    Raises UnknownOperation, and UnknownWeights for weights that are not named and whose creators' prices have no bound.
    """
    owed = _owed(consumers, book, owner, conditions.priced_ms)
    nodes: list[QuotedNode] = []
    for consumer in consumers:
        royalties = owed.get(consumer.resources, ())
        charge = prices.charge(consumer.usage, conditions, royalties, covered=images_left)
        images_left -= charge.covered
        royalties = tuple(
            replace(line, amount_microcredits=owing.amount_microcredits) for line, owing in zip(royalties, charge.royalties, strict=True)
        )
        unknown = _unknown(consumer, prices, conditions) if consumer.unnamed else 0
        known = consumer.signature is not None and consumer.signature in remembered
        nodes.append(QuotedNode(consumer, charge, royalties, unknown, known))
    return Quote(conditions, tuple(nodes))


def _owed(consumers: Sequence[Consumer], book: RoyaltyBook, owner: str, now_ms: int) -> dict[tuple[str, ...], tuple[RoyaltyLine, ...]]:
    """What a node owes that draws upon so many resources together: every node for itself, also where several use one listing."""
    groups = dict.fromkeys(consumer.resources for consumer in consumers if consumer.resources)
    everything = list(dict.fromkeys(resource for group in groups for resource in group))
    if not everything or not book.lines(everything, owner, now_ms):  # most graphs draw upon nothing that is listed
        return {}
    return {group: book.lines(list(dict.fromkeys(group)), owner, now_ms) for group in groups}


def _unknown(consumer: Consumer, prices: PriceList, conditions: Conditions) -> int:
    bound = prices.bound(consumer.usage, conditions)
    if not bound:
        raise UnknownWeights(
            f"node '{consumer.display_id}' ({consumer.type_id}) gets the name of its weights from another node, so its price is not known before "
            "it runs; choose the file in the node itself",
            node_id=consumer.display_id,
        )
    return bound
