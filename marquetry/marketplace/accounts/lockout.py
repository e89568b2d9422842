"""Lock-out: after five wrong attempts a subject waits, longer each time. An attempt is counted before it is judged, so that many at once
are no way around it; subjects are e-mails whether or not anybody has them."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from marquetry.marketplace.accounts.opaque import hashed
from marquetry.marketplace.accounts.tables import sign_in_failures as failures
from marquetry.marketplace.accounts.upsert import insert_missing

FREE_ATTEMPTS = 5
FIRST_WAIT_MS = 60_000
LONGEST_WAIT_MS = 3_600_000
FORGOTTEN_MS = 24 * 3_600_000


def begin_attempt(connection: Connection, subject: str, now_ms: int) -> int:
    """Count an attempt. Gives 0, or for how many ms more none is allowed."""
    key = hashed(subject)
    insert_missing(connection, failures, subject_hash=key, failures=0, failed_ms=now_ms, locked_until_ms=0)
    row = connection.execute(select(failures).where(failures.c.subject_hash == key).with_for_update()).one()
    if row.locked_until_ms > now_ms:
        return int(row.locked_until_ms - now_ms)
    count = 1 if now_ms - row.failed_ms > FORGOTTEN_MS else row.failures + 1
    values = {"failures": count, "failed_ms": now_ms, "locked_until_ms": now_ms + wait_ms(count)}
    connection.execute(update(failures).where(failures.c.subject_hash == key).values(**values))
    return 0


def forgive(connection: Connection, subject: str) -> None:
    """The attempt was right, or the person has shown in another way who they are."""
    connection.execute(delete(failures).where(failures.c.subject_hash == hashed(subject)))


def wait_ms(count: int) -> int:
    """How long nobody may try after that many wrong attempts."""
    over = count - FREE_ATTEMPTS
    return 0 if over < 0 else min(FIRST_WAIT_MS << min(over, 20), LONGEST_WAIT_MS)


def forget_old(connection: Connection, now_ms: int) -> None:
    """Drop what no longer counts."""
    connection.execute(delete(failures).where(failures.c.failed_ms < now_ms - FORGOTTEN_MS, failures.c.locked_until_ms < now_ms))
