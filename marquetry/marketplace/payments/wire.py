"""Wire: JSON over HTTP to providers that have no SDK here. What may have happened although no answer came is told apart from what has not."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from marquetry.marketplace.payments.errors import ProviderFailed

MAX_ANSWER_BYTES = 4 << 20


class Wire:
    """One provider's address. Redirects are not followed: keys go nowhere else."""

    def __init__(self, title: str, address: str, timeout_s: int) -> None:
        self._title = title
        self._address = address.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON object; empty where there is no body. Raises ProviderFailed."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        data: Any = form if form is not None else raw if raw is not None else None if body is None else orjson.dumps(body)
        given = {
            "Accept": "application/json",
            **({} if form is not None or data is None else {"Content-Type": "application/json"}),
            **(headers or {}),
        }
        url = f"{self._address}{path}"
        try:
            async with self._session.request(method, url, data=data, params=query, headers=given, allow_redirects=False) as answer:
                text = await self._read(answer)
                status = answer.status
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ProviderFailed(f"{self._title} can't be reached ({type(error).__name__}); try again", unknown=True) from error
        return self._understood(status, text)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        text = await answer.content.read(MAX_ANSWER_BYTES)
        while not answer.content.at_eof():
            more = await answer.content.read(MAX_ANSWER_BYTES)
            text += more
            if len(text) > MAX_ANSWER_BYTES:
                raise ProviderFailed(f"{self._title} answered with too much", unknown=True)
        return text

    def _understood(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            value = orjson.loads(text) if text else {}
        except orjson.JSONDecodeError:
            value = None
        if 200 <= status < 300 and isinstance(value, dict):
            return value
        unknown = status >= 500 or status in (409, 425, 429) or 200 <= status < 300
        raise ProviderFailed(
            f"{self._title} says: {_reason(value)} (status {status})", unknown=unknown, status=status, reason=_reason(value)
        )


def basic(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication (RFC 7617)."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _reason(value: Any) -> str:
    if not isinstance(value, dict):
        return "nothing that can be read"
    error = value.get("error")
    if isinstance(error, dict):
        return str(error.get("description") or error.get("code") or "an error")[:300]
    details = value.get("details")
    issue = details[0].get("issue", "") if isinstance(details, list) and details and isinstance(details[0], dict) else ""
    return f"{value.get('message') or value.get('error_description') or error or 'an error'} {issue}".strip()[:300]
