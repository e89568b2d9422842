"""Payments: packs of credits, subscriptions, webhooks of providers, accounts for payouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from marquetry.server.api import PREFIXES
from marquetry.server.api.payment_models import (
    ChangePlan,
    OrderModel,
    Page,
    PaymentOptions,
    PayoutAccountModel,
    ProviderState,
    Purchase,
    Subscribe,
    SubscriptionState,
    Taken,
)
from marquetry.server.api.price_models import PackModel
from marquetry.server.caller import OWNER_HEADER, caller_of
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_bytes, read_model
from marquetry.server.http.errors import RequestError
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.openapi import Error
from marquetry.server.payments.key import payments_of

if TYPE_CHECKING:
    from marquetry.server.payments.service import Payer

routes = RouteTable("Payments", PREFIXES)
MONEY = Access(scope="money", fresh=True)
WEBHOOK = Access(public=True, foreign=True)
KEY_HEADER = {"Idempotency-Key": "the same key makes one order, however often it is sent", **OWNER_HEADER}
MAX_WEBHOOK_BYTES = 1 << 20
NOT_SET_UP = {503: Answer("payments are not configured; `details.settings` names what is to be set", Error)}
FAILED = {409: Answer("the provider refused or can't be reached, or it can't be done as things stand", Error)}
EVENT = {
    200: Answer("it is taken; the same again changes nothing", Taken),
    400: Answer("it is not signed by the provider, or is too old", Error),
    **NOT_SET_UP,
}


@routes.post(
    "/credits/purchase",
    "Buy a pack of credits",
    body=Purchase,
    headers=KEY_HEADER,
    access=MONEY,
    also=("/api/credits/purchase",),
    answers={201: Answer("the order, and the page on which it is paid", OrderModel), **FAILED, **NOT_SET_UP},
)
async def purchase(request: web.Request) -> web.Response:
    """The price is the pack's own. Credits come once, when the provider says that it was paid as ordered."""
    body, payer = await read_model(request, Purchase), await _payer(request)
    from marquetry.server.payments.service import Choice
    from marquetry.server.payments.shown import order_model

    choice = Choice(body.currency or "", body.provider, _key(request), body.return_path)
    return json_answer(order_model(await payments_of(request).purchase(payer, body.pack, choice)), 201)


@routes.get(
    "/payments/orders/{order_id}",
    "How an order stands",
    headers=OWNER_HEADER,
    answers={200: Answer("the order", OrderModel)},
)
async def order(request: web.Request) -> web.Response:
    from marquetry.marketplace.payments.orders import get
    from marquetry.server.payments.shown import order_model

    found = await payments_of(request).desk.read(get, request.match_info["order_id"], caller_of(request).owner)
    return json_answer(order_model(found))


@routes.get(
    "/payments/options", "Who takes which money", access=Access(public=True), answers={200: Answer("packs and providers", PaymentOptions)}
)
async def options(request: web.Request) -> web.Response:
    """Says of providers without keys what is to be set."""
    from marquetry.marketplace.plans.packs import shipped_packs

    desk = payments_of(request).desk
    packs = shipped_packs()
    currencies = sorted({currency for pack in packs for currency in pack.prices} | {name for plan in desk.plans for name in plan.prices})
    shown = [
        ProviderState(name=name, title=kind.title, configured=not desk.missing(name), missing=desk.missing(name))
        for name, kind in desk.kinds.items()
    ]
    models = [PackModel(id=pack.id, microcredits=pack.microcredits, prices=dict(pack.prices)) for pack in packs]
    return json_answer(PaymentOptions(packs=models, providers=shown, currencies=desk.takes(currencies)))


@routes.post(
    "/payments/create-subscription",
    "Subscribe to a plan",
    body=Subscribe,
    headers=KEY_HEADER,
    access=MONEY,
    also=("/api/payments/create-subscription",),
    answers={201: Answer("the order, and the page on which it is paid", OrderModel), **FAILED, **NOT_SET_UP},
)
async def create_subscription(request: web.Request) -> web.Response:
    """The plan holds once its first period was paid."""
    body, payer = await read_model(request, Subscribe), await _payer(request)
    from marquetry.server.payments.service import Choice
    from marquetry.server.payments.shown import order_model

    choice = Choice(body.currency or "", body.provider, _key(request), body.return_path)
    return json_answer(order_model(await payments_of(request).subscribe(payer, body.plan, body.interval, choice)), 201)


@routes.post(
    "/payments/cancel-subscription",
    "Cancel the subscription",
    headers=OWNER_HEADER,
    access=MONEY,
    also=("/api/payments/cancel-subscription",),
    answers={200: Answer("it ends with what was paid for", SubscriptionState), **FAILED, **NOT_SET_UP},
)
async def cancel_subscription(request: web.Request) -> web.Response:
    from marquetry.server.payments.shown import subscription_model

    return json_answer(subscription_model(await payments_of(request).cancel(await _payer(request))))


@routes.post(
    "/payments/resume-subscription",
    "Take a cancellation back",
    headers=OWNER_HEADER,
    access=MONEY,
    answers={200: Answer("it goes on", SubscriptionState), **FAILED, **NOT_SET_UP},
)
async def resume_subscription(request: web.Request) -> web.Response:
    from marquetry.server.payments.shown import subscription_model

    return json_answer(subscription_model(await payments_of(request).resume(await _payer(request))))


@routes.post(
    "/payments/change-subscription",
    "Take another plan",
    body=ChangePlan,
    headers=OWNER_HEADER,
    access=MONEY,
    answers={200: Answer("a dearer plan holds at once, a cheaper one from the next period on", SubscriptionState), **FAILED, **NOT_SET_UP},
)
async def change_subscription(request: web.Request) -> web.Response:
    body = await read_model(request, ChangePlan)
    from marquetry.server.payments.shown import subscription_model

    known, page = await payments_of(request).change(await _payer(request), body.plan)
    return json_answer(subscription_model(known, page))


@routes.post(
    "/payments/portal",
    "The provider's page for cards and subscriptions",
    headers=OWNER_HEADER,
    access=MONEY,
    answers={200: Answer("lead the caller there", Page), **FAILED, **NOT_SET_UP},
)
async def portal(request: web.Request) -> web.Response:
    return json_answer(Page(url=await payments_of(request).portal(await _payer(request))))


@routes.post("/payments/webhook", "Events of providers", access=WEBHOOK, also=("/api/payments/webhook",), answers=EVENT)
async def webhook(request: web.Request) -> web.Response:
    """Whose it is shows in the header with the signature."""
    return await _take(request, payments_of(request).desk.of_webhook(request.headers))


@routes.post(
    "/payments/webhook/{provider}", "Events of one provider", access=WEBHOOK, also=("/api/payments/webhook/{provider}",), answers=EVENT
)
async def webhook_of(request: web.Request) -> web.Response:
    return await _take(request, request.match_info["provider"])


@routes.post(
    "/payments/connect",
    "Set an account for payouts up",
    headers=OWNER_HEADER,
    access=MONEY,
    answers={200: Answer("lead the creator there", Page), **FAILED, **NOT_SET_UP},
)
async def connect(request: web.Request) -> web.Response:
    """The page of Stripe Connect on which a creator says where earnings go. It can be asked for again."""
    from marquetry.server.payments.transfers import onboard

    payer = await _payer(request)
    return json_answer(Page(url=await onboard(payments_of(request).desk, payer.owner, payer.email)))


@routes.get(
    "/payments/connect",
    "How the account for payouts stands",
    headers=OWNER_HEADER,
    answers={200: Answer("the account", PayoutAccountModel)},
)
async def connected(request: web.Request) -> web.Response:
    from marquetry.marketplace.payments.errors import UnknownPayoutAccount
    from marquetry.server.payments.transfers import account_of

    found = await account_of(payments_of(request).desk, caller_of(request).owner)
    if found is None:
        raise UnknownPayoutAccount("there is no account for payouts yet; POST here begins one")
    shown = {name: getattr(found, name) for name in PayoutAccountModel.model_fields}
    return json_answer(PayoutAccountModel(**shown))


async def _take(request: web.Request, provider: str) -> web.Response:
    body = await read_bytes(request, MAX_WEBHOOK_BYTES)
    return json_answer(Taken(outcome=await payments_of(request).webhook(provider, request.headers, body)))


async def _payer(request: web.Request) -> Payer:
    from marquetry.marketplace.accounts.people import find_person
    from marquetry.server.payments.service import Payer

    owner = caller_of(request).owner
    person = await payments_of(request).desk.read(find_person, owner)
    return Payer(owner, "" if person is None else person.email or "")


def _key(request: web.Request) -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > 256:
        raise RequestError("an Idempotency-Key has at most 256 characters")
    return key
