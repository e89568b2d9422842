"""Credits: double entry in whole micro-credits, append-only, chained by hashes; holds, captures, refunds and payouts, each exactly once.

Functions take a connection and never commit; what fails has written nothing.
"""

from __future__ import annotations

from marquetry.marketplace.ledger.captures import capture, capture_each
from marquetry.marketplace.ledger.credits import credit, debit, expire_grants
from marquetry.marketplace.ledger.history import balance, charges, earnings, entries, platform_totals
from marquetry.marketplace.ledger.holds import expire_holds, find_hold, place_hold, release, renew_holds, reopen_hold
from marquetry.marketplace.ledger.payouts import begin_payout, cancel_payout, find_payout, payouts_of, settle_payout
from marquetry.marketplace.ledger.refunds import refund
from marquetry.marketplace.ledger.splits import Royalty, SplitRule, divide, rule_for
from marquetry.marketplace.ledger.values import Balance, Capture, Captured, Charge, Earnings, Entry, Hold, Payout, Share
from marquetry.marketplace.ledger.verification import heads, verify

__all__ = [
    "Balance", "Capture", "Captured", "Charge", "Earnings", "Entry", "Hold", "Payout", "Royalty", "Share", "SplitRule", "balance", "begin_payout", "cancel_payout", "capture",
    "capture_each", "charges", "credit", "debit", "divide", "earnings", "entries", "expire_grants", "expire_holds", "find_hold", "find_payout", "heads", "payouts_of",
    "place_hold", "platform_totals", "refund", "release", "renew_holds", "reopen_hold", "rule_for", "settle_payout", "verify",
]  # fmt: skip
