"""Signing in through another site: out with state, nonce and a PKCE challenge that belong to one browser, back with a code, and then what the
site says, checked by its signature (OpenID Connect Core) or asked of its API (GitHub)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from marquetry.marketplace.accounts import identities, one_time
from marquetry.marketplace.accounts.errors import ProviderMissing, TokenInvalid, WrongCredentials
from marquetry.marketplace.accounts.identities import Profile
from marquetry.marketplace.accounts.one_time import Given, Purpose
from marquetry.marketplace.accounts.opaque import hashed, same
from marquetry.marketplace.accounts.people import Person
from marquetry.marketplace.accounts.sessions import Place
from marquetry.server.accounts.service import Accounts
from marquetry.server.accounts.sites import Site, ask

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
LEEWAY_S = 60
APPLE_SECRET_S = 300


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and what it must bring back beside the state."""

    url: str
    binding: str
    posts_back: bool


async def depart(accounts: Accounts, name: str, onward: str, link_to: str | None = None) -> Departure:
    """Begin. `onward` is the page to go to in the end; `link_to` the account that the site is to be linked to. Raises ProviderMissing."""
    from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    site = await accounts.sites.find(name)
    binding, nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    state = await accounts.write(
        one_time.issue, Purpose.PROVIDER, accounts.clock_ms(), user_id=link_to,
        provider=name, nonce=nonce, verifier=verifier, binding=hashed(binding), onward=safe_path(onward),
    )  # fmt: skip
    more = {"nonce": nonce} if site.is_oidc else {}
    if site.posts_back:
        more["response_mode"] = "form_post"
    url = prepare_grant_uri(
        site.authorize_url, site.settings.client_id, "code", redirect_uri=_callback(accounts, name), scope=site.scopes, state=state,
        code_challenge=create_s256_code_challenge(verifier), code_challenge_method="S256", **more,
    )  # fmt: skip
    return Departure(url, binding, site.posts_back)


async def arrive(accounts: Accounts, name: str, state: str, code: str, binding: str, place: Place) -> tuple[Person | None, str]:
    """The account of who comes back, and the page to go to; no account where a site was only linked to one. Raises TokenInvalid, WrongCredentials, AccountConflict, ProviderMissing."""
    given = await accounts.write(one_time.redeem, state, Purpose.PROVIDER, accounts.clock_ms())
    if given.data["provider"] != name or not same(str(given.data["binding"]), hashed(binding)):
        raise TokenInvalid("this sign-in was begun in another browser, or for another site; begin again")
    profile = await _profile(accounts, await accounts.sites.find(name), given, code)
    onward = str(given.data["onward"])
    if given.user_id is not None:
        await accounts.write(identities.link, given.user_id, profile, accounts.clock_ms())
        await accounts.note("identity_linked", place, owner=given.user_id, actor=given.user_id, provider=name)
        return None, onward
    may_register = accounts.settings.registration == "open"
    return await accounts.write(identities.sign_in_with, profile, accounts.clock_ms(), may_register=may_register), onward


def safe_path(onward: str) -> str:
    """A page of this server; anything else is its first page."""
    sound = onward.startswith("/") and not onward.startswith(("//", "/\\")) and onward.isprintable() and len(onward) <= 1000
    return onward if sound else "/"


async def _profile(accounts: Accounts, site: Site, given: Given, code: str) -> Profile:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _callback(accounts, site.name),
        "client_id": site.settings.client_id,
        "client_secret": _secret(accounts, site),
        "code_verifier": given.data["verifier"],
    }
    tokens = await ask("POST", site.token_url, data=form, headers={"Accept": "application/json"})
    if not isinstance(tokens, dict) or "error" in tokens or not isinstance(tokens.get("access_token"), str):
        raise WrongCredentials(f"{site.name} did not accept the sign-in; begin again")
    if not site.is_oidc:
        return await _github_profile(site, str(tokens["access_token"]))
    claims = await _claims(accounts, site, tokens, str(given.data["nonce"]))
    return _oidc_profile(site, claims)


async def _claims(accounts: Accounts, site: Site, tokens: dict[str, Any], nonce: str) -> dict[str, Any]:
    """What the signed token says, checked."""
    import jwt
    from authlib.oidc.core import CodeIDToken
    from joserfc.errors import JoseError

    id_token = str(tokens.get("id_token", ""))
    try:
        header = jwt.get_unverified_header(id_token)
        key = await _key(accounts, site, str(header.get("kid", "")))
        claims: dict[str, Any] = jwt.decode(
            id_token, key, ALGORITHMS, audience=site.settings.client_id, leeway=LEEWAY_S,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )  # fmt: skip
        options: Any = {"iss": {"essential": True, "value": site.issuer.replace("{tenantid}", str(claims.get("tid", "")))}}
        known = {"nonce": nonce, "client_id": site.settings.client_id, "access_token": tokens["access_token"]}
        checked: Any = CodeIDToken(claims, header, options, known)
        checked.validate(now=accounts.clock_ms() // 1000, leeway=LEEWAY_S)
    except (jwt.PyJWTError, JoseError, KeyError, TypeError, ValueError) as error:
        raise WrongCredentials(f"what {site.name} says of you can't be trusted ({type(error).__name__}); begin again") from error
    return claims


async def _key(accounts: Accounts, site: Site, id: str) -> Any:
    import jwt

    for anew in (False, True):
        for key in await accounts.sites.keys(site, anew=anew):
            if key.get("kid", "") == id and key.get("kty") in ("RSA", "EC", "OKP"):
                return jwt.PyJWK(key)
    raise ProviderMissing(f"{site.name} signed with a key that it does not publish; try again in a minute")


def _oidc_profile(site: Site, claims: dict[str, Any]) -> Profile:
    told = claims.get("email_verified", claims.get("xms_edov", site.trusts_emails))
    return Profile(
        provider=site.name,
        subject=str(claims["sub"]),
        email=str(claims.get("email") or ""),
        email_confirmed=told in (True, 1, "true", "1"),
        name=str(claims.get("name") or ""),
        avatar=_picture(claims.get("picture")),
    )


async def _github_profile(site: Site, token: str) -> Profile:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json", "User-Agent": "Marquetry"}
    user = await ask("GET", f"{site.api_url}/user", headers=headers)
    emails = await ask("GET", f"{site.api_url}/user/emails", headers=headers)
    if not isinstance(user, dict) or not isinstance(user.get("id"), int):
        raise WrongCredentials("GitHub did not say who you are; begin again")
    sound = [entry for entry in emails if isinstance(entry, dict) and entry.get("verified") is True] if isinstance(emails, list) else []
    sound.sort(key=lambda entry: entry.get("primary") is not True)
    email = str(sound[0].get("email", "")) if sound else ""
    name = str(user.get("name") or user.get("login") or "")
    return Profile("github", str(user["id"]), email, bool(email), name, _picture(user.get("avatar_url")))


def _secret(accounts: Accounts, site: Site) -> str:
    """The secret of the settings; for Apple one that is signed with the private key."""
    private_key = site.settings.private_key.get_secret_value()
    if not private_key:
        return site.settings.client_secret.get_secret_value()
    import jwt

    now_s = accounts.clock_ms() // 1000
    claims = {
        "iss": site.settings.team_id,
        "sub": site.settings.client_id,
        "aud": site.issuer,
        "iat": now_s,
        "exp": now_s + APPLE_SECRET_S,
    }
    return jwt.encode(claims, private_key, "ES256", headers={"kid": site.settings.key_id})


def _callback(accounts: Accounts, name: str) -> str:
    return f"{accounts.public_url.rstrip('/')}/api/v1/auth/oauth/{name}/callback"


def _picture(value: Any) -> str:
    return value if isinstance(value, str) and value.startswith("https://") and len(value) <= 2000 else ""
