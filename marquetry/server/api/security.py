"""Security of an account: password, e-mail, second factor, and what happened around it."""

from __future__ import annotations

from aiohttp import web

from marquetry.server.accounts.key import accounts_of
from marquetry.server.api.account_models import (
    CodeProof,
    Done,
    Email,
    EmailChange,
    Events,
    EventsQuery,
    FullProof,
    NewPassword,
    PasswordChange,
    Proof,
    RecoveryCodes,
    SecondFactorSetup,
    Sent,
    Token,
    read_small,
)
from marquetry.server.api.auth import CSRF, PREFIXES
from marquetry.server.caller import caller_of, require_person
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable

routes = RouteTable("Security", PREFIXES)
RESET = Access(public=True, rate="reset")
PROVING = Access(scope="account", person=True, fresh=True, rate="sign_in")
RESET_SENT = "if this address has an account, a mail with a link is on its way to it"


@routes.post(
    "/auth/password", "Change the password", body=PasswordChange, headers=CSRF, access=PROVING, answers={200: Answer("changed", Done)}
)
async def change_password(request: web.Request) -> web.Response:
    """The other sessions end."""
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, PasswordChange)
    from marquetry.server.accounts import registration
    from marquetry.server.accounts.handing_out import place_of

    place = place_of(accounts, request)
    await registration.change_password(accounts, caller.owner, caller.session_id, body.current, body.password, place)
    return json_answer(Done())


@routes.post(
    "/auth/forgot-password", "Ask for a new password", body=Email, access=RESET, answers={202: Answer("the same for all addresses", Sent)}
)
async def forgot_password(request: web.Request) -> web.Response:
    accounts, body = accounts_of(request), await read_small(request, Email)
    from marquetry.marketplace.accounts.email_address import checked_email
    from marquetry.server.accounts import registration
    from marquetry.server.accounts.handing_out import place_of

    registration.ask_reset(accounts, checked_email(body.email), place_of(accounts, request))
    return json_answer(Sent(status=RESET_SENT), 202)


@routes.post(
    "/auth/reset-password", "Set a password with a mailed link", body=NewPassword, access=RESET, answers={200: Answer("set", Done)}
)
async def reset_password(request: web.Request) -> web.Response:
    """All sessions end; API keys go on."""
    accounts, body = accounts_of(request), await read_small(request, NewPassword)
    from marquetry.server.accounts import registration
    from marquetry.server.accounts.handing_out import place_of

    await registration.reset_password(accounts, body.token, body.password, place_of(accounts, request))
    return json_answer(Done())


@routes.post(
    "/auth/email", "Ask for another e-mail address", body=EmailChange, headers=CSRF, access=PROVING, answers={202: Answer("mailed", Sent)}
)
async def change_email(request: web.Request) -> web.Response:
    """It is taken once the link that is mailed there was followed."""
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, EmailChange)
    from marquetry.server.accounts import registration
    from marquetry.server.accounts.handing_out import place_of

    await registration.ask_new_email(accounts, caller.owner, body.password, body.email, place_of(accounts, request))
    return json_answer(Sent(status="a mail with a link is on its way to the new address"), 202)


@routes.post(
    "/auth/email/confirm", "Take another e-mail address with a mailed link", body=Token, access=RESET, answers={200: Answer("done", Done)}
)
async def confirm_new_email(request: web.Request) -> web.Response:
    accounts, body = accounts_of(request), await read_small(request, Token)
    from marquetry.server.accounts import registration
    from marquetry.server.accounts.handing_out import place_of

    await registration.change_email(accounts, body.token, place_of(accounts, request))
    return json_answer(Done())


@routes.post(
    "/auth/second-factor/setup",
    "Begin to set up an authenticator app",
    body=Proof,
    headers=CSRF,
    access=PROVING,
    answers={200: Answer("what the app reads", SecondFactorSetup)},
)
async def set_up(request: web.Request) -> web.Response:
    """It counts once a code of it was shown."""
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, Proof)
    from marquetry.server.accounts import factors
    from marquetry.server.accounts.handing_out import place_of

    answer = await factors.set_up(accounts, caller.owner, body.password, place_of(accounts, request))
    return json_answer(answer, headers={"Cache-Control": "no-store"})


@routes.post(
    "/auth/second-factor/confirm",
    "Finish setting up an authenticator app",
    body=CodeProof,
    headers=CSRF,
    access=PROVING,
    answers={200: Answer("codes for the day on which the app is lost", RecoveryCodes)},
)
async def confirm(request: web.Request) -> web.Response:
    """From now on a code is asked for at each sign-in."""
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, CodeProof)
    from marquetry.server.accounts import factors
    from marquetry.server.accounts.handing_out import place_of

    codes = await factors.confirm(accounts, caller, body.code, place_of(accounts, request))
    return json_answer(RecoveryCodes(recovery_codes=codes), headers={"Cache-Control": "no-store"})


@routes.post(
    "/auth/second-factor/recovery-codes",
    "New recovery codes",
    body=FullProof,
    headers=CSRF,
    access=PROVING,
    answers={200: Answer("they take the place of the old ones", RecoveryCodes)},
)
async def renew_codes(request: web.Request) -> web.Response:
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, FullProof)
    from marquetry.server.accounts import factors
    from marquetry.server.accounts.handing_out import place_of

    codes = await factors.renew_codes(accounts, caller.owner, body.password, body.code, place_of(accounts, request))
    return json_answer(RecoveryCodes(recovery_codes=codes), headers={"Cache-Control": "no-store"})


@routes.post(
    "/auth/second-factor/remove",
    "Ask for no code any more",
    body=FullProof,
    headers=CSRF,
    access=PROVING,
    answers={200: Answer("done", Done)},
)
async def remove(request: web.Request) -> web.Response:
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, FullProof)
    from marquetry.server.accounts import factors
    from marquetry.server.accounts.handing_out import place_of

    await factors.remove(accounts, caller.owner, body.password, body.code, place_of(accounts, request))
    return json_answer(Done())


@routes.get("/security/events", "What happened around one's account", query=EventsQuery, answers={200: Answer("newest first", Events)})
async def events(request: web.Request) -> web.Response:
    """Sign-ins, wrong passwords, changes of keys, acts of admins."""
    accounts, caller, query = accounts_of(request), caller_of(request), read_query(request, EventsQuery)
    from marquetry.server.accounts.views import events_seen

    return json_answer(Events(events=await events_seen(accounts, caller.owner, query)))


@routes.get(
    "/admin/security/events",
    "What happened around all accounts",
    query=EventsQuery,
    access=Access(permission="users.see", scope="admin", fresh=True),
    answers={200: Answer("newest first", Events)},
)
async def all_events(request: web.Request) -> web.Response:
    accounts, query = accounts_of(request), read_query(request, EventsQuery)
    from marquetry.server.accounts.views import events_seen

    return json_answer(Events(events=await events_seen(accounts, None, query)))
