"""Users: one's own profile, and what admins do with accounts. Every act of an admin is a security event of the person that it concerns."""

from __future__ import annotations

from aiohttp import web

from marquetry.server.accounts.key import accounts_of
from marquetry.server.api.account_models import Done, Keys, MadeKey, Profile, ProfileChange, read_small
from marquetry.server.api.admin_models import (
    ApplicationBody,
    Applications,
    ApplicationView,
    NewServiceToken,
    Roles,
    Suspension,
    Users,
    UsersQuery,
    UserView,
)
from marquetry.server.api.auth import CSRF
from marquetry.server.caller import caller_of
from marquetry.server.http.access import Access
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable

PREFIXES = ("/api/v1", "/api")
profile_routes = RouteTable("Users", PREFIXES)
SEE = Access(permission="users.see", scope="admin", fresh=True)
MANAGE = Access(permission="users.manage", scope="admin", fresh=True)
admin_routes = RouteTable("Admin", PREFIXES, access=MANAGE)


@profile_routes.get("/user/profile", "One's profile", answers={200: Answer("the profile", Profile)})
async def profile(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), caller_of(request)
    from marquetry.marketplace.accounts import people
    from marquetry.server.accounts.views import profile_view

    return json_answer(profile_view(await accounts.read(people.person, caller.owner)))


@profile_routes.put(
    "/user/profile",
    "Change one's profile",
    body=ProfileChange,
    headers=CSRF,
    access=Access(scope="account"),
    answers={200: Answer("the profile", Profile)},
)
async def change_profile(request: web.Request) -> web.Response:
    """What the body does not name stays as it is."""
    accounts, caller, body = accounts_of(request), caller_of(request), await read_small(request, ProfileChange)
    from marquetry.server.accounts import administration
    from marquetry.server.accounts.views import profile_view

    return json_answer(profile_view(await administration.change_profile(accounts, caller.owner, body)))


@admin_routes.get("/admin/users", "Accounts", query=UsersQuery, access=SEE, answers={200: Answer("accounts, newest first", Users)})
async def list_users(request: web.Request) -> web.Response:
    accounts, query = accounts_of(request), read_query(request, UsersQuery)
    from marquetry.marketplace.accounts import people
    from marquetry.server.accounts.views import user_view

    found, total = await accounts.read(people.search_people, query.q, limit=query.limit, offset=query.offset)
    return json_answer(Users(users=[user_view(person) for person in found], total=total))


@admin_routes.get("/admin/users/{user_id}", "An account", access=SEE, answers={200: Answer("the account", UserView)})
async def one_user(request: web.Request) -> web.Response:
    accounts = accounts_of(request)
    from marquetry.marketplace.accounts import people
    from marquetry.server.accounts.views import user_view

    return json_answer(user_view(await accounts.read(people.person, request.match_info["user_id"])))


@admin_routes.put("/admin/users/{user_id}/roles", "Give roles", body=Roles, headers=CSRF, answers={200: Answer("the account", UserView)})
async def set_roles(request: web.Request) -> web.Response:
    """Exactly these, and `user`."""
    accounts, caller, body = accounts_of(request), caller_of(request), await read_small(request, Roles)
    from marquetry.server.accounts import administration
    from marquetry.server.accounts.handing_out import place_of
    from marquetry.server.accounts.views import user_view

    user_id = request.match_info["user_id"]
    return json_answer(user_view(await administration.set_roles(accounts, caller, user_id, body.roles, place_of(accounts, request))))


@admin_routes.put(
    "/admin/users/{user_id}/suspension",
    "Suspend an account, or restore it",
    body=Suspension,
    headers=CSRF,
    answers={200: Answer("the account", UserView)},
)
async def set_suspension(request: web.Request) -> web.Response:
    """Sessions end at once; keys are good for nothing while it lasts."""
    accounts, caller, body = accounts_of(request), caller_of(request), await read_small(request, Suspension)
    from marquetry.server.accounts import administration
    from marquetry.server.accounts.handing_out import place_of
    from marquetry.server.accounts.views import user_view

    user_id = request.match_info["user_id"]
    return json_answer(user_view(await administration.set_suspension(accounts, caller, user_id, body, place_of(accounts, request))))


@admin_routes.post(
    "/admin/users/{user_id}/logout", "End an account's sessions", headers=CSRF, body_required=False, answers={200: Answer("ended", Done)}
)
async def end_sessions(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), caller_of(request)
    from marquetry.marketplace.accounts import people
    from marquetry.server.accounts import sign_in
    from marquetry.server.accounts.handing_out import place_of

    person = await accounts.read(people.person, request.match_info["user_id"])
    await sign_in.log_out_everywhere(accounts, person.id, place_of(accounts, request), actor=caller.owner)
    return json_answer(Done())


@admin_routes.get("/admin/service-tokens", "Service tokens", answers={200: Answer("tokens, newest first", Keys)})
async def list_tokens(request: web.Request) -> web.Response:
    """They belong to no person: other services call with them."""
    accounts = accounts_of(request)
    from marquetry.marketplace.accounts import api_keys
    from marquetry.marketplace.accounts.roles import SCOPES
    from marquetry.server.accounts.views import key_view

    found = await accounts.read(api_keys.keys_of, None)
    return json_answer(Keys(keys=[key_view(key) for key in found], scopes=dict(SCOPES)))


@admin_routes.post(
    "/admin/service-tokens", "Make a service token", body=NewServiceToken, headers=CSRF, answers={201: Answer("it, this one time", MadeKey)}
)
async def make_token(request: web.Request) -> web.Response:
    accounts, caller, body = accounts_of(request), caller_of(request), await read_small(request, NewServiceToken)
    from marquetry.server.accounts import key_making
    from marquetry.server.accounts.handing_out import place_of

    made = await key_making.make_service_token(accounts, caller.owner, body, place_of(accounts, request))
    return json_answer(made, 201, {"Cache-Control": "no-store"})


@admin_routes.delete("/admin/service-tokens/{key_id}", "Revoke a service token", headers=CSRF, answers={200: Answer("revoked", Done)})
async def revoke_token(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), caller_of(request)
    from marquetry.server.accounts import key_making
    from marquetry.server.accounts.handing_out import place_of

    await key_making.revoke(accounts, None, caller.owner, request.match_info["key_id"], place_of(accounts, request))
    return json_answer(Done())


@admin_routes.get("/admin/applications", "Applications that people sign in to from here", answers={200: Answer("all", Applications)})
async def list_applications(request: web.Request) -> web.Response:
    accounts = accounts_of(request)
    from marquetry.marketplace.accounts import sso
    from marquetry.server.accounts.views import application_view

    found = await accounts.read(sso.clients)
    return json_answer(Applications(applications=[application_view(client) for client in found]))


@admin_routes.post(
    "/admin/applications", "Register an application", body=ApplicationBody, headers=CSRF, answers={201: Answer("it", ApplicationView)}
)
async def add_application(request: web.Request) -> web.Response:
    """Its secret is shown this one time."""
    accounts, caller, body = accounts_of(request), caller_of(request), await read_small(request, ApplicationBody)
    from marquetry.server.accounts import administration
    from marquetry.server.accounts.handing_out import place_of

    view = await administration.add_application(accounts, caller, body, place_of(accounts, request))
    return json_answer(view, 201, {"Cache-Control": "no-store"})


@admin_routes.delete("/admin/applications/{client_id}", "Remove an application", headers=CSRF, answers={200: Answer("removed", Done)})
async def remove_application(request: web.Request) -> web.Response:
    accounts, caller = accounts_of(request), caller_of(request)
    from marquetry.server.accounts import administration
    from marquetry.server.accounts.handing_out import place_of

    await administration.remove_application(accounts, caller, request.match_info["client_id"], place_of(accounts, request))
    return json_answer(Done())
