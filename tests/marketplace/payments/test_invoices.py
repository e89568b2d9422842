"""Invoices: numbers without gaps, taxes that sum up, pages that hold whatever a buyer writes."""

from __future__ import annotations

import re
import threading
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from marquetry.marketplace.payments.errors import InvalidBilling, UnknownInvoice
from marquetry.marketplace.payments.invoice_pdf import render
from marquetry.marketplace.payments.invoices import Buyer, Issue, Seller, Tax, divided, get_invoice, issue, set_buyer
from marquetry.marketplace.payments.money import decimal, minor, shown
from marquetry.marketplace.payments.tables import invoices

SELLER = Seller("Marquetry Ltd", "1 Road\nTown", "GB123", "billing@example.org", "M-")
WANTED = Issue("invoice", "ann", "p1", "20,000 credits", "USD", 2000, "stripe")


def ms(year: int, month: int = 1, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


def test_numbers_begin_anew_each_year(connection: Connection) -> None:
    found = [issue(connection, WANTED, SELLER, (), moment).number for moment in (ms(2031), ms(2031, 12, 31), ms(2032), ms(2031))]
    assert found == ["M-2031-000001", "M-2031-000002", "M-2032-000001", "M-2031-000003"]


def test_numbers_have_no_gaps_although_some_transactions_fail(engine: Engine) -> None:
    def work(number: int) -> None:
        with engine.connect() as connection:
            for place in range(5):
                transaction = connection.begin()
                issue(connection, WANTED, SELLER, (), ms(2040))
                transaction.rollback() if (place + number) % 3 == 0 else transaction.commit()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        places = connection.execute(select(invoices.c.place).where(invoices.c.year == 2040).order_by(invoices.c.place)).scalars().all()
    assert places == list(range(1, 21))


def test_what_is_printed_stays_when_the_buyer_moves(connection: Connection) -> None:
    set_buyer(connection, "ann", Buyer("Ann", "Old Street", "IN", "T1"), ms(2031))
    gst = (Tax("CGST", 900, ("USD",), ("IN",)), Tax("SGST", 900), Tax("VAT", 2000, ("EUR",)))
    made = issue(connection, WANTED, SELLER, gst, ms(2031))
    set_buyer(connection, "ann", Buyer("Ann", "New Street", "US", "T2"), ms(2031))
    printed = get_invoice(connection, made.number, "ann").printed
    assert printed["buyer"]["address"] == "Old Street"
    assert (printed["net_minor"], [tax["amount_minor"] for tax in printed["taxes"]]) == (1695, [153, 152])
    assert [tax["name"] for tax in issue(connection, WANTED, SELLER, gst, ms(2031)).printed["taxes"]] == ["SGST"]
    with pytest.raises(UnknownInvoice):
        get_invoice(connection, made.number, "bob")


@given(st.integers(1, 10**12), st.lists(st.integers(0, 10_000), max_size=5))
def test_net_and_taxes_are_the_price(total: int, rates: list[int]) -> None:
    net, parts = divided(total, [Tax("t", rate) for rate in rates])
    assert net + sum(parts) == total
    assert all(part >= 0 for part in parts)
    assert abs(sum(parts) * 10_000 - net * sum(rates)) <= 10_000 + sum(rates)


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_can_be_printed(name: str, address: str) -> None:
    content = {
        "number": "M-1", "kind": "invoice", "date": "2031-01-01", "seller": {"name": "S", "address": "", "tax_id": "", "email": ""},
        "buyer": {"name": name, "address": address, "country": "", "tax_id": "<b>", "email": ""}, "buyer_id": "u", "reference": "stripe",
        "lines": [{"description": name, "amount_minor": 1}], "currency": "USD", "net_minor": 1, "taxes": [], "total_minor": 1,
    }  # fmt: skip
    assert render(content).startswith(b"%PDF-1.")


def test_the_page_is_the_same_each_time_and_holds_a_long_invoice(connection: Connection) -> None:
    printed = issue(connection, WANTED, SELLER, (Tax("VAT", 2000),), ms(2031)).printed
    printed["lines"] = [{"description": f"line {place}", "amount_minor": 1} for place in range(120)]
    page = render(printed)
    assert page == render(printed)
    assert len(re.findall(rb"/Type /Page\b", page)) == 3
    assert zlib.crc32(page)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(129_900, "USD", "1299.00"), (5, "INR", "0.05"), (500, "JPY", "500"), (1234, "KWD", "1.234"), (-250, "EUR", "-2.50")],
)
def test_amounts_are_written_as_providers_write_them(amount: int, currency: str, text: str) -> None:
    assert decimal(amount, currency) == text
    if amount > 0:
        assert minor(text, currency) == amount
    assert shown(129_900, "USD") == "1,299.00 USD"


@pytest.mark.parametrize("text", ["", "1.001", "-1.00", "1e3", "١.00", "1,000.00", "nan", "1" * 16])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(InvalidBilling):
        minor(text, "USD")
