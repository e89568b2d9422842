"""Sign-in through other sites: out to the site and back. Pages lead here; what went wrong is told to the page that the browser comes back to."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web
from pydantic import Field

from marquetry.marketplace.errors import MarketError
from marquetry.server.accounts.key import accounts_of
from marquetry.server.api.account_models import Done, Plain
from marquetry.server.api.auth import CSRF
from marquetry.server.caller import require_person
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import check, read_query
from marquetry.server.http.routes import Answer, RouteTable

routes = RouteTable("Sign-in through other sites", ("/api/v1",))
LEAVE = Access(public=True, rate="sign_in")
COME_BACK = Access(public=True, rate="sign_in", foreign=True)
LINK = Access(scope="account", person=True, fresh=True)
BINDING_COOKIE = "mq_oauth"
LASTING_S = 600


class Onward(Plain):
    next: str = Field(default="/", max_length=1000, description="page of this server to go to in the end")


class ComingBack(Plain):
    state: str = Field(default="", max_length=500)
    code: str = Field(default="", max_length=1500)
    error: str = Field(default="", max_length=200)


class Address(Plain):
    url: str = Field(description="where to send the browser")


@routes.get(
    "/auth/oauth/{provider}",
    "Sign in through a site",
    query=Onward,
    access=LEAVE,
    answers={302: Answer("to the site", headers={"Location": "the site"})},
)
async def leave(request: web.Request) -> web.Response:
    accounts, query = accounts_of(request), read_query(request, Onward)
    from marquetry.server.accounts import site_sign_in

    departure = await site_sign_in.depart(accounts, request.match_info["provider"], query.next)
    answer = web.Response(status=302, headers={"Location": departure.url, "Cache-Control": "no-store"})
    _bind(answer, departure.binding, posts_back=departure.posts_back, secure=accounts.public_url.startswith("https:"))
    return answer


@routes.post(
    "/auth/oauth/{provider}/link",
    "Link a site to one's account",
    query=Onward,
    headers=CSRF,
    body_required=False,
    access=LINK,
    answers={200: Answer("where to go", Address)},
)
async def link(request: web.Request) -> web.Response:
    accounts, caller, query = accounts_of(request), require_person(request), read_query(request, Onward)
    from marquetry.server.accounts import site_sign_in

    departure = await site_sign_in.depart(accounts, request.match_info["provider"], query.next, link_to=caller.owner)
    answer = json_answer(Address(url=departure.url), headers={"Cache-Control": "no-store"})
    _bind(answer, departure.binding, posts_back=departure.posts_back, secure=accounts.public_url.startswith("https:"))
    return answer


@routes.delete("/auth/oauth/{provider}/link", "Unlink a site", headers=CSRF, access=LINK, answers={200: Answer("unlinked", Done)})
async def unlink(request: web.Request) -> web.Response:
    """Refused where nothing would be left to sign in with."""
    accounts, caller, provider = accounts_of(request), require_person(request), request.match_info["provider"]
    from marquetry.marketplace.accounts import identities
    from marquetry.server.accounts.handing_out import place_of

    await accounts.write(identities.unlink, caller.owner, provider)
    await accounts.note("identity_unlinked", place_of(accounts, request), owner=caller.owner, actor=caller.owner, provider=provider)
    return json_answer(Done())


@routes.get(
    "/auth/oauth/{provider}/callback",
    "Come back from a site",
    query=ComingBack,
    access=COME_BACK,
    answers={302: Answer("to the page that was asked for, signed in by cookies; or with #sign_in_error= or #challenge=")},
)
async def come_back(request: web.Request) -> web.Response:
    return await _come_back(request, read_query(request, ComingBack))


@routes.post(
    "/auth/oauth/{provider}/callback",
    "Come back from a site that posts",
    body=ComingBack,
    body_type="application/x-www-form-urlencoded",
    access=COME_BACK,
    answers={302: Answer("as with GET")},
)
async def come_back_posting(request: web.Request) -> web.Response:
    return await _come_back(request, check(ComingBack, dict(await request.post()), "body"))


async def _come_back(request: web.Request, said: ComingBack) -> web.Response:
    accounts, name = accounts_of(request), request.match_info["provider"]
    from marquetry.server.accounts import sign_in, site_sign_in
    from marquetry.server.accounts.cookies import set_cookies
    from marquetry.server.accounts.handing_out import place_of

    place, binding = place_of(accounts, request), request.cookies.get(BINDING_COOKIE, "")
    try:
        if said.error or not said.code:
            return _redirect("/", sign_in_error=said.error or "no_code")
        person, onward = await site_sign_in.arrive(accounts, name, said.state, said.code, binding, place)
        if person is None:
            return _redirect(onward)
        sign_in.check_standing(person)
        if person.has_second_factor:
            error = await sign_in.challenge(accounts, person)
            return _redirect(onward, challenge=str(error.details["challenge"]))
        answer = _redirect(onward)
        set_cookies(accounts, request, answer, await sign_in.open_session(accounts, person, place, how=name))
    except MarketError as error:
        await accounts.note("sign_in_failed", place, how=name, code=error.code)
        answer = _redirect("/", sign_in_error=error.code, message=error.message)
    answer.del_cookie(BINDING_COOKIE, path="/api/v1/auth/oauth")
    return answer


def _redirect(path: str, **told: str) -> web.Response:
    fragment = f"#{urlencode(told)}" if told else ""
    return web.Response(status=302, headers={"Location": f"{path}{fragment}", "Cache-Control": "no-store"})


def _bind(answer: web.Response, binding: str, *, posts_back: bool, secure: bool) -> None:
    """Remember in the browser that it left; a site that posts back reaches only cookies that go along from other sites."""
    same_site = "None" if posts_back else "Lax"
    answer.set_cookie(
        BINDING_COOKIE,
        binding,
        max_age=LASTING_S,
        path="/api/v1/auth/oauth",
        httponly=True,
        secure=secure or posts_back,
        samesite=same_site,
    )
