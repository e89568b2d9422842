"""Events are booked once, in whatever order they come; nobody's credits go below zero, and the ledger keeps its promises."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from itertools import count, permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from marquetry.marketplace import ledger
from marquetry.marketplace.payments import debts, orders
from marquetry.marketplace.payments.booking import APPLIED, IGNORED, MISMATCH, REPLAYED, WAITING, book
from marquetry.marketplace.payments.events import KINDS, Disputed, Happening, Paid, PeriodPaid, ProviderEvent, RefundSaid, packed, unpacked
from marquetry.marketplace.payments.orders import NewOrder, Order
from marquetry.marketplace.payments.receipts import Rules, get_payment, payments_of
from marquetry.marketplace.payments.refunds import begin_refund, refund_failed, refund_made
from marquetry.marketplace.payments.tables import payments
from marquetry.marketplace.plans import subscriptions
from marquetry.marketplace.schema import MICROCREDITS

NOW = 1_800_000_000_000
CREDITS = 1000 * MICROCREDITS
numbers = count(1)


@pytest.fixture
def order(connection: Connection) -> Order:
    return ordered(connection)


def ordered(connection: Connection, owner: str = "ann") -> Order:
    return orders.place(connection, NewOrder(owner, "pack", "house:x", "", "stripe", "USD", 999, CREDITS), NOW)


def event(happening: Happening, id: str = "", at_ms: int = NOW) -> ProviderEvent:
    return ProviderEvent("stripe", id or f"evt_{next(numbers)}", "test", at_ms, happening)


def paid(order: Order, id: str = "", amount: int = 999, currency: str = "USD") -> Paid:
    return Paid(order.id, id or f"pi_{order.id}", amount, currency)


def spend(connection: Connection, owner: str, amount: int) -> None:
    key = uuid.uuid4().hex
    ledger.place_hold(connection, run_id=key, owner=owner, amount_microcredits=amount, now_ms=NOW, ttl_ms=1000)
    ledger.capture(connection, [ledger.Capture(key, "1", "usage", amount)], now_ms=NOW)


def paid_credits(connection: Connection, owner: str = "ann") -> int:
    return ledger.balance(connection, owner).paid


def test_an_event_is_booked_once(connection: Connection, rules: Rules, order: Order) -> None:
    told = event(paid(order))
    assert [book(connection, told, rules, NOW) for _ in range(3)] == [APPLIED, REPLAYED, REPLAYED]
    assert book(connection, event(paid(order)), rules, NOW) == IGNORED
    assert paid_credits(connection) == CREDITS


@pytest.mark.parametrize(("amount", "currency"), [(998, "USD"), (1000, "USD"), (999, "INR")])
def test_another_amount_or_currency_gives_nothing(connection: Connection, rules: Rules, order: Order, amount: int, currency: str) -> None:
    assert book(connection, event(paid(order, amount=amount, currency=currency)), rules, NOW) == MISMATCH
    assert paid_credits(connection) == 0
    assert orders.get(connection, order.id).state == "created"
    assert book(connection, event(paid(order, "pi_right")), rules, NOW) == APPLIED


def test_paid_twice_is_given_once_and_can_be_given_back(connection: Connection, rules: Rules, order: Order) -> None:
    book(connection, event(paid(order)), rules, NOW)
    assert book(connection, event(paid(order, "pi_second")), rules, NOW) == MISMATCH
    assert sorted(payment.kind for payment in payments_of(connection, "ann")) == ["pack", "unexpected"]
    assert paid_credits(connection) == CREDITS


def test_orders_of_others_and_of_nobody_are_left_alone(connection: Connection, rules: Rules, order: Order) -> None:
    other = ProviderEvent("razorpay", "evt", "test", NOW, paid(order))
    assert book(connection, other, rules, NOW) == IGNORED
    assert book(connection, event(Paid("", "pi_x", 999, "USD")), rules, NOW) == IGNORED
    assert paid_credits(connection) == 0


def test_payment_refund_and_dispute_end_alike_in_every_order(engine: Engine, rules: Rules) -> None:
    """A refund of a third and a lost dispute of the whole leave nothing, whichever is heard of first."""
    ends = set()
    for way in permutations(range(3)):
        with engine.connect() as connection, connection.begin() as transaction:
            order = ordered(connection)
            told = (
                paid(order),
                RefundSaid((f"pi_{order.id}",), "re_1", "", 333, "USD", "done"),
                Disputed((f"pi_{order.id}",), "du_1", 999, "USD", "lost"),
            )
            outcomes = [book(connection, event(told[place], at_ms=NOW + place), rules, NOW) for place in way]
            assert set(outcomes) <= {APPLIED, WAITING, IGNORED}  # what a lost dispute has taken is not refunded too
            ends.add((paid_credits(connection), sum(debt.open_microcredits for debt in debts.debts_of(connection, "ann"))))
            assert ledger.verify(connection) == []
            transaction.rollback()
    assert ends == {(0, 0)}


def test_many_processes_that_hear_of_the_same_book_it_once(engine: Engine, rules: Rules) -> None:
    owner = f"racer {uuid.uuid4().hex}"
    with engine.begin() as connection:
        order = ordered(connection, owner)
    told, outcomes = event(paid(order)), list[str]()

    def hear() -> None:
        with engine.begin() as connection:
            outcomes.append(book(connection, told, rules, NOW))

    threads = [threading.Thread(target=hear) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [APPLIED, *[REPLAYED] * 5]
    with engine.connect() as connection:
        assert paid_credits(connection, owner) == CREDITS


def test_what_fails_on_the_way_leaves_nothing_and_is_booked_when_it_comes_again(
    engine: Engine, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = f"crash {uuid.uuid4().hex}"
    with engine.begin() as connection:
        order = ordered(connection, owner)
    told = event(paid(order))

    def crash(*_: object) -> None:
        raise OSError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(debts, "settle", crash)
        with pytest.raises(OSError), engine.begin() as connection:
            book(connection, told, rules, NOW)
    with engine.connect() as connection:
        assert paid_credits(connection, owner) == 0
        assert connection.execute(select(payments.c.id).where(payments.c.owner == owner)).all() == []
    with engine.begin() as connection:
        assert book(connection, told, rules, NOW) == APPLIED


def test_a_refund_that_fails_gives_back_what_it_took_and_what_its_debt_was_paid(connection: Connection, rules: Rules, order: Order) -> None:
    book(connection, event(paid(order)), rules, NOW)
    spend(connection, "ann", CREDITS - 300)
    (payment,) = payments_of(connection, "ann")
    refund = begin_refund(connection, payment.id, None, key="k", reason="", made_by="root", now_ms=NOW)
    assert (refund.taken_microcredits, paid_credits(connection)) == (300, 0)
    book(connection, event(paid(ordered(connection), "pi_more")), rules, NOW)
    assert paid_credits(connection) == 300  # the debt was paid
    refund_failed(connection, refund.id, NOW)
    assert paid_credits(connection) == CREDITS + 300
    assert get_payment(connection, payment.id).refunded_minor == 0
    assert [debt.state for debt in debts.debts_of(connection, "ann")] == ["void"]
    assert ledger.verify(connection) == []


def test_credits_that_a_run_held_pay_the_debt_when_they_are_back(connection: Connection, rules: Rules, order: Order) -> None:
    book(connection, event(paid(order)), rules, NOW)
    ledger.place_hold(connection, run_id="r", owner="ann", amount_microcredits=CREDITS, now_ms=NOW, ttl_ms=1000)
    book(connection, event(Disputed((f"pi_{order.id}",), "du", 999, "USD", "open")), rules, NOW)
    assert debts.owed(connection) == CREDITS
    ledger.release(connection, run_id="r", now_ms=NOW)
    assert debts.settle_all(connection, NOW) == CREDITS
    assert (paid_credits(connection), debts.owed(connection)) == (0, 0)


def test_a_first_payment_for_a_subscription_paid_twice_begins_one(connection: Connection, rules: Rules) -> None:
    new = NewOrder("ann", "subscription", "comics-002:creator", "month", "stripe", "USD", 1900, 0)
    order = orders.place(connection, new, NOW)
    for number in (1, 2):
        said = PeriodPaid(f"sub_{number}", order.id, f"in_{number}", 1900, "USD")
        assert book(connection, event(said), rules, NOW) == (APPLIED if number == 1 else MISMATCH)
    known = subscriptions.in_force(connection, "ann", NOW)
    assert known is not None and known.provider_subscription_id == "sub_1"
    assert ledger.balance(connection, "ann").granted == 2500 * 10 * MICROCREDITS


def test_a_renewal_at_another_price_gives_no_period(connection: Connection, rules: Rules) -> None:
    order = orders.place(connection, NewOrder("ann", "subscription", "comics-002:creator", "month", "stripe", "USD", 1900, 0), NOW)
    book(connection, event(PeriodPaid("sub", order.id, "in_1", 1900, "USD")), rules, NOW)
    before = subscriptions.in_force(connection, "ann", NOW)
    assert book(connection, event(PeriodPaid("sub", order.id, "in_2", 1, "USD")), rules, NOW + 1) == MISMATCH
    assert subscriptions.in_force(connection, "ann", NOW) == before


def moves() -> Iterator[st.SearchStrategy[tuple[str, int]]]:
    for name in ("buy", "spend", "refund", "fail", "dispute", "win"):
        yield st.tuples(st.just(name), st.integers(1, 999))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps=st.lists(st.one_of(*moves()), max_size=14))
def test_whatever_happens_all_that_came_in_is_somewhere(engine: Engine, rules: Rules, steps: list[tuple[str, int]]) -> None:
    """Bought less spent and taken back is the balance less what is owed; and never below zero."""
    with engine.connect() as connection, connection.begin() as transaction:
        spent = 0
        for name, number in steps:
            known = payments_of(connection, "ann")
            chosen = known[number % len(known)] if known else None
            if name == "buy":
                book(connection, event(paid(ordered(connection))), rules, NOW)
            elif name == "spend":
                part = paid_credits(connection) * number // 999
                spend(connection, "ann", part) if part else None
                spent += part
            elif chosen is not None and name in ("refund", "fail") and not chosen.dispute and chosen.refunded_minor + number <= 999:
                made = begin_refund(connection, chosen.id, number, key=f"{next(numbers)}", reason="", made_by="", now_ms=NOW)
                refund_made(connection, made.id, f"re_{made.id}", rules, NOW) if name == "refund" else refund_failed(
                    connection, made.id, NOW
                )
            elif chosen is not None and name in ("dispute", "win"):
                said = Disputed((chosen.provider_payment_id,), f"du_{chosen.id}", 999, "USD", "open" if name == "dispute" else "won")
                book(connection, event(said), rules, NOW)
        kept = sum(
            0 if payment.dispute == "open" else payment.microcredits - payment.microcredits * payment.refunded_minor // 999
            for payment in payments_of(connection, "ann")
        )
        owed = sum(debt.open_microcredits for debt in debts.debts_of(connection, "ann"))
        assert paid_credits(connection) - owed == kept - spent
        assert ledger.verify(connection) == []
        transaction.rollback()


def test_every_kind_of_event_is_kept_as_it_was() -> None:
    for kind in KINDS.values():
        fields = kind.__dataclass_fields__.values()
        values = [{"str": "x", "int": 7, "bool": True, "tuple[str, ...]": ("a", "b")}[field.type] for field in fields]
        assert unpacked(packed(kind(*values))) == kind(*values)
    assert unpacked(packed(None)) is None
