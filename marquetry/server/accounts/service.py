"""Accounts: what handlers ask of people's accounts. Every step that proves something is one transaction; slow work runs in threads."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from marquetry.marketplace.accounts import call_counts, lockout, one_time, security_events, sessions
from marquetry.marketplace.accounts.rates import Buckets, LocalBuckets
from marquetry.marketplace.accounts.security_events import SecurityEvent, Severity
from marquetry.marketplace.accounts.sessions import Place, SessionLimits
from marquetry.marketplace.accounts.signing import KeyFile, Keys
from marquetry.server.accounts.background import Background
from marquetry.server.accounts.post import Post, mailer_of, public_url_of
from marquetry.server.accounts.sites import Sites
from marquetry.server.accounts.standings import Standings
from marquetry.server.accounts.threads import SlowWork
from marquetry.server.database.database import Database, one_by_one
from marquetry.server.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
HOUR_MS = 3_600_000


def _perform(connection: Connection, action: Callable[[Connection], Any]) -> Any:
    return action(connection)


_performing: Any = one_by_one(_perform)


class Accounts:
    """`clock_ms` gives the time since the epoch. Sign-in is in `sign_in.py`, letting requests in `admission.py`."""

    def __init__(self, settings: Settings, database: Database, clock_ms: Callable[[], int] | None = None) -> None:
        self.installation = settings
        self.settings = settings.accounts
        self.database = database
        self.clock_ms = clock_ms or (lambda: time.time_ns() // 1_000_000)
        self.background = Background()
        self.slow = SlowWork()
        self.public_url = public_url_of(settings)
        self.post = Post(mailer_of(settings), self.background, self.settings.site_name, self.public_url)
        self.standings = Standings(self)
        self.sites = Sites(self.settings)
        self.buckets: Buckets = _buckets(settings)
        self.before_closing: list[Callable[[], Awaitable[None]]] = []
        self._keys = _keys_of(settings)

    @property
    def keys(self) -> Keys:
        """The signing keys as they are now."""
        return self._keys()

    async def read(
        self, function: Callable[Concatenate[Connection, Parameters], Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Run a function of `marketplace/accounts` that only reads."""
        return await self.database.read(function, *args, **kwargs)

    async def write(
        self,
        function: Callable[Concatenate[Connection, Parameters], Result | Exception],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a function in a transaction. An exception that it raises takes back what it did, one that it gives does not; both are raised here."""
        done: Any = await self.database.write(_performing, partial(_call, function, args, kwargs))
        return done  # type: ignore[no-any-return]

    async def note(
        self, kind: str, place: Place, *, owner: str = "", actor: str = "", severity: Severity = Severity.INFO, **details: Any
    ) -> None:
        """Keep a security event, and tell of what the rules find in it."""
        event = SecurityEvent(kind, self.clock_ms(), owner, actor, severity, place.address, place.user_agent, details)
        self.alert(await self.write(security_events.record, event))

    def alert(self, findings: list[SecurityEvent]) -> None:
        """Tell the operator of findings of the rules."""
        from marquetry.server.accounts.alerts import tell

        for finding in findings:
            tell(self.post, self.settings.alert_email, finding)

    def limits_for(self, roles: frozenset[str]) -> SessionLimits:
        """How long a session of somebody with these roles lasts."""
        staff = "admin" in roles or "moderator" in roles
        hours = min(self.settings.session_hours, self.settings.admin_session_hours) if staff else self.settings.session_hours
        return SessionLimits(hours * HOUR_MS, self.settings.idle_hours * HOUR_MS)

    async def tidy(self) -> None:
        """Forget what is too old to matter."""
        now_ms = self.clock_ms()
        for forget in (sessions.forget_old, one_time.forget_old, lockout.forget_old, security_events.forget_old, call_counts.forget_old):
            await self.write(forget, now_ms)

    async def close(self) -> None:
        """Finish what was begun."""
        for finish in self.before_closing:
            await finish()
        await self.standings.flush()
        await self.background.close()
        await self.buckets.close()
        self.slow.close()


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], connection: Connection) -> Any:
    return function(connection, *args, **kwargs)


def _keys_of(settings: Settings) -> Callable[[], Keys]:
    given = settings.accounts.keys
    if given is not None:
        keys = Keys.parse(given.get_secret_value())
        return lambda: keys
    return KeyFile(settings.accounts.keys_file or settings.data / "keys" / "accounts.json").current


def _buckets(settings: Settings) -> Buckets:
    if settings.accounts.redis_url is None:
        return LocalBuckets()
    from marquetry.marketplace.accounts.redis_rates import RedisBuckets

    return RedisBuckets(settings.accounts.redis_url.get_secret_value())
