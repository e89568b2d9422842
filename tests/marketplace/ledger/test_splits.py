"""Splits: by type of listing and date, rounded down, never more than the charge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marquetry.marketplace.ledger.errors import InvalidEntry
from marquetry.marketplace.ledger.splits import RULES, Royalty, SplitRule, divide, rule_for

TYPES = ("workflow", "lora", "style_premium", "character_template", "background_pack")


def test_creators_earn_three_quarters_unless_their_type_says_otherwise() -> None:
    royalties = [Royalty("cam", f"listing {kind}", kind, 1000) for kind in TYPES]
    shares = divide(royalties, compute_microcredits=5000, at_ms=1)
    assert [share.amount_microcredits for share in shares] == [750, 750, 600, 700, 700]
    assert shares[2].split == "style_premium:6000:royalty" and shares[0].split == "*:7500:royalty"


def test_a_rule_holds_from_its_date_on() -> None:
    rules = (*RULES, SplitRule("lora", 8000, from_ms=100), SplitRule("*", 5000, from_ms=200))
    assert [rule_for("lora", time, rules).creator_basis_points for time in (99, 100, 300)] == [7500, 8000, 8000]
    assert [rule_for("dataset", time, rules).creator_basis_points for time in (199, 200)] == [7500, 5000]


def test_gross_rules_share_the_computing_in_equal_parts() -> None:
    rules = (SplitRule("*", 5000, "gross"), SplitRule("lora", 10_000))
    royalties = [Royalty("cam", "graph", "workflow", 10), Royalty("dee", "lora", "lora", 7), Royalty("eve", "style", "style", 0)]
    assert [share.amount_microcredits for share in divide(royalties, compute_microcredits=100, at_ms=1, rules=rules)] == [21, 7, 17]


@pytest.mark.parametrize("points", [-1, 10_001])
def test_rules_that_give_more_than_there_is_are_refused(points: int) -> None:
    with pytest.raises(InvalidEntry):
        SplitRule("*", points)
    with pytest.raises(InvalidEntry):
        rule_for("lora", 1, [SplitRule("style", 1)])


@given(
    royalties=st.lists(st.tuples(st.sampled_from(TYPES), st.integers(0, 10**15)), max_size=12),
    compute=st.integers(0, 10**15),
    rules=st.lists(st.builds(SplitRule, st.sampled_from((*TYPES, "*")), st.integers(0, 10_000), st.sampled_from(["royalty", "gross"]),
                             st.integers(0, 10)), max_size=8),
)  # fmt: skip
def test_shares_never_exceed_the_charge_and_differ_from_the_rule_by_less_than_one(
    royalties: list[tuple[str, int]], compute: int, rules: list[SplitRule]
) -> None:
    known = (*RULES, *rules)
    wanted = [Royalty(f"creator {place}", "listing", kind, amount) for place, (kind, amount) in enumerate(royalties)]
    shares = divide(wanted, compute_microcredits=compute, at_ms=5, rules=known)
    charge = compute + sum(amount for _, amount in royalties)
    assert sum(share.amount_microcredits for share in shares) <= charge
    for royalty, share in zip(wanted, shares, strict=True):
        rule = rule_for(royalty.listing_type, 5, known)
        owed = royalty.amount_microcredits * rule.creator_basis_points
        assert share.amount_microcredits >= 0
        if rule.basis == "royalty":
            assert 0 <= owed - share.amount_microcredits * 10_000 < 10_000
    gross = [place for place, royalty in enumerate(wanted) if rule_for(royalty.listing_type, 5, known).basis == "gross"]
    if len(gross) == len(wanted) and wanted:
        assert sum(share.amount_microcredits for share in divide(wanted, compute_microcredits=compute, at_ms=5, rules=[SplitRule("*", 10_000, "gross")])) == charge  # fmt: skip
