"""Trending: how much a listing is wanted lately, as one number that is kept up with every use and never has to be gone over again.

Forward decay (Cormode, Shkapenyuk, Srivastava and Xu, 2009): something of weight w at time t counts 2^(t / half-life) * w. Only the logarithm
of the sum is kept, in fixed point, so that old and new compare at any time by `<` and an index holds the order.
"""

from __future__ import annotations

from functools import cache
from math import isqrt

BITS = 20  # after the point
ONE = 1 << BITS
HALF_LIFE_MS = 3 * 24 * 3600 * 1000
USE, FAVOURITE, SALE = 0, 2, 3
"""Logarithms of the weights: a use counts 1, a favourite 4, a sale 8."""


def raised(score: int, log_weight: int, now_ms: int) -> int:
    """The score after something of weight 2^`log_weight` happened now. A score of 0 is none."""
    new = now_ms * ONE // HALF_LIFE_MS + log_weight * ONE
    if score == 0:
        return new
    high, low = max(score, new), min(score, new)
    return high + _log2_one_plus(high - low)


def _log2_one_plus(distance: int) -> int:
    """log2(1 + 2^-distance), both in fixed point."""
    if distance >= 24 * ONE:
        return 0
    return _log2(ONE + _power(distance))


def _power(distance: int) -> int:
    """2^-distance in fixed point."""
    whole, part = divmod(distance, ONE)
    value = ONE << 10
    for bit, root in enumerate(_roots(), start=1):
        if part & (ONE >> bit):
            value = (value << 30) // root
    return (value >> whole) >> 10


def _log2(value: int) -> int:
    """log2 of a number from 1 to 2, both in fixed point, by squaring."""
    found, wide = 0, value << 10
    one = ONE << 10
    if wide >= 2 * one:
        return ONE
    for bit in range(1, BITS + 1):
        wide = wide * wide // one
        if wide >= 2 * one:
            wide >>= 1
            found |= ONE >> bit
    return found


@cache
def _roots() -> tuple[int, ...]:
    """2^(1/2), 2^(1/4), ... with 30 bits after the point."""
    roots, value = [], 2 << 30
    for _ in range(BITS):
        value = isqrt(value << 30)
        roots.append(value)
    return tuple(roots)
