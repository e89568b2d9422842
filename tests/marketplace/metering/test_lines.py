"""Lines are of the nodes that somebody submitted; what is inside of published graphs can't be read from them."""

from __future__ import annotations

from marquetry.marketplace.metering.lines import Part, lines
from marquetry.marketplace.pricing.price import Charge, OperationLine, RoyaltyCharge


def made(operation: str, amount: int) -> Charge:
    return Charge((OperationLine(operation, 3, "image", amount, amount, covered=1),))


def owed(listing: str, amount: int) -> Charge:
    return Charge((), (RoyaltyCharge(listing, "someone", "lora", "per_use", amount, amount, "*:7500:royalty"),))


def test_what_a_submitted_node_grew_into_is_in_its_line() -> None:
    (line,) = lines(
        [Part("1", "1", "Album", Charge(), 70, False), Part("1.a", "1", "Draw", made("image.standard", 60), 0, False)], frozenset()
    )
    assert (line.node_id, line.type_id, line.amount_microcredits, line.maximum_microcredits) == ("1", "Album", 60, 70)
    assert [entry.operation for entry in line.operations] == ["image.standard"]


def test_the_inside_of_a_published_graph_is_one_operation_and_its_royalties_have_no_names() -> None:
    parts = [
        Part("1#draw", "1", "Draw", made("image.premium", 60), 60, False),
        Part("1#style", "1", "Style", owed("cem/secret-ink", 20), 20, False),
        Part("1", "1", "listing:ann/poster@1.0.0", owed("ann/poster", 15), 15, False),
        Part("2", "2", "Save", Charge(), 0, False),
    ]
    line, _ = lines(parts, frozenset({"1"}))
    assert (line.type_id, line.amount_microcredits, line.maximum_microcredits) == ("listing:ann/poster@1.0.0", 95, 95)
    assert [(entry.operation, entry.quantity, entry.amount_microcredits) for entry in line.operations] == [("graph.use", 1, 80)]
    assert [entry.listing for entry in line.royalties] == ["ann/poster"]
    assert "secret" not in repr(line) and "premium" not in repr(line)
