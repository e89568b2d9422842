"""A real OpenID Connect issuer and a GitHub-like site on loopback, written from the specifications: codes, PKCE, tokens signed with RS256."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "marquetry-at-the-issuer", "shared secret"


@cache
def signing_keys() -> tuple[rsa.RSAPrivateKey, rsa.RSAPrivateKey]:
    return rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)


class Issuer:
    """`claims` and `header` change what the next ID token says; `wrong_key` signs it with a key that is not published."""

    def __init__(self) -> None:
        self.address = ""
        self.claims: dict[str, Any] = {"sub": "42", "email": "ann@example.org", "email_verified": True, "name": "Ann Lee"}
        self.emails: list[dict[str, Any]] = [{"email": "ann@example.org", "verified": True, "primary": True}]
        self.wrong_key = False
        self.asked: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._key, self._other = signing_keys()
        self.key_id = "one"

    def rotate(self) -> None:
        """Sign with another key from now on."""
        self._key, self.key_id = self._other, "two"

    def routes(self) -> web.Application:
        application = web.Application()
        add = application.router.add_route
        add("GET", "/.well-known/openid-configuration", self.configuration)
        add("GET", "/keys", self.keys)
        for path in ("/authorize", "/login/oauth/authorize"):
            add("GET", path, self.authorize)
        for path in ("/token", "/login/oauth/access_token"):
            add("POST", path, self.token)
        add("GET", "/api/v3/user", self.user)
        add("GET", "/api/v3/user/emails", self.user_emails)
        return application

    async def configuration(self, request: web.Request) -> web.Response:
        urls = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return web.json_response({"issuer": self.address, **{name: f"{self.address}/{path}" for name, path in urls.items()}})

    async def keys(self, request: web.Request) -> web.Response:
        published = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return web.json_response({"keys": [{**published, "kid": self.key_id, "use": "sig", "alg": "RS256"}]})

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert asked["client_id"] == CLIENT_ID and asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        self.asked.append(asked)
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or form["client_secret"] != CLIENT_SECRET
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=200 if "login" in request.path else 400)
        now_s = int(time.time())
        standard = {"iss": self.address, "aud": CLIENT_ID, "iat": now_s, "exp": now_s + 300, "nonce": asked.get("nonce", "")}
        key = self._other if self.wrong_key else self._key
        signed = jwt.encode({**standard, **self.claims}, key, "RS256", headers={"kid": self.key_id})
        return web.json_response({"access_token": "at-the-issuer", "token_type": "Bearer", "id_token": signed})

    async def user(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer at-the-issuer"
        return web.json_response({"id": 42, "login": "ann", "name": "Ann Lee", "avatar_url": "https://x.example/a.png"})

    async def user_emails(self, request: web.Request) -> web.Response:
        return web.json_response(self.emails)


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    async with TestServer(issuer.routes()) as server:
        issuer.address = str(server.make_url("")).rstrip("/")
        yield issuer


def parts_of(location: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Path, query and fragment of where a browser is sent."""
    parts = urlsplit(location)
    return parts.path, dict(parse_qsl(parts.query)), dict(parse_qsl(parts.fragment))
