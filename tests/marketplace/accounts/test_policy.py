"""Which passwords are taken, how they are kept, and how often somebody may ask."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from marquetry.marketplace.accounts import passwords
from marquetry.marketplace.accounts.errors import WeakPassword
from marquetry.marketplace.accounts.password_policy import check_password
from marquetry.marketplace.accounts.rates import LocalBuckets, Rate, refused
from marquetry.marketplace.accounts.redis_rates import RedisBuckets

REDIS = "redis://127.0.0.1:6379/0"
NOW_US = 1_790_000_000_000_000


@pytest.mark.parametrize(
    "password",
    ["Sh0rt!", "alllowercase", "Password1234!", "P@ssw0rd!2024", "Qwertyuiop123!", "Letmein!Letmein!", "aaaaBBBB1111", "Abcdefghijkl1!", "WelcomeSummer2024!", "Marquetry123!", "A1!" * 100, "iloveyouiloveyouiloveyou"],
)  # fmt: skip
def test_passwords_that_are_guessed_first_are_refused(password: str) -> None:
    with pytest.raises(WeakPassword):
        check_password(password)


@pytest.mark.parametrize(
    "password", ["Tr0ub4dor&3xyz", "violet crane bends the mill", "k7#Lq9!vTz2p", "Überfähre-7-Moos", "83920184927361950274"]
)
def test_passwords_that_are_not_are_taken(password: str) -> None:
    check_password(password, email="ann@example.org", name="Ann Lee")


def test_a_password_must_not_hold_the_name_or_the_address() -> None:
    for password in ("xX9!annabelle77", "9!Example-kzqw", "Q7!lindholm-zz"):
        with pytest.raises(WeakPassword, match="name or e-mail"):
            check_password(password, email="annabelle@example.org", name="B Lindholm")


def test_every_reason_is_told_at_once() -> None:
    with pytest.raises(WeakPassword) as refused:
        check_password("password")
    reasons = refused.value.details["reasons"]
    assert isinstance(reasons, list) and len(reasons) == 3


def test_passwords_are_kept_as_argon2id_and_compared() -> None:
    kept = passwords.hash_password("Tr0ub4dor&3xyz")
    assert kept.startswith("$argon2id$") and kept != passwords.hash_password("Tr0ub4dor&3xyz")
    assert passwords.verify_password(kept, "Tr0ub4dor&3xyz") and not passwords.verify_password(kept, "tr0ub4dor&3xyz")
    assert not passwords.verify_password(None, passwords.NOBODYS) and not passwords.verify_password("garbage", "x")
    assert passwords.is_outdated("$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQxMjM0$Qm9ndXNoYXNoYm9ndXNoYXNoYm9ndXNoYXNoYm9ndXM")


@pytest.mark.parametrize(
    ("text", "rate"), [("10/s", Rate(10, 1_000_000, 10)), ("5/15min", Rate(5, 900_000_000, 5)), ("3/s + 10", Rate(3, 1_000_000, 10))]
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate


@pytest.mark.parametrize("text", ["", "10", "0/s", "10/0s", "-1/s", "1/y", "1.5/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="examples"):
        Rate.parse(text)


@settings(suppress_health_check=[HealthCheck.too_slow])  # how fast values are drawn depends on what else the machine does
@given(some.integers(1, 20), some.integers(1, 30), some.lists(some.integers(0, 400_000), min_size=1, max_size=120))
def test_no_more_than_the_burst_and_what_time_gives_is_let_through(count: int, burst: int, pauses_us: list[int]) -> None:
    async def run() -> None:
        buckets, rate, now_us = LocalBuckets(), Rate(count, 1_000_000, burst), NOW_US
        taken: list[int] = []
        for pause_us in pauses_us:
            now_us += pause_us
            wait_us = await buckets.take("a", rate, now_us)
            if wait_us == 0:
                taken.append(now_us)
            else:
                assert await buckets.take("a", rate, now_us + wait_us - 1) > 0
        for first in range(len(taken)):
            for last in range(first, len(taken)):
                assert last - first + 1 <= burst + (taken[last] - taken[first]) // rate.step_us + 1

    asyncio.run(run())


async def test_buckets_are_apart_and_the_oldest_are_forgotten() -> None:
    buckets, rate = LocalBuckets(most=2), Rate.parse("1/min")
    assert [await buckets.take(key, rate, NOW_US) for key in "aab"] == [0, 60_000_000, 0]
    await buckets.take("c", rate, NOW_US)
    assert await buckets.take("a", rate, NOW_US) == 0
    assert refused(1, "x").details["retry_after_s"] == 1 and refused(1_000_001, "x").details["retry_after_s"] == 2


async def test_several_servers_count_together_in_redis_as_one_does_alone() -> None:
    prefix = f"marquetry-test:{uuid.uuid4().hex}:"
    servers, alone, rate = [RedisBuckets(REDIS, prefix), RedisBuckets(REDIS, prefix)], LocalBuckets(), Rate.parse("2/s+3")
    try:
        now_us = NOW_US
        for number in range(20):
            now_us += 130_000 * (number % 4)
            assert await servers[number % 2].take("a", rate, now_us) == await alone.take("a", rate, now_us), number
    finally:
        for server in servers:
            await server.close()


async def test_without_redis_a_server_limits_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    buckets, rate = RedisBuckets("redis://127.0.0.1:1/0"), Rate.parse("1/min")
    assert [await buckets.take("a", rate, NOW_US) for _ in range(2)] == [0, 60_000_000]
    assert "Redis does not answer" in caplog.text
    await buckets.close()
