"""Details of a listing, checked: texts and lists within limits, a licence that is named or written out, a price that fits its kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from marquetry.marketplace.listings.errors import InvalidListing
from marquetry.marketplace.listings.kinds.kind import Kind
from marquetry.marketplace.listings.values import Details

TAG = re.compile(r"[a-z0-9](?:[a-z0-9 ._+-]{0,38}[a-z0-9+])?")
SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}(?: (?:OR|AND|WITH) [A-Za-z0-9][A-Za-z0-9.+-]{0,63}){0,4}")
CUSTOM = "custom"
MAX_TAGS = 20
MAX_PRICE_MICROCREDITS = 10**13  # 10,000 US dollars
TEXTS = {"title": (1, 120), "summary": (0, 300), "description": (0, 50_000), "category": (0, 40), "licence_text": (0, 50_000)}


def checked(details: Details, kind: Kind) -> Details:
    """The details as they are kept. Raises InvalidListing."""
    for name, (least, most) in TEXTS.items():
        value = getattr(details, name)
        if not least <= len(value.strip()) or len(value) > most or "\x00" in value:
            raise InvalidListing(f"{name} has {least} to {most:,} characters", field=name)
    _licence(details)
    _price(details, kind)
    return replace(
        details,
        title=details.title.strip(),
        tags=_words(details.tags, "tags", TAG),
        base_models=_words([model.lower() for model in details.base_models], "base_models", TAG),
        trigger_words=_phrases(details.trigger_words),
    )


def _licence(details: Details) -> None:
    if details.licence != CUSTOM and (SPDX.fullmatch(details.licence) is None or len(details.licence) > 100):
        raise InvalidListing("licence is an SPDX expression, as Apache-2.0, or 'custom' with licence_text", field="licence")
    if details.licence == CUSTOM and details.pricing != "free" and not details.licence_text.strip():
        raise InvalidListing("what is sold under a custom licence says in licence_text what buyers may do", field="licence_text")


def _price(details: Details, kind: Kind) -> None:
    if details.pricing not in kind.pricings:
        raise InvalidListing(f"a {kind.title} is priced {', '.join(kind.pricings)}, not '{details.pricing[:20]}'", field="pricing")
    least = 0 if details.pricing == "free" else 1
    most = 0 if details.pricing == "free" else MAX_PRICE_MICROCREDITS
    if type(details.price_microcredits) is not int or not least <= details.price_microcredits <= most:
        said = "free listings cost 0" if details.pricing == "free" else f"the price is 1 to {MAX_PRICE_MICROCREDITS:,} micro-credits"
        raise InvalidListing(said, field="price_microcredits")
    if not 1 <= details.period_days <= 366:
        raise InvalidListing("period_days is 1 to 366", field="period_days")


def _words(given: Sequence[str], name: str, form: re.Pattern[str]) -> tuple[str, ...]:
    words = sorted({word.strip().lower() for word in given})
    if len(words) > MAX_TAGS:
        raise InvalidListing(f"at most {MAX_TAGS} {name} are allowed", field=name)
    for word in words:
        if form.fullmatch(word) is None:
            raise InvalidListing(f"{name}: '{word[:40]}' is not 1 to 40 letters, digits, spaces and . _ + -", field=name)
    return tuple(words)


def _phrases(given: Sequence[str]) -> tuple[str, ...]:
    phrases = tuple(dict.fromkeys(phrase.strip() for phrase in given))
    if len(phrases) > MAX_TAGS or any(not 0 < len(phrase) <= 100 for phrase in phrases):
        raise InvalidListing(f"at most {MAX_TAGS} trigger words, each of 1 to 100 characters", field="trigger_words")
    return phrases
