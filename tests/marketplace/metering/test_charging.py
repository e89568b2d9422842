"""Whatever a run does, it is never charged more than it was told: not in all, and not for any of its nodes."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.usage import Usage
from marquetry.marketplace.metering.charging import Account
from marquetry.marketplace.metering.facts import FinishedNode
from marquetry.marketplace.metering.terms import decode_terms, encode_terms, terms_of
from marquetry.marketplace.pricing.book import shipped_books
from marquetry.marketplace.pricing.modifiers import Factor
from marquetry.marketplace.pricing.price import Conditions, PriceList
from marquetry.marketplace.pricing.quote import Consumer, Quote, quote
from marquetry.marketplace.pricing.royalties import RoyaltyLine
from marquetry.marketplace.schema import MICROCREDITS

PRICES = PriceList(shipped_books())
OPERATIONS = ["image.standard", "image.premium", "lora.apply", "video", "train.lora", "upscale.4x", "inpaint.local", "graph.use"]
RESOURCES = ["a", "b", "c", "d"]
usages = st.builds(Usage, st.sampled_from(OPERATIONS), st.integers(0, 40), st.lists(st.sampled_from(RESOURCES), max_size=2).map(tuple))
several = st.lists(usages, max_size=3).map(tuple)
lines = st.dictionaries(
    st.sampled_from(RESOURCES),
    st.tuples(
        st.sampled_from(["lora", "style_premium", "workflow"]), st.sampled_from(["per_use", "owned"]), st.integers(0, 60 * MICROCREDITS)
    ),
)


class Shelf:
    """Royalties by resource."""

    def __init__(self, entries: dict[str, tuple[str, str, int]]) -> None:
        self.known = {
            name: RoyaltyLine(f"x/{name}", f"of {name}", kind, mode, amount if mode == "per_use" else 0, name)  # type: ignore[arg-type]
            for name, (kind, mode, amount) in entries.items()
        }

    def lines(self, resources: Sequence[str], owner: str, now_ms: int) -> tuple[RoyaltyLine, ...]:
        return tuple(self.known[name] for name in resources if name in self.known)


@st.composite
def quotes(draw: st.DrawFn) -> tuple[Quote, Shelf]:
    shelf = Shelf(draw(lines))
    consumers = [
        Consumer(
            str(place),
            str(place),
            "Any",
            usage,
            draw(st.lists(st.sampled_from(RESOURCES), max_size=2).map(tuple)),
            certain=draw(st.booleans()),
        )
        for place, usage in enumerate(draw(st.lists(several, min_size=1, max_size=5)))
    ]
    factors = tuple(Factor("f", "f", parts) for parts in draw(st.lists(st.sampled_from([8_000, 9_000, 12_000, 20_000]), max_size=2)))
    book = draw(st.sampled_from(["house", "unified-000", "transparent-001", "buzz-002", "studio-003", "marty-004"]))
    conditions = Conditions(
        "p", book, 1, draw(st.sampled_from([1, 10])) * MICROCREDITS, factors, draw(st.sampled_from(["royalty", "gross"]))
    )
    return quote(consumers, PRICES, conditions, shelf, "bob", images_left=draw(st.integers(0, 30))), shelf


facts = st.lists(
    st.builds(
        lambda number, inner, free, grew, usage: FinishedNode(
            f"{number}.{inner}" if inner else str(number), str(number), free, grew and not inner, usage, 5, 9
        ),
        st.integers(0, 6),
        st.integers(0, 3),
        st.booleans(),
        st.booleans(),
        several,
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(quotes(), facts, st.booleans())
def test_no_run_costs_more_than_its_quote(made: tuple[Quote, Shelf], finished: list[FinishedNode], completed: bool) -> None:
    found, shelf = made
    terms = decode_terms(encode_terms(terms_of(found, "run", "bob", {}, 0)))
    account = Account(terms, PRICES, shelf)
    executions = [execution for fact in finished for execution in [account.finished(fact)] if execution is not None]
    if completed:
        executions += account.due(frozenset(), 9)
    assert sum(execution.charge.amount_microcredits for execution in executions) <= found.maximum_microcredits
    by_node: dict[str, int] = {}
    for execution in executions:
        by_node[execution.origin_id] = by_node.get(execution.origin_id, 0) + execution.charge.amount_microcredits
        assert sum(line.earned_microcredits for line in execution.charge.royalties) <= execution.charge.amount_microcredits
        assert all(line.amount_microcredits >= 0 for line in execution.charge.operations)
    for node in found.nodes:
        assert by_node.get(node.consumer.id, 0) <= node.maximum_microcredits
    assert sum(execution.charge.covered for execution in executions) <= found.covered
    assert len({execution.key for execution in executions}) == len(executions)


@settings(max_examples=100, deadline=None)
@given(quotes())
def test_a_run_that_does_what_was_foreseen_costs_exactly_its_quote(made: tuple[Quote, Shelf]) -> None:
    found, shelf = made
    account = Account(terms_of(found, "run", "bob", {}, 0), PRICES, shelf)
    charged = 0
    for node in found.nodes:
        fact = FinishedNode(node.consumer.id, node.consumer.id, False, False, node.consumer.usage, 1, 2)
        execution = account.finished(fact)
        charged += 0 if execution is None else execution.charge.amount_microcredits
    assert charged == found.maximum_microcredits


def styled(*resources: str) -> Quote:
    consumer = Consumer("1", "1", "Album", (Usage("image.standard", 2),), resources)
    shelf = Shelf({"a": ("lora", "per_use", 8 * MICROCREDITS)})
    return quote([consumer], PRICES, Conditions("p", "house", 1, MICROCREDITS), shelf, "bob")


def test_a_royalty_is_due_once_whether_the_inner_node_or_the_outer_one_tells_of_it() -> None:
    account = Account(terms_of(styled("a"), "run", "bob", {}, 0), PRICES, Shelf({}))
    inner = account.finished(FinishedNode("1.x", "1", False, False, (Usage("lora.apply", 1, ("a",)),), 1, 2))
    outer = account.finished(FinishedNode("1", "1", False, True, (), 1, 2))
    assert inner is not None and outer is not None
    assert (inner.charge.royalties_microcredits, outer.charge.royalties_microcredits) == (8 * MICROCREDITS, 0)


def test_what_was_charged_by_another_server_is_not_charged_again() -> None:
    first = Account(terms_of(styled("a"), "run", "bob", {}, 0), PRICES, Shelf({}))
    fact = FinishedNode("1", "1", False, False, (Usage("image.standard", 2),), 1, 2)
    made = first.finished(fact)
    assert made is not None and made.charge.amount_microcredits == 48 * MICROCREDITS
    second = Account(terms_of(styled("a"), "run", "bob", {}, 0), PRICES, Shelf({}))
    second.note("1", "1", 40 * MICROCREDITS, 0, [("x/a", 8 * MICROCREDITS)])
    assert second.finished(fact) is None
    assert second.due(frozenset(), 3) == []


def test_a_completed_run_owes_royalties_of_what_it_did_not_have_to_make() -> None:
    account = Account(terms_of(styled("a"), "run", "bob", {}, 0), PRICES, Shelf({}))
    (due,) = account.due(frozenset(), 3)
    assert (due.free, due.charge.amount_microcredits) == (True, 8 * MICROCREDITS)
    spared = Account(terms_of(styled("a"), "run", "bob", {}, 0), PRICES, Shelf({}))
    assert spared.due(frozenset({"1"}), 3) == []


def test_what_a_quote_did_not_foresee_is_not_charged_but_noted() -> None:
    account = Account(terms_of(styled(), "run", "bob", {}, 0), PRICES, Shelf({}))
    made = account.finished(FinishedNode("9", "9", False, False, (Usage("image.standard", 3),), 1, 2))
    assert made is not None
    assert (made.charge.amount_microcredits, made.unbilled_microcredits) == (0, 60 * MICROCREDITS)
