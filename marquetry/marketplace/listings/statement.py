"""Statements: what a payout is made of, as PDF: each listing with what was earned by it, line by line from the ledger."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from marquetry.marketplace.ledger.accounts import Kind
from marquetry.marketplace.ledger.tables import accounts, journal, lines
from marquetry.marketplace.listings.payouts import Payout, bounds_of
from marquetry.marketplace.listings.tables import listings
from marquetry.marketplace.schema import MICROCREDITS

if TYPE_CHECKING:
    from sqlalchemy import Connection

StatementLine = tuple[str, str, int, int]  # title, split, how many, micro-credits


def statement_lines(connection: Connection, payout: Payout) -> list[StatementLine]:
    """What the creator earned in the period, by listing and split."""
    starts_ms, ends_ms = bounds_of(payout.period)
    title = func.coalesce(listings.c.title, lines.c.listing)
    statement = (
        select(title, lines.c.split, func.count(), func.sum(lines.c.amount))
        .join_from(lines, accounts, accounts.c.id == lines.c.account_id)
        .join(journal, journal.c.id == lines.c.entry_id)
        .join(listings, listings.c.id == lines.c.listing, isouter=True)
        .where(accounts.c.owner == payout.owner, accounts.c.kind == Kind.ACCRUED, lines.c.listing != "")
        .where(journal.c.created_ms >= starts_ms, journal.c.created_ms < ends_ms)
        .group_by(title, lines.c.split)
        .order_by(title, lines.c.split)
    )
    return [(str(row[0]), str(row[1]), int(row[2]), int(row[3])) for row in connection.execute(statement)]


def render(payout: Payout, found: list[StatementLine], company: str) -> bytes:
    """The statement as PDF."""
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

    styles = getSampleStyleSheet()
    rows = [["Listing", "Division", "Times", "Credits"]]
    rows += [
        [Paragraph(_escaped(title), styles["BodyText"]), split, f"{count:,}", credits(amount)] for title, split, count, amount in found
    ]
    table = Table(rows, colWidths=[230, 130, 50, 90], repeatRows=1)
    rule = ("LINEBELOW", (0, 0), (-1, 0), 1, colors.black)
    table.setStyle(TableStyle([rule, ("ALIGN", (2, 0), (3, -1), "RIGHT"), ("VALIGN", (0, 0), (-1, -1), "TOP")]))
    dollars, cents = divmod(payout.cents, 100)
    content = [
        Paragraph(f"Statement of earnings {payout.period}", styles["Title"]),
        Paragraph(f"{_escaped(company)} to {_escaped(payout.name or payout.handle)} ({_escaped(payout.handle)})", styles["BodyText"]),
        Paragraph(f"Payout {_escaped(payout.id)}, {payout.state}", styles["BodyText"]),
        Spacer(1, 12),
        table,
        Spacer(1, 12),
        Paragraph(f"Paid out: {credits(payout.amount_microcredits)} credits, USD {dollars:,}.{cents:02}", styles["Heading3"]),
        Paragraph("Earnings of earlier months that were below the minimum are part of the payout.", styles["BodyText"]),
    ]
    data = io.BytesIO()
    SimpleDocTemplate(data, pagesize=A4, title=f"Statement {payout.period}", author=company).build(content)
    return data.getvalue()


def credits(microcredits: int) -> str:
    """Credits with three digits, rounded down; what is below zero, towards nothing."""
    sign, whole = ("-", -microcredits) if microcredits < 0 else ("", microcredits)
    thousandths = whole // (MICROCREDITS // 1000)
    return f"{sign}{thousandths // 1000:,}.{thousandths % 1000:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
