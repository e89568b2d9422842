"""Tables of people. What proves an identity is kept only as a hash, or encrypted where it must be read again."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from marquetry.marketplace.schema import Sequence, metadata

ID = 64
HASH = 64  # hexadecimal SHA-256


def _user(*, nullable: bool = False, primary_key: bool = False) -> Column[str]:
    return Column("user_id", String(ID), ForeignKey("users.id", ondelete="CASCADE"), nullable=nullable, primary_key=primary_key)


users = Table(
    "users",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("external_id", String(200), unique=True),  # of another identity service, such as Clerk's
    Column("email", String(254)),  # as it was given
    Column("email_key", String(254), unique=True),  # as it is compared
    Column("email_confirmed_ms", BigInteger),
    Column("password_hash", String(255)),
    Column("password_changed_ms", BigInteger),
    Column("name", String(200), nullable=False),
    Column("avatar", String(2000), nullable=False),
    Column("has_completed_beta_signup", Boolean, nullable=False),
    Column("roles", String(100), nullable=False),  # with spaces between
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("signed_in_ms", BigInteger),
    Column("suspended_ms", BigInteger),
    Column("suspended_reason", String(500), nullable=False),
    Column("totp_secret", LargeBinary),  # encrypted
    Column("totp_confirmed_ms", BigInteger),
    Column("totp_last_step", BigInteger, nullable=False),  # the newest time step whose code was taken
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    _user(primary_key=True),
    Column("code_hash", String(HASH), primary_key=True),
    Column("used_ms", BigInteger),
)

identities = Table(  # of people at other sites that they sign in through
    "identities",
    metadata,
    Column("provider", String(50), primary_key=True),
    Column("subject", String(255), primary_key=True),
    _user(),
    Column("email", String(254), nullable=False),
    Column("linked_ms", BigInteger, nullable=False),
)
Index("ix_identities_user_id", identities.c.user_id)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(ID), primary_key=True),
    _user(),
    Column("client_id", String(ID)),  # of the other application that it was made for
    Column("second_factor", Boolean, nullable=False),
    Column("address", String(64), nullable=False),
    Column("user_agent", String(300), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("ended_reason", String(50), nullable=False),
)
Index("ix_sessions_user_id", sessions.c.user_id, sessions.c.created_ms)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", String(HASH), primary_key=True),
    Column("session_id", String(ID), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)
Index("ix_refresh_tokens_session_id", refresh_tokens.c.session_id)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(ID), primary_key=True),
    _user(nullable=True),  # none: a service token
    Column("kind", String(16), nullable=False),  # key or service
    Column("name", String(200), nullable=False),
    Column("prefix", String(20), nullable=False),
    Column("key_hash", String(HASH), nullable=False, unique=True),
    Column("scopes", String(300), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("used_ms", BigInteger),
    Column("spend_limit_microcredits", BigInteger),
    Column("spent_microcredits", BigInteger, nullable=False),
)
Index("ix_api_keys_user_id", api_keys.c.user_id, api_keys.c.created_ms)

one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("token_hash", String(HASH), primary_key=True),
    Column("purpose", String(32), nullable=False),
    _user(nullable=True),
    Column("data", LargeBinary, nullable=False),  # JSON
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)
Index("ix_one_time_tokens_user_id", one_time_tokens.c.user_id, one_time_tokens.c.purpose)
Index("ix_one_time_tokens_expires_ms", one_time_tokens.c.expires_ms)

sign_in_failures = Table(  # also of e-mails that nobody has
    "sign_in_failures",
    metadata,
    Column("subject_hash", String(HASH), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_ms", BigInteger, nullable=False),
    Column("locked_until_ms", BigInteger, nullable=False),
)

security_events = Table(
    "security_events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("owner", String(128), nullable=False),  # whom it concerns; empty: nobody who is known
    Column("actor", String(128), nullable=False),  # who did it; empty: nobody who is known
    Column("kind", String(50), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("address", String(64), nullable=False),
    Column("user_agent", String(300), nullable=False),
    Column("details", LargeBinary, nullable=False),  # JSON
    Column("time_ms", BigInteger, nullable=False),
)
Index("ix_security_events_owner", security_events.c.owner, security_events.c.seq)
Index("ix_security_events_kind", security_events.c.kind, security_events.c.time_ms)

sso_clients = Table(  # other applications that people sign in to with their account here
    "sso_clients",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("secret_hash", String(HASH)),  # none: a public client, which has only PKCE
    Column("redirect_uris", LargeBinary, nullable=False),  # JSON list
    Column("logout_uri", String(2000), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

call_counts = Table(
    "call_counts",
    metadata,
    Column("owner", String(128), primary_key=True),
    Column("month", Integer, primary_key=True),  # as in 202607
    Column("calls", BigInteger, nullable=False),
)
