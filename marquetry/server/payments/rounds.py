"""Rounds: what is looked after while the server runs: late payments, refunds without an answer, debts, orders that nobody paid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from marquetry.marketplace.errors import MarketError
from marquetry.marketplace.payments import debts, duties, orders, recoveries, refunds
from marquetry.marketplace.payments.recoveries import Step
from marquetry.server.payments.service import Payments

if TYPE_CHECKING:
    from marquetry.server.accounts.service import Accounts

logger = logging.getLogger(__name__)
QUIET_MS = 60_000
"""A refund without an answer is asked for again after this: its first asking may still be under way."""


async def go_round(payments: Payments, accounts: Accounts | None) -> None:
    """One round. What fails is tried again in the next."""
    desk = payments.desk
    await _climb(payments, accounts)
    await _tell_duties(payments)
    for refund, payment in await desk.read(refunds.begun, desk.clock_ms() - QUIET_MS):
        try:
            await payments.send_refund(refund, payment)
        except MarketError as error:
            logger.warning("the refund %s is not done: %s", refund.id, error.message)
    await desk.write(debts.settle_all, desk.clock_ms())
    await desk.write(orders.expire_old, desk.clock_ms())


async def _climb(payments: Payments, accounts: Accounts | None) -> None:
    desk = payments.desk
    for step in await desk.write(recoveries.take_steps, desk.rules, desk.clock_ms()):
        if step.step and step.reference:  # the first step is the failure itself
            try:
                await desk.provider(step.provider).retry(step.reference)
                continue  # the provider's event says that it was paid
            except MarketError as error:
                logger.info("a late payment could not be taken: %s", error.message)
        if accounts is not None:
            await _tell(payments, accounts, step)


async def _tell(payments: Payments, accounts: Accounts, step: Step) -> None:
    from marquetry.marketplace.accounts.people import find_person

    person = await payments.desk.read(find_person, step.owner)
    if person is None:
        return
    plans = payments.desk.plans
    plan = plans[step.plan].title if step.plan in plans else step.plan
    kind = "subscription_ended" if step.ended else "payment_failed"
    day = _day(step.ends_ms)
    accounts.post.send(kind, person.email, "/billing", plan=plan, pay=step.url or f"{payments.desk.public_url}/billing", until=day)


async def _tell_duties(payments: Payments) -> None:
    desk = payments.desk
    for duty in await desk.read(duties.due, desk.clock_ms()):
        try:
            await desk.provider(duty.provider).cancel_subscription(duty.reference, at_period_end=False)
        except MarketError as error:
            await desk.write(duties.failed, duty, error.message, desk.clock_ms())
            continue
        await desk.write(duties.told, duty.id, desk.clock_ms())


def _day(time_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(time_ms // 1000, UTC).date().isoformat()
