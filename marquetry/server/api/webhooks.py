"""Webhooks: addresses that are told what happens, what was sent to them, and what could not be."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from marquetry.server.api import PREFIXES
from marquetry.server.automation import deliveries, webhooks
from marquetry.server.automation.errors import AutomationError
from marquetry.server.automation.event import EVENTS, Event
from marquetry.server.automation.service import AUTOMATION
from marquetry.server.automation.signing import checked_secret
from marquetry.server.automation.webhooks import NewWebhook, Webhook, WebhookChange
from marquetry.server.caller import OWNER_HEADER, job_owner, owner_filter
from marquetry.server.database.database import one_by_one
from marquetry.server.http.answer import empty, json_answer
from marquetry.server.http.body import check, read_object, read_query
from marquetry.server.http.outbound import checked_url
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.jobs.live import now_ms
from marquetry.server.jobs.token import lease_token
from marquetry.server.keys import DATABASE, JOBS

routes = RouteTable("Webhooks", PREFIXES)
EventName = Literal[EVENTS]  # type: ignore[valid-type]
_add = one_by_one(webhooks.add_webhook)
_change = one_by_one(webhooks.change_webhook)
_remove = one_by_one(webhooks.remove_webhook)
_resend = one_by_one(deliveries.resend)


def _tell_one(connection: Connection, event: Event) -> int:
    return webhooks.tell(connection, [event])


_tell = one_by_one(_tell_one)


class NewWebhookBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        min_length=1, max_length=2048, description="where messages are sent to; on the open internet, or permitted by the operator"
    )
    events: list[EventName] = Field(default=[], max_length=len(EVENTS), description="what it is told of; of everything when left out")
    description: str = Field(default="", max_length=256)
    secret: str | None = Field(default=None, max_length=128, description="whsec_ and base64 of 24 to 64 bytes; one is made when left out")
    job_id: str | None = Field(default=None, max_length=128, description="the only job that it is told of")


class WebhookChangeBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str | None = Field(default=None, min_length=1, max_length=2048)
    events: list[EventName] | None = Field(default=None, max_length=len(EVENTS))
    description: str | None = Field(default=None, max_length=256)
    enabled: bool | None = Field(default=None, description="false: it is told nothing; true: again, after it was disabled too")


class WebhookModel(BaseModel):
    """A receiver."""

    id: str
    url: str
    events: list[str] = Field(description="what it is told of; empty: everything")
    description: str
    job_id: str | None = None
    enabled: bool
    disabled_reason: str | None = Field(default=None, description="why it was disabled, where that was not by its owner")
    created_ms: int
    old_secret_until_ms: int | None = Field(default=None, description="until then messages are signed with the secret before, too")


class WebhookWithSecret(WebhookModel):
    """A receiver and its secret."""

    secret: str


class WebhookList(BaseModel):
    webhooks: list[WebhookModel]


class DeliveriesQuery(BaseModel):
    state: Literal["pending", "delivered", "dead"] | None = Field(default=None, description="only messages in this state")
    webhook_id: str | None = Field(default=None, max_length=64, description="only messages to this receiver")
    limit: int = Field(default=50, ge=1, le=200)
    offset: int = Field(default=0, ge=0, le=1_000_000_000)


class DeliveryModel(BaseModel):
    """A message. `dead`: it was tried ten times in two hours, or its receiver is disabled; it can be sent again by hand."""

    id: str = Field(description="the webhook-id that the receiver sees, the same at every try")
    webhook_id: str
    type: str
    state: Literal["pending", "delivered", "dead"]
    attempts: int
    next_ms: int | None = Field(default=None, description="when it is tried next")
    created_ms: int
    ended_ms: int | None = None
    last_status: int | None = None
    last_error: str | None = None


class TryModel(BaseModel):
    at_ms: int
    duration_ms: int
    status: int | None = None
    error: str | None = None


class DeliveryDetail(DeliveryModel):
    """A message with its tries and with what is sent."""

    tries: list[TryModel]
    body: dict[str, Any]


class DeliveryList(BaseModel):
    deliveries: list[DeliveryModel]
    total: int
    offset: int
    limit: int


@routes.post(
    "/webhooks",
    "Be told of what happens",
    body=NewWebhookBody,
    headers=OWNER_HEADER,
    also=("/webhooks/subscribe", "/api/v1/webhooks/subscribe"),
    answers={201: Answer("it is told from now on; the secret is what its messages are signed with", WebhookWithSecret)},
)
async def subscribe(request: web.Request) -> web.Response:
    """Messages are signed as Standard Webhooks has it, in the headers webhook-id, webhook-timestamp and webhook-signature. Each is sent at
    least once, with the same id at every try: ten tries within two hours."""
    body = check(NewWebhookBody, await read_object(request), "body")
    owner = job_owner(request)
    new = NewWebhook(
        owner=owner,
        url=str(checked_url(body.url)),
        now_ms=now_ms(),
        events=tuple(body.events),
        description=body.description,
        secret=None if body.secret is None else checked_secret(body.secret),
        job_id=body.job_id,
        limit=(await request.app[JOBS].standing.of(owner)).webhooks,
    )
    automation = request.app[AUTOMATION]
    added: Webhook = await request.app[DATABASE].write(_add, new)
    automation.herald.expect(owner)
    if body.job_id is not None:
        known = await request.app[JOBS].find(body.job_id, owner_filter(request))
        if known is not None:
            await automation.herald.tell(known.id)  # it may have ended already
    return json_answer(_with_secret(added), 201)


@routes.get("/webhooks", "Webhooks", headers=OWNER_HEADER, answers={200: Answer("all of the caller", WebhookList)})
async def list_all(request: web.Request) -> web.Response:
    found = await request.app[DATABASE].read(webhooks.list_webhooks, owner_filter(request))
    return json_answer(WebhookList(webhooks=[WebhookModel(**_fields(webhook)) for webhook in found]))


@routes.get("/webhooks/deliveries", "Messages to webhooks", query=DeliveriesQuery, headers=OWNER_HEADER,
            answers={200: Answer("messages, newest first; state=dead are the dead letters", DeliveryList)})  # fmt: skip
async def list_deliveries(request: web.Request) -> web.Response:
    query = read_query(request, DeliveriesQuery)
    found, total = await request.app[DATABASE].read(
        deliveries.list_deliveries, owner_filter(request), query.webhook_id, query.state, query.limit, query.offset
    )
    shown = [DeliveryModel(**_delivery(delivery)) for delivery in found]
    return json_answer(DeliveryList(deliveries=shown, total=total, offset=query.offset, limit=query.limit))


@routes.get("/webhooks/deliveries/{delivery_id}", "A message to a webhook", headers=OWNER_HEADER,
            answers={200: Answer("the message and its tries", DeliveryDetail)})  # fmt: skip
async def one_delivery(request: web.Request) -> web.Response:
    id = request.match_info["delivery_id"]
    found, tries = await request.app[DATABASE].read(deliveries.find_delivery, id, owner_filter(request))
    shown = [TryModel(at_ms=entry.at_ms, duration_ms=entry.duration_ms, status=entry.status, error=entry.error) for entry in tries]
    return json_answer(DeliveryDetail(**_delivery(found), tries=shown, body=orjson.loads(found.body)))


@routes.post("/webhooks/deliveries/{delivery_id}/resend", "Send a message again", headers=OWNER_HEADER, body_required=False,
             answers={202: Answer("it is sent now, and tried as often as at first", DeliveryModel)})  # fmt: skip
async def resend(request: web.Request) -> web.Response:
    wish = (request.match_info["delivery_id"], owner_filter(request), now_ms())
    sent = await request.app[DATABASE].write(_resend, wish)
    request.app[AUTOMATION].postman.wake()
    return json_answer(DeliveryModel(**_delivery(sent)), 202)


@routes.get("/webhooks/{webhook_id}", "A webhook", headers=OWNER_HEADER, answers={200: Answer("with its secret", WebhookWithSecret)})
async def one(request: web.Request) -> web.Response:
    return json_answer(_with_secret(await _find(request)))


@routes.patch("/webhooks/{webhook_id}", "Change a webhook", body=WebhookChangeBody, headers=OWNER_HEADER,
              answers={200: Answer("as it is now", WebhookModel)})  # fmt: skip
async def change(request: web.Request) -> web.Response:
    body = check(WebhookChangeBody, await read_object(request), "body")
    url = None if body.url is None else str(checked_url(body.url))
    events = None if body.events is None else tuple(body.events)
    wish = WebhookChange(
        request.match_info["webhook_id"], owner_filter(request), now_ms(), url=url, events=events, description=body.description,
        enabled=body.enabled,
    )  # fmt: skip
    changed: Webhook = await request.app[DATABASE].write(_change, wish)
    request.app[AUTOMATION].herald.expect(changed.owner)
    return json_answer(WebhookModel(**_fields(changed)))


@routes.delete("/webhooks/{webhook_id}", "Forget a webhook", headers=OWNER_HEADER, answers={204: Answer("it is told nothing more")})
async def forget(request: web.Request) -> web.Response:
    await request.app[DATABASE].write(_remove, (request.match_info["webhook_id"], owner_filter(request)))
    return empty(204)


@routes.post("/webhooks/{webhook_id}/secret", "Replace a webhook's secret", headers=OWNER_HEADER, body_required=False,
             answers={200: Answer("with the new secret; the old one signs too for a day", WebhookWithSecret)})  # fmt: skip
async def rotate(request: web.Request) -> web.Response:
    wish = WebhookChange(request.match_info["webhook_id"], owner_filter(request), now_ms(), rotate=True)
    return json_answer(_with_secret(await request.app[DATABASE].write(_change, wish)))


@routes.post("/webhooks/{webhook_id}/test", "Try a webhook", headers=OWNER_HEADER, body_required=False,
             answers={202: Answer("a message is sent now", DeliveryModel)})  # fmt: skip
async def send_test(request: web.Request) -> web.Response:
    webhook, now = await _find(request), now_ms()
    key = f"test {lease_token()}"
    event = Event(webhook.owner, "webhook.test", key, {"webhook_id": webhook.id, "message": "it works"}, now)
    database = request.app[DATABASE]
    if not webhook.enabled:
        raise AutomationError("the webhook is disabled; enable it first")
    await database.write(_tell, event)
    id = webhooks.delivery_id(webhook.id, key)
    found, _ = await database.read(deliveries.find_delivery, id, webhook.owner)
    request.app[AUTOMATION].postman.wake()
    return json_answer(DeliveryModel(**_delivery(found)), 202)


async def _find(request: web.Request) -> Webhook:
    return await request.app[DATABASE].read(webhooks.find_webhook, request.match_info["webhook_id"], owner_filter(request))


def _fields(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "description": webhook.description,
        "job_id": webhook.job_id,
        "enabled": webhook.enabled,
        "disabled_reason": webhook.disabled_reason,
        "created_ms": webhook.created_ms,
        "old_secret_until_ms": webhook.old_until_ms,
    }


def _with_secret(webhook: Webhook) -> WebhookWithSecret:
    return WebhookWithSecret(**_fields(webhook), secret=webhook.secret)


def _delivery(delivery: deliveries.Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "webhook_id": delivery.webhook_id,
        "type": delivery.type,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_ms": delivery.next_ms if delivery.state == "pending" else None,
        "created_ms": delivery.created_ms,
        "ended_ms": delivery.ended_ms,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
    }
