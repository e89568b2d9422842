"""Sign-in through other sites, at a real issuer on loopback that signs with RS256; sign-in for other applications; Clerk's webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import jwt
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from marquetry.marketplace.accounts import people
from marquetry.marketplace.accounts.sso import challenge_of
from tests.server.issuer import CLIENT_ID, CLIENT_SECRET, Issuer, issuing, parts_of
from tests.server.peer import Peer
from tests.server.people import Somebody, accounts, add, with_accounts

VERIFIER = "a-verifier-that-is-long-enough-for-the-standard-0123"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as running:
        yield running


@pytest_asyncio.fixture
async def peer(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Peer]:
    site = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "issuer": issuer.address}
    settings = {
        "providers": {"site": {**site, "title": "The Site"}, "github": site, "gone": {**site, "issuer": "http://127.0.0.1:1"}},
        "clerk_webhook_secret": WEBHOOK_SECRET,
    }
    async with with_accounts(tmp_path / "data", settings=settings) as running:
        accounts(running).public_url = running.address
        yield running


@pytest_asyncio.fixture
async def browser(peer: Peer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(peer.address, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def step(browser: aiohttp.ClientSession, url: str) -> str:
    """Follow one address; where it leads."""
    async with browser.get(url, allow_redirects=False) as answer:
        assert answer.status == 302, (answer.status, await answer.text())
        return answer.headers["Location"]


async def signed_in_through(browser: aiohttp.ClientSession, site: str = "site", onward: str = "/studio") -> tuple[str, dict[str, str]]:
    """The whole way; the page that the browser ends on, and what it is told."""
    at_site = await step(browser, f"/api/v1/auth/oauth/{site}?next={onward}")
    path, _, told = parts_of(await step(browser, await step(browser, at_site)))
    return path, told


async def me(browser: aiohttp.ClientSession) -> Any:
    async with browser.get("/auth/me") as answer:
        return await answer.json()


@pytest.mark.parametrize("site", ["site", "github"])
async def test_somebody_new_comes_through_a_site(browser: aiohttp.ClientSession, issuer: Issuer, site: str) -> None:
    assert await signed_in_through(browser, site) == ("/studio", {})
    told = await me(browser)
    assert (told["email"], told["name"], told["providers"]) == ("ann@example.org", "Ann Lee", {site: "ann@example.org"})
    assert issuer.asked[0]["code_challenge"] and ("nonce" in issuer.asked[0]) == (site == "site")


async def test_an_account_is_found_again_by_the_site_and_linked_by_a_confirmed_address(
    peer: Peer, browser: aiohttp.ClientSession, issuer: Issuer
) -> None:
    ann = await add(peer, "ann")
    await signed_in_through(browser)
    assert (await me(browser))["id"] == ann.id
    issuer.claims |= {"email": "elsewhere@example.org", "email_verified": False}
    browser.cookie_jar.clear()
    await signed_in_through(browser)
    assert (await me(browser))["id"] == ann.id


async def test_an_address_that_the_site_has_not_confirmed_opens_no_account(
    peer: Peer, browser: aiohttp.ClientSession, issuer: Issuer
) -> None:
    await add(peer, "ann")
    issuer.claims["email_verified"] = False
    issuer.emails[0]["verified"] = False
    for site in ("site", "github"):
        assert (await signed_in_through(browser, site))[1]["sign_in_error"] == "wrong_credentials"
    assert "error" in await me(browser)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"},
        {"aud": "somebody-else"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"azp": "somebody-else"},
        {"at_hash": "x"},
    ],
)
async def test_what_a_site_says_is_checked(browser: aiohttp.ClientSession, issuer: Issuer, wrong: dict[str, Any]) -> None:
    issuer.claims |= wrong
    assert (await signed_in_through(browser))[1]["sign_in_error"] == "wrong_credentials"


async def test_a_token_that_somebody_else_signed_is_refused_and_rotated_keys_are_found(
    browser: aiohttp.ClientSession, issuer: Issuer, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.wrong_key = True
    assert (await signed_in_through(browser))[1]["sign_in_error"] == "wrong_credentials"
    issuer.wrong_key = False
    issuer.rotate()
    monkeypatch.setattr("marquetry.server.accounts.sites.FORCED_EVERY_S", 0.0)
    assert await signed_in_through(browser) == ("/studio", {})


async def test_a_way_back_is_good_once_in_the_browser_that_left(peer: Peer, browser: aiohttp.ClientSession) -> None:
    back = await step(browser, await step(browser, "/api/v1/auth/oauth/site"))
    async with aiohttp.ClientSession(peer.address) as other:
        assert parts_of(await step(other, back))[2]["sign_in_error"] == "token_invalid"
    back = await step(browser, await step(browser, "/api/v1/auth/oauth/site"))
    assert parts_of(await step(browser, back.replace("/site/", "/github/")))[2]["sign_in_error"] == "token_invalid"
    back = await step(browser, await step(browser, "/api/v1/auth/oauth/site"))
    assert parts_of(await step(browser, back)) == ("/", {}, {})
    assert parts_of(await step(browser, back))[2]["sign_in_error"] == "token_invalid"
    assert parts_of(await step(browser, "/api/v1/auth/oauth/site/callback?error=access_denied"))[2] == {"sign_in_error": "access_denied"}


@pytest.mark.parametrize("onward", ["https://evil.example/", "//evil.example", "/%5Cevil.example", "javascript:alert(1)"])
async def test_a_sign_in_leads_to_no_other_site(browser: aiohttp.ClientSession, onward: str) -> None:
    assert (await signed_in_through(browser, onward=onward))[0] == "/"


async def test_sites_that_are_not_set_up_or_away_are_told(peer: Peer) -> None:
    for site, word in (("unknown", "not set up"), ("gone", "does not answer")):
        told = await peer.json("GET", f"/api/v1/auth/oauth/{site}", 503)
        assert told["error"]["code"] == "provider_not_configured" and word in told["error"]["message"]
    shown = (await peer.json("GET", "/auth/options"))["providers"]
    assert {"id": "site", "title": "The Site", "url": "/api/v1/auth/oauth/site"} in shown


async def test_a_site_is_linked_and_unlinked_by_who_is_signed_in(peer: Peer, browser: aiohttp.ClientSession, issuer: Issuer) -> None:
    bob = await add(peer, "bob")
    async with browser.post("/api/v1/auth/oauth/site/link?next=/settings", headers=bob.headers) as answer:
        at_site = (await answer.json())["url"]
    assert parts_of(await step(browser, await step(browser, at_site)))[0] == "/settings"
    assert (await bob.json("GET", "/auth/me"))["providers"] == {"site": "ann@example.org"}
    browser.cookie_jar.clear()
    await signed_in_through(browser)
    assert (await me(browser))["id"] == bob.id
    await bob.json("DELETE", "/api/v1/auth/oauth/site/link")
    await bob.json("DELETE", "/api/v1/auth/oauth/site/link", 404)


@pytest_asyncio.fixture
async def application(peer: Peer) -> AsyncIterator[tuple[dict[str, str], list[dict[str, Any]]]]:
    """Another application: its proof, and the sign-outs that it was told of."""
    told: list[dict[str, Any]] = []

    async def hear(request: web.Request) -> web.Response:
        told.append(jwt.decode(str((await request.post())["logout_token"]), options={"verify_signature": False}))
        return web.Response()

    listening = web.Application()
    listening.router.add_post("/logout", hear)
    root = await add(peer, "root", "admin")
    async with TestServer(listening) as server:
        body = {"name": "Shop", "redirect_uris": ["https://shop.example/back"], "logout_uri": str(server.make_url("/logout"))}
        made = await root.json("POST", "/api/v1/admin/applications", 201, json=body)
        assert "client_secret" not in json.dumps((await root.json("GET", "/api/v1/admin/applications"))["applications"]).replace(
            '"client_secret": null', ""
        )
        yield {"client_id": made["client_id"], "client_secret": made["client_secret"]}, told


async def code_for(somebody: Somebody, proof: dict[str, str], status: int = 200, **more: str) -> dict[str, str]:
    body = {
        "client_id": proof["client_id"],
        "redirect_uri": "https://shop.example/back",
        "code_challenge": challenge_of(VERIFIER),
        "state": "s1",
        **more,
    }
    given = await somebody.json("POST", "/auth/sso/authorize", status, json=body)
    if status != 200:
        return {}
    assert parse_qs(given["redirect_to"].partition("?")[2]) == {"code": [given["code"]], "state": ["s1"]}
    return {**proof, "code": given["code"], "redirect_uri": "https://shop.example/back", "code_verifier": VERIFIER}


async def test_another_application_signs_people_in_with_codes(peer: Peer, application: tuple[dict[str, str], list[dict[str, Any]]]) -> None:
    (proof, told), ann = application, await add(peer, "ann")
    exchange = await code_for(ann, proof)
    tokens = await peer.json("POST", "/auth/sso/token", json=exchange)
    await peer.json("POST", "/api/v1/auth/sso/token", 401, json=exchange)
    valid = await peer.json("POST", "/auth/sso/validate", json={**proof, "token": tokens["access_token"]})
    assert (valid["active"], valid["sub"], valid["email"]) == (True, ann.id, ann.email)
    theirs = {"Authorization": f"Bearer {tokens['access_token']}"}
    await peer.json("GET", "/api/v1/jobs", headers=theirs)
    await peer.json("POST", "/auth/logout-everywhere", 403, headers=theirs)
    following = await peer.json("POST", "/auth/sso/refresh", json={**proof, "refresh_token": tokens["refresh_token"]})
    await peer.json("POST", "/auth/refresh", 401, json={"refresh_token": following["refresh_token"]})
    assert {session["application"] for session in (await ann.json("GET", "/auth/sessions"))["sessions"]} == {None, proof["client_id"]}
    await ann.json("POST", "/auth/logout-everywhere", json={"keep_this": True})
    await accounts(peer).background.settled()
    assert [(notice["sub"], notice["aud"]) for notice in told] == [(ann.id, proof["client_id"])]
    assert (await peer.json("POST", "/auth/sso/validate", json={**proof, "token": following["access_token"]}))["active"] is False


async def test_tokens_are_given_back_and_only_by_who_has_them(peer: Peer, application: tuple[dict[str, str], list[dict[str, Any]]]) -> None:
    (proof, _), ann = application, await add(peer, "ann")
    tokens = await peer.json("POST", "/auth/sso/token", json=await code_for(ann, proof))
    for wrong in ({"client_secret": "x"}, {"client_id": "app_x"}):
        await peer.json("POST", "/auth/sso/revoke", 401, json={**proof, **wrong, "token": tokens["refresh_token"]})
    await peer.json("POST", "/auth/sso/revoke", json={**proof, "token": ann.tokens["refresh_token"]})
    await ann.json("GET", "/auth/me")
    await peer.json("POST", "/auth/sso/revoke", json={**proof, "token": tokens["refresh_token"]})
    await peer.json("POST", "/auth/sso/refresh", 401, json={**proof, "refresh_token": tokens["refresh_token"]})
    await code_for(ann, proof, 400, redirect_uri="https://evil.example/")
    await code_for(ann, proof, 400, code_challenge_method="plain")
    await peer.json(
        "POST",
        "/auth/sso/token",
        401,
        json=await code_for(ann, proof, redirect_uri="https://shop.example/back") | {"code_verifier": VERIFIER[::-1]},
    )


async def test_clerk_adds_changes_and_removes_accounts(peer: Peer) -> None:
    def signed(body: bytes, secret: bytes = b"k" * 24) -> dict[str, str]:
        sent = str(accounts(peer).clock_ms() // 1000)
        signature = base64.b64encode(hmac.new(secret, f"msg_1.{sent}.".encode() + body, hashlib.sha256).digest()).decode()
        return {"svix-id": "msg_1", "svix-timestamp": sent, "svix-signature": f"v1,bm9uZQ== v1,{signature}"}

    address = {"id": "e1", "email_address": "zoe@example.org", "verification": {"status": "verified"}}
    user = {"id": "user_zoe", "first_name": "Zoe", "last_name": "Ray", "primary_email_address_id": "e1", "email_addresses": [address]}

    async def tell(kind: str, data: dict[str, Any], status: int = 200, **how: Any) -> None:
        body = json.dumps({"type": kind, "data": data}).encode()
        await peer.json("POST", "/api/clerk-webhook", status, data=body, headers=signed(body, **how))

    for _ in range(2):
        await tell("user.created", user)
    await tell("user.updated", {**user, "first_name": "Zoë"})
    person = await accounts(peer).read(people.find_by_external_id, "user_zoe")
    assert person is not None and (person.name, person.email, person.email_confirmed) == ("Zoë Ray", "zoe@example.org", True)
    await tell("user.created", user, 401, secret=b"x" * 24)
    await tell("user.created", {}, 400)
    await tell("user.deleted", {"id": "user_zoe"})
    person = await accounts(peer).read(people.find_by_external_id, "user_zoe")
    assert person is not None and person.suspended_ms is not None
