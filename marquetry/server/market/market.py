"""Market: how this installation prices. Quotes are read from one state of the database; what changes is written by others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from marquetry.engine.foresight import Limits
from marquetry.engine.graph import Graph
from marquetry.engine.usage import Extent
from marquetry.marketplace.metering.record import Tariff, UseListener
from marquetry.marketplace.metering.tables import node_executions
from marquetry.marketplace.plans.catalogue import Plans, plans_with
from marquetry.marketplace.plans.checks import check
from marquetry.marketplace.plans.grants import Campaign, grant_due, read_campaigns, shipped_campaigns, welcome
from marquetry.marketplace.plans.quotas import used
from marquetry.marketplace.plans.subscriptions import Standing, standing, subscribe
from marquetry.marketplace.pricing.book import books_with
from marquetry.marketplace.pricing.modifiers import Modifiers, read_modifiers, shipped_modifiers
from marquetry.marketplace.pricing.price import Conditions, PriceList
from marquetry.marketplace.pricing.quote import Quote, quote
from marquetry.marketplace.pricing.royalties import RoyaltySource, no_royalties
from marquetry.server.configuration.market import MarketSettings
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.database.tables import jobs
from marquetry.server.market.consumers import Foreseen, Foreseer

if TYPE_CHECKING:
    from sqlalchemy import Connection

REMEMBERED_MS = 24 * 3_600_000
MAX_GREETED = 100_000


@dataclass(frozen=True, slots=True)
class Order:
    """Something to be quoted: what a graph will consume, at what quality."""

    foreseen: Foreseen
    quality: str = "standard"
    by_key: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A quote, for whom it holds, and what it takes of the plan's monthly quotas, each up to its limit."""

    quote: Quote
    standing: Standing
    reserved: dict[str, int]
    limits: dict[str, int | None]
    sealed: frozenset[str]


class Market:
    """The plans, the books and the campaigns of an installation. `royalties` and `note_uses` are set by who keeps listings."""

    def __init__(self, settings: MarketSettings, database: Database, foreseer: Foreseer) -> None:
        self.settings = settings
        self.plans: Plans = plans_with(settings.plan_files)
        self.plans[settings.default_plan]  # raises UnknownPlan at the start, not at the first job
        self.modifiers: Modifiers = shipped_modifiers() if settings.modifiers is None else read_modifiers(settings.modifiers)
        self.campaigns: tuple[Campaign, ...] = shipped_campaigns() if settings.campaigns is None else read_campaigns(settings.campaigns)
        self.prices = PriceList(books_with(settings.price_books))
        self.royalties: RoyaltySource = no_royalties
        self.note_uses: UseListener | None = None
        self.foreseer = foreseer
        self._database = database
        self._greeted: set[str] = set()
        self._greet = one_by_one(self._greet_in)

    @property
    def tariff(self) -> Tariff:
        return Tariff(self.prices, self.royalties, self.note_uses)

    async def foresee(self, graph: Graph, outputs: Sequence[str], owner: str) -> Foreseen:
        """What a graph will consume."""
        return await asyncio.to_thread(self.foreseer.read, graph, tuple(outputs), owner)

    async def offers(self, owner: str, orders: Sequence[Order], now_ms: int, *, enforce: bool = True) -> list[Offer]:
        """A quote for each order, as they would be taken one after the other. `enforce`: raises NotInPlan and QuotaUsedUp.

        Raises UnknownOperation and UnknownWeights.
        """
        await self.greet(owner, now_ms)
        return await self._database.read(self._offers, owner, orders, now_ms, enforce)

    async def standing(self, owner: str, now_ms: int) -> Standing:
        """The owner's plan."""
        return await self._database.read(standing, owner, now_ms, self.plans, self.settings.default_plan)

    async def greet(self, owner: str, now_ms: int) -> None:
        """Give somebody who is new here what new people are given."""
        if owner in self._greeted:
            return
        await self._database.write(self._greet, (owner, now_ms))
        if len(self._greeted) >= MAX_GREETED:
            self._greeted.clear()
        self._greeted.add(owner)

    def _greet_in(self, connection: Connection, who: tuple[str, int]) -> None:
        owner, now_ms = who
        if self.settings.trial:
            welcome(connection, owner, now_ms, self.campaigns)
        found = standing(connection, owner, now_ms, self.plans, self.settings.default_plan)
        if found.subscription is None and found.plan.grant_microcredits:
            subscribe(connection, owner, found.plan, now_ms)
            grant_due(connection, self.plans, now_ms, owner=owner)

    def _offers(self, connection: Connection, owner: str, orders: Sequence[Order], now_ms: int, enforce: bool) -> list[Offer]:
        current = standing(connection, owner, now_ms, self.plans, self.settings.default_plan)
        taken = used(connection, owner, current.month_start_ms)
        in_flight = self._in_flight(connection, owner)
        offers: list[Offer] = []
        for order in orders:
            offer = self._offer(connection, current, order, dict(taken), in_flight, now_ms, enforce)
            offers.append(offer)
            in_flight += in_flight >= 0
            for quota, count in offer.reserved.items():
                taken[quota] = taken.get(quota, 0) + count
        return offers

    def _offer(
        self, connection: Connection, current: Standing, order: Order, taken: dict[str, int], in_flight: int, now_ms: int, enforce: bool
    ) -> Offer:
        need = replace(order.foreseen.need, by_key=order.by_key, in_flight=max(0, in_flight))
        if enforce:
            check(current, self.plans, need, taken)
        has = current.plan.entitlements
        consumers = order.foreseen.consumers
        found = quote(
            consumers,
            self.prices,
            self.conditions(current, order.quality, need.pictures, now_ms),
            self.royalties(connection),
            current.owner,
            images_left=max(0, has.images - taken.get("images", 0)),
            remembered=self._remembered(connection, current.owner, [entry.signature for entry in consumers if entry.usage], now_ms),
        )
        counts = {"images": found.covered, "inpaints": need.inpaints, "trainings": need.trainings, "api_calls": int(need.by_key)}
        limits = {"images": has.images, "inpaints": has.inpaints, "trainings": has.trainings, "api_calls": has.api_calls}
        reserved = {quota: count for quota, count in counts.items() if count}
        return Offer(found, current, reserved, limits, order.foreseen.sealed)

    def conditions(self, current: Standing, quality: str, pictures: int, now_ms: int) -> Conditions:
        """Under which somebody is charged who asks now."""
        plan = current.plan
        factors = self.modifiers.factors(plan.modifiers, quality=quality, pictures=pictures, role=plan.role, now_ms=now_ms)
        return Conditions(plan.id, plan.book, now_ms, plan.unit.microcredits, factors, self.settings.split_basis)

    def _in_flight(self, connection: Connection, owner: str) -> int:
        """The owner's jobs that wait or run; -1 where nobody is refused for them."""
        if self.settings.beyond_concurrency != "refuse":
            return -1
        statement = select(func.count()).select_from(jobs).where(jobs.c.owner == owner, jobs.c.state.in_(("queued", "running")))
        return int(connection.execute(statement).scalar_one())

    def _remembered(self, connection: Connection, owner: str, signatures: Sequence[str | None], now_ms: int) -> frozenset[str]:
        """Those that the owner made lately."""
        wanted = [signature for signature in signatures if signature is not None][:1000]
        if not wanted:
            return frozenset()
        columns = node_executions.c
        lately = columns.finished_ms > now_ms - REMEMBERED_MS
        statement = select(columns.signature).where(columns.owner == owner, columns.signature.in_(wanted), lately)
        return frozenset(connection.execute(statement).scalars())


def limits_of(settings: MarketSettings) -> Limits:
    """What quotes assume of values that only the run will know."""
    extent = Extent(settings.unknown_pixels, settings.unknown_pixels, settings.unknown_pictures)
    return Limits(extent, settings.unknown_number)


def quality_of(extra: Any) -> str:
    """The quality that a request asks for, in its extra data."""
    quality = extra.get("quality") if isinstance(extra, dict) else None
    return quality if isinstance(quality, str) else "standard"
