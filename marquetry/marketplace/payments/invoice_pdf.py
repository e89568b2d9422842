"""Invoices as PDF. Everything is drawn as plain text, so nothing that a buyer wrote is taken for mark-up."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any

from marquetry.marketplace.payments.money import shown

LEFT, RIGHT, TOP, BOTTOM = 56, 539, 780, 90  # points on A4
LINE = 14
FONT, BOLD = "Vera", "VeraBd"
TITLES = {"invoice": "Invoice", "credit_note": "Credit note"}
COLUMNS = 84
MAX_ADDRESS_LINES = 12


def render(content: Mapping[str, Any]) -> bytes:
    """The PDF of an invoice's content; the same content gives the same bytes."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    _register()
    made = io.BytesIO()
    canvas = Canvas(made, pagesize=A4, invariant=1)
    canvas.setTitle(str(content["number"]))
    canvas.setAuthor(_plain(content["seller"]["name"]))
    page = _Page(canvas)
    page.text(TITLES[content["kind"]], size=20, font=BOLD)
    page.space()
    page.text(f"Number: {content['number']}")
    page.text(f"Date: {content['date']}")
    if content["kind"] == "credit_note" and content["reference"]:
        page.text(f"Corrects: {content['reference']}")
    page.space()
    _party(page, "From", content["seller"], "")
    _party(page, "To", content["buyer"], str(content["buyer_id"]))
    _sums(page, content)
    canvas.save()
    return made.getvalue()


class _Page:
    """Writes down the page, and goes on upon the next."""

    def __init__(self, canvas: Any) -> None:
        self._canvas = canvas
        self._y = TOP

    def text(self, words: str, *, size: int = 10, font: str = FONT, right: str = "") -> None:
        for place, line in enumerate(textwrap.wrap(_plain(words), COLUMNS) or [""]):
            if self._y < BOTTOM:
                self._canvas.showPage()
                self._y = TOP
            self._canvas.setFont(font, size)
            self._canvas.drawString(LEFT, self._y, line)
            if right and not place:
                self._canvas.drawRightString(RIGHT, self._y, _plain(right))
            self._y -= LINE + size - 10

    def space(self) -> None:
        self._y -= LINE

    def rule(self) -> None:
        self._canvas.line(LEFT, self._y + 10, RIGHT, self._y + 10)
        self._y -= 4


def _party(page: _Page, title: str, party: Mapping[str, str], id: str) -> None:
    page.text(title, font=BOLD)
    lines = [party["name"], *party["address"].splitlines()[:MAX_ADDRESS_LINES], party.get("country", ""), party["email"]]
    for line in lines:
        if line.strip():
            page.text(line)
    if party["tax_id"]:
        page.text(f"Tax id: {party['tax_id']}")
    if id:
        page.text(f"Customer: {id}")
    page.space()


def _sums(page: _Page, content: Mapping[str, Any]) -> None:
    currency = str(content["currency"])
    page.text("Description", font=BOLD, right="Amount")
    page.rule()
    for line in content["lines"]:
        page.text(line["description"], right=shown(line["amount_minor"], currency))
    page.rule()
    if content["taxes"]:
        page.text("Net", right=shown(content["net_minor"], currency))
    for tax in content["taxes"]:
        whole, rest = divmod(tax["percent_hundredths"], 100)
        rate = f"{whole}.{rest:02}".rstrip("0").rstrip(".")
        page.text(f"{tax['name']} {rate} %", right=shown(tax["amount_minor"], currency))
    page.text("Total", font=BOLD, right=shown(content["total_minor"], currency))
    page.space()
    page.text("Refunded." if content["kind"] == "credit_note" else f"Paid through {content['reference'] or 'bank transfer'}.")


def _plain(text: str) -> str:
    """Characters that the font lacks are shown as such, not left out."""
    known = _known()
    return "".join(character if ord(character) in known else "?" for character in text.replace("\t", " "))


@cache
def _known() -> frozenset[int]:
    from reportlab.pdfbase import pdfmetrics

    _register()
    return frozenset(pdfmetrics.getFont(FONT).face.charToGlyph)


@cache
def _register() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name, file in ((FONT, "Vera.ttf"), (BOLD, "VeraBd.ttf")):
        pdfmetrics.registerFont(TTFont(name, file))
