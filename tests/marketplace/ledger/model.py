"""The ledger as it should be, in plain dictionaries: what random operations on the real one are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from marquetry.marketplace.ledger import Balance, Capture, Earnings

Source = list[Any]  # [grant or None, amount]


class Refused(Exception):
    """The operation must fail with this code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Grant:
    id: int
    owner: str
    remaining: int
    expires_ms: int | None


@dataclass
class Held:
    owner: str
    first_amount: int
    expires_ms: int
    amount: int
    state: str = "open"
    captured: int = 0
    sources: list[Source] = field(default_factory=list)

    @property
    def left(self) -> int:
        return sum(amount for _, amount in self.sources)


@dataclass
class Charged:
    capture: Capture
    owner: str
    sources: list[Source]
    refunded: int = 0


@dataclass
class Model:
    """Every method does what the function of the ledger with its name does, or raises Refused."""

    paid: dict[str, int] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    holds: dict[str, Held] = field(default_factory=dict)
    charged: dict[tuple[str, str, str], Charged] = field(default_factory=dict)
    accrued: dict[str, int] = field(default_factory=dict)
    payouts: dict[str, list[Any]] = field(default_factory=dict)  # [creator, amount, state]
    keys: dict[tuple[str, str], tuple[object, int]] = field(default_factory=dict)

    def _once(self, scope: str, key: str, content: object) -> int | None:
        if (scope, key) not in self.keys:
            return None
        before, result = self.keys[scope, key]
        if before != content:
            raise Refused("idempotency_conflict")
        return result

    def credit(self, owner: str, amount: int, purse: str, key: str, expires_ms: int | None) -> None:
        if self._once("credit", key, (owner, amount, purse)) is not None:
            return
        if purse == "paid":
            self.paid[owner] = self.paid.get(owner, 0) + amount
        else:
            self.grants.append(Grant(len(self.grants), owner, amount, expires_ms))
        self.keys["credit", key] = ((owner, amount, purse), 0)

    def debit(self, owner: str, amount: int, purse: str, key: str, partly: bool) -> int:
        before = self._once("credit", key, (owner, -amount, purse))
        if before is not None:
            return before
        grants = self._open_grants(owner, 0)
        there = self.paid.get(owner, 0) if purse == "paid" else sum(grant.remaining for grant in grants)
        if there < amount and not partly:
            raise Refused("insufficient_credits")
        taken = min(there, amount)
        sources = [[None, taken]] if purse == "paid" else _front([[grant.id, grant.remaining] for grant in grants], taken)
        self._put(owner, sources, -1)
        self.keys["credit", key] = ((owner, -amount, purse), taken)
        return taken

    def place_hold(self, owner: str, run_id: str, amount: int, now_ms: int, ttl_ms: int) -> None:
        known = self.holds.get(run_id)
        if known is not None:
            if (known.owner, known.first_amount) != (owner, amount):
                raise Refused("idempotency_conflict")
            return
        sources = self._set_aside(owner, amount, now_ms)
        self.holds[run_id] = Held(owner, amount, now_ms + ttl_ms, amount, sources=sources)

    def reopen_hold(self, run_id: str, amount: int, now_ms: int, ttl_ms: int) -> None:
        known = self.holds.get(run_id)
        if known is None:
            raise Refused("hold_not_found")
        if known.state == "open":
            return
        known.sources = self._set_aside(known.owner, amount, now_ms)
        known.state, known.expires_ms, known.amount = "open", now_ms + ttl_ms, known.amount + amount

    def renew_holds(self, run_ids: Sequence[str], now_ms: int, ttl_ms: int) -> None:
        for run_id in run_ids:
            if run_id in self.holds and self.holds[run_id].state == "open":
                self.holds[run_id].expires_ms = max(self.holds[run_id].expires_ms, now_ms + ttl_ms)

    def capture(self, captures: Sequence[Capture]) -> list[tuple[int, bool]]:
        """All or none; gives what is left of the hold, and whether it was a replay, for each."""
        results = self.capture_each(captures, dry=True)
        for result in results:
            if isinstance(result, str):
                raise Refused(result)
        return [result for result in self.capture_each(captures) if not isinstance(result, str)]

    def capture_each(self, captures: Sequence[Capture], dry: bool = False) -> list[tuple[int, bool] | str]:
        """As `capture`; each for itself, the code of what was refused. `dry`: nothing changes."""
        left = {run_id: [list(source) for source in held.sources] for run_id, held in self.holds.items()}
        new: dict[tuple[str, str, str], Charged] = {}
        results: list[tuple[int, bool] | str] = []
        for wanted in captures:
            results.append(self._charge(wanted, left, new))
        if not dry:
            for key, charged in new.items():
                self.charged[key] = charged
                self.holds[key[0]].captured += charged.capture.amount_microcredits
                for share in charged.capture.shares:
                    self.accrued[share.creator] = self.accrued.get(share.creator, 0) + share.amount_microcredits
            for run_id, sources in left.items():
                self.holds[run_id].sources = sources
        return results

    def _charge(self, wanted: Capture, left: dict[str, list[Source]], new: dict[tuple[str, str, str], Charged]) -> tuple[int, bool] | str:
        if wanted.run_id not in left:
            return "hold_not_found"
        key = (wanted.run_id, wanted.node_id, wanted.kind)
        remaining = sum(amount for _, amount in left[wanted.run_id])
        known = self.charged.get(key) or new.get(key)
        if known is not None:
            return (remaining, True) if known.capture == wanted else "idempotency_conflict"
        if self.holds[wanted.run_id].state != "open":
            return "hold_closed"
        if wanted.amount_microcredits > remaining:
            return "hold_exceeded"
        drawn = _front(left[wanted.run_id], wanted.amount_microcredits)
        left[wanted.run_id] = _back(left[wanted.run_id], wanted.amount_microcredits)
        new[key] = Charged(wanted, self.holds[wanted.run_id].owner, drawn)
        return remaining - wanted.amount_microcredits, False

    def release(self, run_id: str) -> int:
        return self._end(run_id, "released")

    def expire_holds(self, now_ms: int) -> int:
        due = [run_id for run_id, held in self.holds.items() if held.state == "open" and held.expires_ms <= now_ms]
        for run_id in due:
            self._end(run_id, "expired")
        return len(due)

    def expire_grants(self, now_ms: int) -> int:
        due = [grant for grant in self.grants if grant.remaining and grant.expires_ms is not None and grant.expires_ms <= now_ms]
        for grant in due:
            grant.remaining = 0
        return len(due)

    def refund(self, key_of_capture: tuple[str, str, str], amount: int | None, key: str) -> int:
        known = self.charged.get(key_of_capture)
        if known is None:
            raise Refused("capture_not_found")
        before = self._once("refund", key, (key_of_capture, amount))
        if before is not None:
            return before
        total = known.capture.amount_microcredits
        given = total - known.refunded if amount is None else amount
        if not 0 < given <= total - known.refunded:
            raise Refused("refund_exceeded")
        self._put(known.owner, _front(_back(known.sources[::-1], known.refunded), given), 1)
        for share in known.capture.shares:
            owed = share.amount_microcredits * (known.refunded + given) // total - share.amount_microcredits * known.refunded // total
            self.accrued[share.creator] -= owed
        known.refunded += given
        self.keys["refund", key] = ((key_of_capture, amount), given)
        return given

    def begin_payout(self, creator: str, amount: int, key: str) -> str:
        if key in self.payouts:
            if self.payouts[key][:2] != [creator, amount]:
                raise Refused("idempotency_conflict")
            return str(self.payouts[key][2])
        if self.accrued.get(creator, 0) < amount:
            raise Refused("insufficient_earnings")
        self.accrued[creator] -= amount
        self.payouts[key] = [creator, amount, "begun"]
        return "begun"

    def finish_payout(self, key: str, state: str) -> str:
        if key not in self.payouts:
            raise Refused("payout_not_found")
        payout = self.payouts[key]
        if payout[2] not in ("begun", state):
            raise Refused("payout_closed")
        if payout[2] == "begun" and state == "cancelled":
            self.accrued[payout[0]] += payout[1]
        payout[2] = state
        return state

    def balance(self, owner: str) -> Balance:
        granted = sum(grant.remaining for grant in self.grants if grant.owner == owner)
        return Balance(self.paid.get(owner, 0), granted, sum(held.left for held in self.holds.values() if held.owner == owner))

    def earnings(self, creator: str) -> Earnings:
        def paid_out(state: str) -> int:
            return sum(amount for owner, amount, found in self.payouts.values() if owner == creator and found == state)

        return Earnings(self.accrued.get(creator, 0), paid_out("begun"), paid_out("settled"))

    def _end(self, run_id: str, state: str) -> int:
        held = self.holds.get(run_id)
        if held is None or held.state != "open":
            return 0
        back = held.left
        self._put(held.owner, held.sources, 1)
        held.sources, held.state = [], state
        return back

    def _open_grants(self, owner: str, now_ms: int) -> list[Grant]:
        live = [grant for grant in self.grants if grant.owner == owner and grant.remaining]
        live = [grant for grant in live if grant.expires_ms is None or grant.expires_ms > now_ms]
        return sorted(live, key=lambda grant: (grant.expires_ms is None, grant.expires_ms or 0, grant.id))

    def _set_aside(self, owner: str, amount: int, now_ms: int) -> list[Source]:
        there: list[Source] = [[grant.id, grant.remaining] for grant in self._open_grants(owner, now_ms)]
        there.append([None, self.paid.get(owner, 0)])
        if sum(part for _, part in there) < amount:
            raise Refused("insufficient_credits")
        sources = _front(there, amount)
        self._put(owner, sources, -1)
        return sources

    def _put(self, owner: str, sources: list[Source], sign: int) -> None:
        for grant, amount in sources:
            if grant is None:
                self.paid[owner] = self.paid.get(owner, 0) + sign * amount
            else:
                self.grants[grant].remaining += sign * amount


def _front(sources: list[Source], amount: int) -> list[Source]:
    """The first `amount` of sources, unit by unit as it were."""
    taken: list[Source] = []
    for grant, part in sources:
        used = min(part, amount - sum(other for _, other in taken))
        if used > 0:
            taken.append([grant, used])
    return taken


def _back(sources: list[Source], amount: int) -> list[Source]:
    """What follows the first `amount`."""
    total = sum(part for _, part in sources)
    return _front(sources[::-1], total - amount)[::-1]
