"""Money of currencies: whole minor units, and as people and providers write it. No fractions on the way."""

from __future__ import annotations

from marquetry.marketplace.payments.errors import InvalidBilling

WHOLE_CURRENCIES = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THOUSANDTHS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def decimals_of(currency: str) -> int:
    """How many digits the minor unit of a currency has."""
    return 0 if currency in WHOLE_CURRENCIES else 3 if currency in THOUSANDTHS else 2


def shown(amount_minor: int, currency: str) -> str:
    """`1,299.00 USD`."""
    return f"{decimal(amount_minor, currency, ',')} {currency}"


def decimal(amount_minor: int, currency: str, separator: str = "") -> str:
    """`1299.00`: as providers write it."""
    digits = decimals_of(currency)
    sign, amount = ("-" if amount_minor < 0 else ""), abs(amount_minor)
    whole, rest = divmod(amount, 10**digits)
    text = f"{whole:,}".replace(",", separator)
    return f"{sign}{text}.{rest:0{digits}}" if digits else f"{sign}{text}"


def minor(text: str, currency: str) -> int:
    """Minor units of `1299.00`. Raises InvalidBilling."""
    digits = decimals_of(currency)
    whole, _, rest = text.strip().partition(".")
    rest = rest.rstrip("0").ljust(digits, "0")
    if not whole.isdecimal() or not whole.isascii() or len(whole) > 15 or len(rest) != digits or (rest and not rest.isdecimal()):
        raise InvalidBilling(f"'{text[:40]}' is no amount of {currency}")
    return int(whole + rest)


def part_of(total: int, part: int, whole: int) -> int:
    """`total * part / whole`, rounded down; all of it once `part` is `whole`."""
    return total * part // whole
