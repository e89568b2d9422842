"""Buckets in Redis, for several servers that limit together. While Redis does not answer, each server limits by itself, and its log says so."""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import Any

from marquetry.marketplace.accounts.rates import LocalBuckets, Rate
from marquetry.marketplace.errors import NotConfigured

logger = logging.getLogger(__name__)
PATIENCE_S = 1
PAUSE_US = 5_000_000  # after it failed to answer it is left alone that long
TAKE = """
local now, step, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + step
local wait = full - now - step * burst
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
return 0
"""


class RedisBuckets:
    """Raises NotConfigured where the package redis is missing."""

    def __init__(self, url: str, prefix: str = "marquetry:rate:") -> None:
        try:
            module: Any = importlib.import_module("redis.asyncio")
            self._errors: tuple[type[Exception], ...] = (importlib.import_module("redis.exceptions").RedisError, OSError, TimeoutError)
        except ModuleNotFoundError as error:
            raise NotConfigured("accounts.redis_url needs the package redis: pip install 'marquetry[redis]'") from error
        self._redis = module.from_url(url)
        self._script = self._redis.register_script(TAKE)
        self._prefix = prefix
        self._local = LocalBuckets()
        self._away_until_us = 0

    async def take(self, key: str, rate: Rate, now_us: int) -> int:
        if now_us < self._away_until_us:
            return await self._local.take(key, rate, now_us)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return int(await self._script(keys=[self._prefix + key], args=[now_us, rate.step_us, rate.burst]))
        except self._errors as error:
            self._away_until_us = now_us + PAUSE_US
            logger.warning("Redis does not answer (%s); this server limits rates by itself for now", type(error).__name__)
            return await self._local.take(key, rate, now_us)

    async def close(self) -> None:
        await self._redis.aclose()
