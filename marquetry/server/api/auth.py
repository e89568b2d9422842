"""Auth: register, sign in, go on, sign out, and what there is to know of oneself."""

from __future__ import annotations

from aiohttp import web

from marquetry.marketplace.accounts.errors import AccountMissing
from marquetry.server.accounts.key import ACCOUNTS, accounts_of
from marquetry.server.api.account_models import (
    ChallengeAnswer,
    Done,
    LogIn,
    LogOutEverywhere,
    Me,
    Options,
    ProviderView,
    Refresh,
    Registration,
    Sent,
    Sessions,
    SignedIn,
    Ticket,
    Token,
    read_small,
)
from marquetry.server.caller import caller_of, require_person
from marquetry.server.http.access import PUBLIC, Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import SETTINGS

PREFIXES = ("/api/v1", "/api", "")
routes = RouteTable("Sign-in", PREFIXES)
SIGN_IN = Access(public=True, rate="sign_in")
OWN = Access(scope="account", person=True)
CONFIRM = "if this address can have an account, a mail with a link is on its way to it"
CSRF = {"X-CSRF-Token": "the value of the cookie mq_csrf, where cookies vouch for the request"}


@routes.get("/auth/options", "How one can sign in here", access=PUBLIC, answers={200: Answer("ways and rules", Options)})
async def options(request: web.Request) -> web.Response:
    """Also on a server without accounts, which says so."""
    from marquetry.marketplace.accounts.password_policy import MIN_CHARACTERS
    from marquetry.server.accounts.cookies import CSRF_COOKIE, CSRF_HEADER

    settings = request.app[SETTINGS].accounts
    sites = [
        ProviderView(id=name, title=site.title or name.capitalize(), url=f"/api/v1/auth/oauth/{name}")
        for name, site in settings.providers.items()
    ]
    return json_answer(
        Options(
            accounts=settings.enabled,
            registration=settings.registration,
            confirm_email=settings.confirm_email,
            providers=sites if settings.enabled else [],
            password_min_characters=MIN_CHARACTERS,
            csrf_header=CSRF_HEADER,
            csrf_cookie=CSRF_COOKIE,
        )
    )


@routes.post(
    "/auth/register",
    "Make an account",
    body=Registration,
    access=Access(public=True, rate="register"),
    answers={202: Answer("a mail is on its way", Sent), 201: Answer("made, and signed in, where e-mails need no confirming", SignedIn)},
)
async def register(request: web.Request) -> web.Response:
    """The answer is the same for an e-mail that has an account already; its owner is told by mail."""
    accounts, body = accounts_of(request), await read_small(request, Registration)
    from marquetry.server.accounts import registration
    from marquetry.server.accounts.handing_out import hand_out, place_of

    tokens = await registration.register(accounts, body.email, body.password, body.name, place_of(accounts, request))
    if tokens is None:
        return json_answer(Sent(status=CONFIRM), 202)
    return hand_out(accounts, request, tokens, cookies=body.cookies, status=201)


@routes.post("/auth/confirm-email", "Confirm an e-mail with a mailed link", body=Token, access=SIGN_IN, answers={200: Answer("done", Done)})
async def confirm_email(request: web.Request) -> web.Response:
    """Now the account is there, and can be signed in to."""
    accounts, body = accounts_of(request), await read_small(request, Token)
    from marquetry.server.accounts import registration
    from marquetry.server.accounts.handing_out import place_of

    await registration.confirm_email(accounts, body.token, place_of(accounts, request))
    return json_answer(Done())


@routes.post("/auth/login", "Sign in", body=LogIn, access=SIGN_IN, answers={200: Answer("tokens", SignedIn)})
async def log_in(request: web.Request) -> web.Response:
    """Where a second factor is set up and no code came, the error second_factor_required has a challenge for the next step."""
    accounts, body = accounts_of(request), await read_small(request, LogIn)
    from marquetry.server.accounts import sign_in
    from marquetry.server.accounts.handing_out import hand_out, place_of

    tokens = await sign_in.log_in(accounts, body.email, body.password, body.code, place_of(accounts, request))
    return hand_out(accounts, request, tokens, cookies=body.cookies)


@routes.post(
    "/auth/login/second-factor", "Finish signing in", body=ChallengeAnswer, access=SIGN_IN, answers={200: Answer("tokens", SignedIn)}
)
async def answer_challenge(request: web.Request) -> web.Response:
    accounts, body = accounts_of(request), await read_small(request, ChallengeAnswer)
    from marquetry.server.accounts import sign_in
    from marquetry.server.accounts.handing_out import hand_out, place_of

    tokens = await sign_in.answer_challenge(accounts, body.challenge, body.code, place_of(accounts, request))
    return hand_out(accounts, request, tokens, cookies=body.cookies)


@routes.post(
    "/auth/refresh",
    "Go on with a session",
    body=Refresh,
    body_required=False,
    headers=CSRF,
    access=PUBLIC,
    answers={200: Answer("new tokens; the old refresh token is good no more", SignedIn)},
)
async def refresh(request: web.Request) -> web.Response:
    """A refresh token that comes a second time ends the session: somebody else may have had it."""
    accounts, body = accounts_of(request), await read_small(request, Refresh)
    from marquetry.server.accounts import sign_in
    from marquetry.server.accounts.handing_out import hand_out, place_of, refresh_token_of

    token, from_cookie = refresh_token_of(request, body.refresh_token)
    tokens = await sign_in.refresh(accounts, token, place_of(accounts, request))
    return hand_out(accounts, request, tokens, cookies=from_cookie)


@routes.post(
    "/auth/logout", "Sign out", body=Refresh, body_required=False, headers=CSRF, access=PUBLIC, answers={200: Answer("signed out", Done)}
)
async def log_out(request: web.Request) -> web.Response:
    """Ends the session of whatever is shown: access token, cookies, or the refresh token in the body. Cookies are taken away."""
    accounts, body = accounts_of(request), await read_small(request, Refresh)
    from marquetry.server.accounts import sign_in
    from marquetry.server.accounts.cookies import clear_cookies
    from marquetry.server.accounts.handing_out import place_of, session_of

    session = await session_of(accounts, request, body.refresh_token)
    if session is not None:
        await sign_in.log_out(accounts, session[0], session[1], place_of(accounts, request))
    answer = json_answer(Done())
    clear_cookies(accounts, request, answer)
    return answer


@routes.post(
    "/auth/logout-everywhere",
    "Sign out of all sessions",
    body=LogOutEverywhere,
    body_required=False,
    headers=CSRF,
    access=OWN,
    answers={200: Answer("signed out", Done)},
)
async def log_out_everywhere(request: web.Request) -> web.Response:
    accounts, caller, body = accounts_of(request), require_person(request), await read_small(request, LogOutEverywhere)
    from marquetry.server.accounts import sign_in
    from marquetry.server.accounts.handing_out import place_of

    but = caller.session_id if body.keep_this else None
    await sign_in.log_out_everywhere(accounts, caller.owner, place_of(accounts, request), but=but)
    return json_answer(Done())


@routes.get("/auth/me", "Who calls", answers={200: Answer("the caller", Me)})
async def me(request: web.Request) -> web.Response:
    """On a server without accounts: its only user."""
    caller, accounts = caller_of(request), request.app.get(ACCOUNTS)
    said = Me(
        id=caller.owner,
        accounts=accounts is not None,
        roles=sorted(caller.roles),
        dormant_roles=sorted(caller.dormant),
        scopes=sorted(caller.scopes),
        key_id=caller.key_id,
        session_id=caller.session_id,
        signed_in_with_second_factor=caller.second_factor,
    )
    if accounts is None:
        return json_answer(said)
    from marquetry.server.accounts.views import with_person

    return json_answer(await with_person(accounts, said))


@routes.get("/auth/sessions", "Where one is signed in", access=OWN, answers={200: Answer("sessions, newest first", Sessions)})
async def list_sessions(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), require_person(request)
    from marquetry.server.accounts.views import sessions_seen_by

    return json_answer(Sessions(sessions=await sessions_seen_by(accounts, caller)))


@routes.delete(
    "/auth/sessions/{session_id}", "Sign out of one session", headers=CSRF, access=OWN, answers={200: Answer("signed out", Done)}
)
async def end_session(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), require_person(request)
    from marquetry.server.accounts import sign_in
    from marquetry.server.accounts.handing_out import place_of

    if not await sign_in.log_out(accounts, request.match_info["session_id"], caller.owner, place_of(accounts, request)):
        raise AccountMissing("there is no such session of yours, or it is over already")
    return json_answer(Done())


@routes.post("/auth/ticket", "A ticket for a WebSocket", headers=CSRF, access=Access(scope="read"), answers={200: Answer("it", Ticket)})
async def ticket(request: web.Request) -> web.Response:
    """For programs that can't set headers when they open a socket, such as pages of other sites."""
    accounts, caller = accounts_of(request), caller_of(request)
    from marquetry.marketplace.accounts import one_time
    from marquetry.marketplace.accounts.one_time import LASTING_MS, Purpose

    holds = {"key": caller.key_id} if caller.key_id is not None else {"session": caller.session_id}
    token = await accounts.write(one_time.issue, Purpose.SOCKET, accounts.clock_ms(), **holds)
    return json_answer(Ticket(ticket=token, expires_in_s=LASTING_MS[Purpose.SOCKET] // 1000))
