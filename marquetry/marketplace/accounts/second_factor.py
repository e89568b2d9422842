"""Second factor: codes of an authenticator app (TOTP, RFC 6238), each good once, and recovery codes for the day on which the app is lost."""

from __future__ import annotations

import io
import secrets

from sqlalchemy import Connection, delete, func, insert, select, update

from marquetry.marketplace.accounts.opaque import hashed, same
from marquetry.marketplace.accounts.tables import recovery_codes, users

ISSUER = "Marquetry"
STEP_S = 30
DRIFT_STEPS = 1  # clocks of telephones may be wrong by half a minute
RECOVERY_CODES = 10
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def new_secret() -> str:
    """A secret for an authenticator app, in base 32."""
    import pyotp

    return pyotp.random_base32()


def setup_uri(secret: str, account: str) -> str:
    """What an authenticator app reads, as an address."""
    import pyotp

    return pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=account, issuer_name=ISSUER)


def qr_svg(text: str) -> str:
    """The text as a QR code, an SVG picture."""
    import segno

    out = io.BytesIO()
    segno.make(text, error="m").save(out, kind="svg", scale=4, border=4, dark="#000", light="#fff", xmldecl=False)
    return out.getvalue().decode()


def step_of(secret: str, code: str, now_ms: int) -> int | None:
    """The time step that the code is of; None when it is of none about now."""
    import pyotp

    if not (code.isascii() and code.isdecimal() and len(code) == 6):
        return None
    now_step = now_ms // (STEP_S * 1000)
    totp = pyotp.TOTP(secret, interval=STEP_S)
    found = [step for step in range(now_step - DRIFT_STEPS, now_step + DRIFT_STEPS + 1) if same(totp.generate_otp(step), code)]
    return found[0] if found else None


def take_code(connection: Connection, user_id: str, secret: str, code: str, now_ms: int) -> bool:
    """Whether the code is right. A time step is good once, also when two requests come with it at once."""
    step = step_of(secret, code.replace(" ", ""), now_ms)
    if step is None:
        return False
    fresh = (users.c.id == user_id, users.c.totp_last_step < step)
    return bool(connection.execute(update(users).where(*fresh).values(totp_last_step=step)).rowcount)


def new_recovery_codes(connection: Connection, user_id: str) -> list[str]:
    """Ten codes, in place of those that were given before."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    codes = ["-".join("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(3)) for _ in range(RECOVERY_CODES)]
    connection.execute(insert(recovery_codes), [{"user_id": user_id, "code_hash": _code_hash(user_id, code)} for code in codes])
    return codes


def take_recovery_code(connection: Connection, user_id: str, code: str, now_ms: int) -> bool:
    """Whether it is one that was not used yet; it is now."""
    wanted = (
        recovery_codes.c.user_id == user_id,
        recovery_codes.c.code_hash == _code_hash(user_id, code.strip().lower()),
        recovery_codes.c.used_ms.is_(None),
    )
    return bool(connection.execute(update(recovery_codes).where(*wanted).values(used_ms=now_ms)).rowcount)


def recovery_codes_left(connection: Connection, user_id: str) -> int:
    unused = (recovery_codes.c.user_id == user_id, recovery_codes.c.used_ms.is_(None))
    return int(connection.execute(select(func.count()).select_from(recovery_codes).where(*unused)).scalar_one())


def keep_secret(connection: Connection, user_id: str, sealed: bytes) -> None:
    """Begin a set-up: the secret counts once a code of it was shown."""
    connection.execute(update(users).where(users.c.id == user_id).values(totp_secret=sealed, totp_confirmed_ms=None, totp_last_step=0))


def confirm(connection: Connection, user_id: str, now_ms: int) -> list[str]:
    """From now on a code is asked for. Gives the recovery codes."""
    connection.execute(update(users).where(users.c.id == user_id).values(totp_confirmed_ms=now_ms, updated_ms=now_ms))
    return new_recovery_codes(connection, user_id)


def remove(connection: Connection, user_id: str, now_ms: int) -> None:
    """Ask for no code any more."""
    none = {"totp_secret": None, "totp_confirmed_ms": None, "totp_last_step": 0, "updated_ms": now_ms}
    connection.execute(update(users).where(users.c.id == user_id).values(**none))
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


def _code_hash(user_id: str, code: str) -> str:
    return hashed(f"{user_id}:{code}")
