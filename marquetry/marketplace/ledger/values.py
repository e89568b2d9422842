"""What the ledger takes and gives. All amounts are integers of micro-credits, all times milliseconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Purse: TypeAlias = Literal["paid", "granted"]
Purpose: TypeAlias = Literal["run", "reservation"]
HoldState: TypeAlias = Literal["open", "released", "expired"]
PayoutState: TypeAlias = Literal["begun", "settled", "cancelled"]


@dataclass(frozen=True, slots=True)
class Share:
    """What a creator earns by a capture. `split` names the rule by which it was divided, and is kept on the line."""

    creator: str
    listing: str
    amount_microcredits: int
    split: str = ""


@dataclass(frozen=True, slots=True)
class Capture:
    """A charge of one finished node. What the shares leave is the platform's. `(run_id, node_id, kind)` is charged once."""

    run_id: str
    node_id: str
    kind: str
    amount_microcredits: int
    shares: tuple[Share, ...] = ()
    operation: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Captured:
    """A capture that stands. `id` is its journal entry; `replayed`: it stood before; `remaining_microcredits`: left of the hold."""

    id: int
    run_id: str
    node_id: str
    kind: str
    amount_microcredits: int
    remaining_microcredits: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Credits set aside for a run: `amount` in all, of which some were captured and some given back."""

    run_id: str
    owner: str
    state: HoldState
    amount_microcredits: int
    captured_microcredits: int
    released_microcredits: int
    created_ms: int
    expires_ms: int
    purpose: Purpose = "run"

    @property
    def remaining_microcredits(self) -> int:
        """What can still be captured."""
        return self.amount_microcredits - self.captured_microcredits - self.released_microcredits


@dataclass(frozen=True, slots=True)
class Balance:
    """A person's credits in micro-credits. `held` is set aside for runs; grants are drawn before what was paid for."""

    paid: int
    granted: int
    held: int

    @property
    def spendable(self) -> int:
        """What a new hold may take."""
        return self.paid + self.granted


@dataclass(frozen=True, slots=True)
class Earnings:
    """A creator's earnings in micro-credits. `accrued` may be below zero: a refund took back what had been paid out."""

    accrued: int
    payable: int
    paid_out: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal entry as its owner, or a creator who earned by it, sees it; the fields of accounts are what they gained.

    Of a charge that somebody else paid, a creator sees neither run, node nor description. `amount_microcredits` is the change of what can be
    spent, of a charge what left the hold, of earnings what was earned.
    """

    id: int
    kind: str
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
    listings: tuple[str, ...]
    reverses: int | None


@dataclass(frozen=True, slots=True)
class Charge:
    """A capture of a run, and what of it was refunded since."""

    id: int
    run_id: str
    node_id: str
    kind: str
    operation: str
    description: str
    created_ms: int
    amount_microcredits: int
    refunded_microcredits: int


@dataclass(frozen=True, slots=True)
class Payout:
    """Earnings on their way to a creator."""

    key: str
    creator: str
    amount_microcredits: int
    state: PayoutState
    created_ms: int
    finished_ms: int | None
