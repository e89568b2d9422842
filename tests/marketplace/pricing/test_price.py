"""One function makes quotes and charges; every step from the price of the book to the amount is a line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from marquetry.engine.usage import Usage
from marquetry.marketplace.pricing.book import shipped_books
from marquetry.marketplace.pricing.errors import UnknownWeights
from marquetry.marketplace.pricing.modifiers import Factor, Modifiers, shipped_modifiers
from marquetry.marketplace.pricing.price import Conditions, PriceList
from marquetry.marketplace.pricing.quote import Consumer, quote
from marquetry.marketplace.pricing.royalties import NoRoyalties, RoyaltyLine
from marquetry.marketplace.schema import MICROCREDITS

PRICES = PriceList(shipped_books())
EVENING_MS = 1_798_761_600_000 + 13 * 3_600_000  # 18:30 in India
MORNING_MS = 1_798_761_600_000 + 3 * 3_600_000


def conditions(book: str = "house", unit: int = 1, *factors: Factor, basis: str = "royalty") -> Conditions:
    return Conditions("house:payg", book, MORNING_MS, unit * MICROCREDITS, factors, basis)  # type: ignore[arg-type]


def factors(
    quality: str = "standard", pictures: int = 1, role: str = "free", now_ms: int = MORNING_MS, *, modifiers: Modifiers | None = None
) -> list[int]:
    every = {"quality", "batch", "tier", "peak"}
    found = (modifiers or shipped_modifiers()).factors(every, quality=quality, pictures=pictures, role=role, now_ms=now_ms)
    return [factor.parts for factor in found]


def listed(name: str, credits: int, kind: str = "lora", mode: str = "per_use") -> RoyaltyLine:
    return RoyaltyLine(f"ann/{name}", "ann", kind, mode, credits * MICROCREDITS, name)  # type: ignore[arg-type]


def test_an_image_costs_its_price_without_any_step() -> None:
    charge = PRICES.charge([Usage("image.standard", 3)], conditions())
    assert (charge.amount_microcredits, charge.operations[0].adjustments) == (60 * MICROCREDITS, ())
    assert charge.cost_microcredits == 30 * MICROCREDITS


def test_factors_hold_in_bands_quality_tier_and_at_the_peak() -> None:
    assert factors() == []
    assert factors("high") == [15_000]
    assert factors("ultra") == [20_000]
    assert [factors(pictures=count) for count in (10, 11, 50, 51)] == [[], [9_000], [9_000], [8_000]]
    assert [factors(role=role) for role in ("free", "starter", "pro", "business")] == [[], [], [9_500], [9_000]]
    assert factors(now_ms=EVENING_MS) == [12_000]
    assert factors("high", 51, "business", EVENING_MS) == [15_000, 8_000, 9_000, 12_000]


def test_batch_bands_stack_only_where_an_operator_says_so() -> None:
    shipped = shipped_modifiers()
    stacked = Modifiers(shipped.quality, shipped.bands, True, shipped.tier, shipped.peak)
    assert factors(pictures=51, modifiers=stacked) == [9_000, 8_000]


def test_a_plan_that_turns_nothing_on_has_no_factors() -> None:
    assert shipped_modifiers().factors(frozenset(), quality="ultra", pictures=100, role="business", now_ms=EVENING_MS) == ()


def test_every_factor_and_the_rounding_are_steps_that_add_up() -> None:
    high, batch = Factor("quality", "high", 15_000), Factor("batch", "more than 10", 9_000)
    charge = PRICES.charge([Usage("i2i.basic", 1)], conditions("house", 10, high, batch))
    (line,) = charge.operations
    assert [(step.name, step.amount_microcredits) for step in line.adjustments] == [
        ("quality", 12_500_000), ("batch", -3_750_000), ("rounding", 6_250_000),
    ]  # fmt: skip
    assert (
        line.amount_microcredits == line.unit_price_microcredits + sum(step.amount_microcredits for step in line.adjustments) == 40_000_000
    )


def test_a_creator_s_price_stays_within_the_bounds_of_the_book() -> None:
    for asked, due in ((5, 10), (10, 10), (25, 25), (30, 30), (99, 30)):
        charge = PRICES.charge([Usage("lora.apply")], conditions(), [listed("ink", asked)])
        assert charge.amount_microcredits == charge.royalties_microcredits == due * MICROCREDITS
    assert PRICES.charge([Usage("lora.apply")], conditions(), [listed("ink", 0, mode="owned")]).amount_microcredits == 0


def test_a_file_that_nobody_listed_costs_what_the_book_says() -> None:
    assert PRICES.charge([Usage("lora.apply", 2)], conditions()).amount_microcredits == 0
    assert PRICES.charge([Usage("lora.apply", 2)], conditions("unified-000")).amount_microcredits == 20 * MICROCREDITS
    mixed = PRICES.charge([Usage("lora.apply", 2)], conditions("unified-000"), [listed("ink", 25)])
    assert mixed.amount_microcredits == 35 * MICROCREDITS


@pytest.mark.parametrize(
    ("kind", "credits", "earned"),
    [("lora", 100, 75), ("style_premium", 100, 60), ("character_template", 100, 70), ("background_pack", 100, 70)],
)
def test_creators_earn_by_the_kind_of_their_listing(kind: str, credits: int, earned: int) -> None:
    charge = PRICES.charge([Usage("graph.use")], conditions(), [listed("x", credits, kind)])
    assert charge.royalties[0].earned_microcredits == earned * MICROCREDITS


def test_computing_is_the_platform_s_unless_the_split_is_of_the_whole_charge() -> None:
    usage, owed = [Usage("image.standard")], [listed("x", 4, "checkpoint")]
    assert PRICES.charge(usage, conditions(), owed).royalties[0].earned_microcredits == 3 * MICROCREDITS
    gross = PRICES.charge(usage, conditions(basis="gross"), owed)
    assert (gross.royalties[0].earned_microcredits, gross.amount_microcredits) == (18 * MICROCREDITS, 24 * MICROCREDITS)


def test_a_quota_pays_for_images_first_and_only_for_images() -> None:
    charge = PRICES.charge([Usage("image.standard", 3), Usage("upscale.4x", 3)], conditions(), covered=2)
    assert [line.amount_microcredits // MICROCREDITS for line in charge.operations] == [20, 90]
    assert charge.covered == 2


class Shelf:
    def __init__(self, *lines: RoyaltyLine) -> None:
        self.known = {line.resource: line for line in lines}

    def lines(self, resources: Sequence[str], owner: str, now_ms: int) -> tuple[RoyaltyLine, ...]:
        return tuple(self.known[resource] for resource in resources if resource in self.known)


def test_a_quote_counts_what_the_owner_made_lately_as_free_but_holds_for_all() -> None:
    consumers = [
        Consumer("1", "1", "Draw", (Usage("image.standard", 2),), signature="made"),
        Consumer("2", "2", "Style", (Usage("lora.apply"),), ("ink",), signature="styled"),
    ]
    found = quote(consumers, PRICES, conditions(), Shelf(listed("ink", 20)), "bob", remembered={"made", "styled"})
    assert (found.expected_microcredits, found.maximum_microcredits) == (20 * MICROCREDITS, 60 * MICROCREDITS)


def test_weights_that_only_the_run_will_name_are_bounded_or_refused() -> None:
    styled = Consumer("1", "1", "Style", (Usage("lora.apply", 2),), unnamed=True)
    assert quote([styled], PRICES, conditions(), NoRoyalties(), "bob").maximum_microcredits == 60 * MICROCREDITS
    with pytest.raises(UnknownWeights, match="choose the file in the node itself"):
        quote([Consumer("1", "1", "Load", (), unnamed=True)], PRICES, conditions(), NoRoyalties(), "bob")


def test_every_node_owes_for_itself_also_where_two_use_one_listing() -> None:
    consumers = [Consumer(id, id, "Style", (Usage("lora.apply"),), ("ink",)) for id in "12"]
    assert quote(consumers, PRICES, conditions(), Shelf(listed("ink", 20)), "bob").maximum_microcredits == 40 * MICROCREDITS
