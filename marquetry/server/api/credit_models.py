"""Bodies, queries and answers of the routes on credits. Amounts are whole micro-credits; a credit is 1,000,000 of them, 0.001 US dollars."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from marquetry.marketplace.schema import MICROCREDITS

if TYPE_CHECKING:
    from marquetry.marketplace.ledger import Balance, Entry

MAX_PAGE = 1000
MAX_KINDS = 20
MAX_AMOUNT = 10**15
LAST_MS = 10**15
LAST_ID = 2**62
KIND = re.compile(r"[a-z][a-z0-9_]{0,31}")
SAME_AS = {"commit": "usage", "hold": "reserve"}
"""Other names of kinds, as clients of reservations know them."""

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=300)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
Key = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00]+$")]
Microcredits = Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT)]


class BalanceModel(BaseModel):
    """`spendable` is what a new run may take; `held` is set aside for runs under way. `credits` is `spendable` in whole credits."""

    credits: int
    spendable_microcredits: int
    paid_microcredits: int
    granted_microcredits: int
    held_microcredits: int


class TableQuery(BaseModel):
    kinds: str | None = Field(
        default=None, max_length=600, description="only these kinds, with commas: purchase,usage,refund,bonus,reserve,release,..."
    )
    since_ms: int | None = Field(default=None, ge=0, le=LAST_MS, description="only entries of that time or later")
    until_ms: int | None = Field(default=None, ge=0, le=LAST_MS, description="only entries before that time")

    @model_validator(mode="after")
    def _known(self) -> TableQuery:
        kinds_of(self.kinds)
        return self


class HistoryQuery(TableQuery):
    after: int | None = Field(default=None, ge=0, le=LAST_ID, description="go on behind the entry of this id")
    limit: int = Field(default=100, ge=1, le=MAX_PAGE)


class EntryModel(BaseModel):
    """`amount_microcredits` is the change of what can be spent; of a charge what left the hold; of earnings what was earned."""

    id: int
    kind: str = Field(description="purchase, bonus, adjustment, reserve, usage, release, refund, expiry, earning, payout, ...")
    created_ms: int
    amount_microcredits: int
    paid: int
    granted: int
    held: int
    accrued: int
    payable: int
    run_id: str
    node_id: str
    operation: str
    reference: str
    description: str
    listings: list[str]
    reverses: int | None = Field(description="the entry that this one takes back, wholly or in part")


class HistoryModel(BaseModel):
    entries: list[EntryModel]
    next_after: int | None = Field(description="give it as `after` for what follows; nothing when this is all")


class Amount(BaseModel):
    """An amount in whole credits or in micro-credits."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[int, Field(strict=True, ge=1, le=MAX_AMOUNT // MICROCREDITS)] | None = Field(
        default=None, description="whole credits"
    )
    amount_microcredits: Microcredits | None = None

    @property
    def given(self) -> int | None:
        return self.amount_microcredits if self.amount is None else self.amount * MICROCREDITS

    @model_validator(mode="after")
    def _one(self) -> Amount:
        if self.amount is not None and self.amount_microcredits is not None:
            raise ValueError("give amount or amount_microcredits, not both")
        return self


class Reserve(Amount):
    @model_validator(mode="after")
    def _some(self) -> Reserve:
        if self.given is None:
            raise ValueError("give amount, in credits, or amount_microcredits")
        return self

    @property
    def microcredits(self) -> int:
        return self.given or 0


class Settle(Amount):
    reservation_id: Id
    description: str = Field(default="", max_length=300)

    @property
    def microcredits(self) -> int | None:
        return self.given


class Release(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reservation_id: Id


class Reservation(BaseModel):
    reservation_id: str
    state: Literal["open", "released", "expired"]
    amount_microcredits: int
    expires_ms: int
    balance: BalanceModel


class SettledModel(BaseModel):
    """What became of a reservation."""

    reservation_id: str
    captured_microcredits: int
    released_microcredits: int
    balance: BalanceModel


class CreditAdjustment(BaseModel):
    model_config = ConfigDict(extra="forbid")

    owner: Id = Field(description="id of the person")
    amount_microcredits: Annotated[int, Field(strict=True, ge=-MAX_AMOUNT, le=MAX_AMOUNT)] = Field(description="below zero takes credits")
    purse: Literal["paid", "granted"] = "granted"
    reason: Reason = Field(description="the person sees it")
    key: Key = Field(description="the same key with the same content adjusts once")

    @model_validator(mode="after")
    def _something(self) -> CreditAdjustment:
        if self.amount_microcredits == 0:
            raise ValueError("amount_microcredits is not zero")
        return self


class Adjusted(BaseModel):
    owner: str
    balance: BalanceModel


class CreditRefund(BaseModel):
    model_config = ConfigDict(extra="forbid")

    run_id: Id
    node_id: Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")] | None = Field(
        default=None, description="only this node of the run"
    )
    amount_microcredits: Microcredits | None = Field(default=None, description="only a part, of a single charge")
    reason: Reason
    key: Key = Field(description="the same key with the same content refunds once")


class Refunded(BaseModel):
    run_id: str
    refunded_microcredits: int


def kinds_of(text: str | None) -> list[str] | None:
    """Kinds as a query names them. Raises ValueError."""
    if text is None:
        return None
    kinds = [part.strip() for part in text.split(",") if part.strip()]
    if len(kinds) > MAX_KINDS or not all(KIND.fullmatch(kind) for kind in kinds):
        raise ValueError(f"kinds are at most {MAX_KINDS} names of small letters with commas between them")
    return [SAME_AS.get(kind, kind) for kind in kinds]


def balance_model(balance: Balance) -> BalanceModel:
    return BalanceModel(
        credits=balance.spendable // MICROCREDITS,
        spendable_microcredits=balance.spendable,
        paid_microcredits=balance.paid,
        granted_microcredits=balance.granted,
        held_microcredits=balance.held,
    )


def entry_model(entry: Entry) -> EntryModel:
    return EntryModel(
        **{name: getattr(entry, name) for name in EntryModel.model_fields if name != "listings"}, listings=list(entry.listings)
    )
