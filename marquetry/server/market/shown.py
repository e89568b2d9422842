"""Shown: quotes, receipts, plans and lines as the models of our routes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from marquetry.marketplace.metering.lines import Line, Part, lines
from marquetry.marketplace.metering.receipts import Receipt
from marquetry.marketplace.plans.plan import DisplayUnit, Plan
from marquetry.server.api.price_models import (
    DisplayUnitModel,
    LineModel,
    OperationModel,
    PlanModel,
    QuoteModel,
    ReceiptModel,
    RefusalModel,
    RoyaltyModel,
)
from marquetry.server.market.market import Offer


def quote_model(offer: Offer, spendable: int, refusal: RefusalModel | None) -> QuoteModel:
    """A quote."""
    found, unit = offer.quote, offer.standing.plan.unit
    parts = [
        Part(
            node.consumer.id,
            node.consumer.display_id,
            node.consumer.type_id,
            node.charge,
            node.maximum_microcredits,
            node.remembered,
        )
        for node in found.nodes
    ]
    return QuoteModel(
        plan=found.conditions.plan,
        book=found.conditions.book,
        quoted_ms=found.conditions.priced_ms,
        unit=unit_model(unit),
        lines=_lines(lines(parts, offer.sealed)),
        covered_images=found.covered,
        total_microcredits=found.expected_microcredits,
        maximum_microcredits=found.maximum_microcredits,
        total=unit.rounded_up(found.expected_microcredits),
        maximum=unit.rounded_up(found.maximum_microcredits),
        spendable_microcredits=spendable,
        enough=spendable >= found.maximum_microcredits,
        refusal=refusal,
    )


def receipt_model(receipt: Receipt, unit: DisplayUnit) -> ReceiptModel:
    """A receipt."""
    return ReceiptModel(
        job_id=receipt.run_id,
        plan=receipt.plan,
        state=receipt.state,
        quoted_ms=receipt.quoted_ms,
        closed_ms=receipt.closed_ms,
        lines=_lines(receipt.lines),
        pending=list(receipt.pending),
        maximum_microcredits=receipt.maximum_microcredits,
        charged_microcredits=receipt.charged_microcredits,
        unit=unit_model(unit),
        charged=unit.rounded_up(receipt.charged_microcredits),
    )


def plan_model(plan: Plan) -> PlanModel:
    """A plan."""
    return PlanModel(
        id=plan.id,
        family=plan.family,
        title=plan.title,
        role=plan.role,
        book=plan.book,
        unit=unit_model(plan.unit),
        prices={currency: {str(interval): price for interval, price in prices.items()} for currency, prices in plan.prices.items()},
        grant_microcredits=plan.grant_microcredits,
        modifiers=sorted(plan.modifiers),
        entitlements=asdict(plan.entitlements),
        contact_sales=plan.contact_sales,
        note=plan.note,
    )


def unit_model(unit: DisplayUnit) -> DisplayUnitModel:
    """A plan's unit."""
    return DisplayUnitModel(name=unit.name, microcredits=unit.microcredits)


def _lines(found: Iterable[Line]) -> list[LineModel]:
    return [
        LineModel(
            node_id=line.node_id,
            type=line.type_id,
            operations=[OperationModel.model_validate(asdict(entry)) for entry in line.operations],
            royalties=[RoyaltyModel.model_validate(asdict(entry)) for entry in line.royalties],
            amount_microcredits=line.amount_microcredits,
            maximum_microcredits=line.maximum_microcredits,
            free=line.free,
        )
        for line in found
    ]
