"""Texts that change on the way to the engine: one of `{several|choices}`, and `%placeholders%` for widgets and dates."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from random import Random

COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
FORBIDDEN = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
DATE = re.compile(r"yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")


def resolve_choices(text: str, random: Random) -> str:
    """The text without its comments, with one choice picked from each `{a|b}`. Braces nest; a backslash keeps one as it is."""
    text = COMMENT.sub("", text)
    levels: list[list[list[str]]] = [[[]]]  # for every open brace its choices so far, each a list of pieces
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "\\" and place < len(text) and text[place] in "{}|\\":
            levels[-1][-1].append(text[place] if text[place] != "\\" else "\\\\")
            place += 1
        elif character == "{":
            levels.append([[]])
        elif character == "|" and len(levels) > 1:
            levels[-1].append([])
        elif character == "}" and len(levels) > 1:
            choices = levels.pop()
            levels[-1][-1].append("".join(random.choice(choices)))
        else:
            levels[-1][-1].append(character)
    while len(levels) > 1:  # a brace that nobody closed ends with the text
        choices = levels.pop()
        levels[-1][-1].append("".join(random.choice(choices)))
    return "".join(levels[0][0])


def escape_choices(text: str) -> str:
    """The text from which `resolve_choices` makes this one, as far as braces go; comments can't be kept."""
    return text.replace("{", "\\{").replace("}", "\\}")


def replace_placeholders(text: str, value_of: Callable[[str, str], str | None], now: datetime) -> str:
    """The text with `%Node.widget%` and `%date:yyyy-MM-dd%` filled in. `value_of(node, widget)` gives None where there is no such widget."""

    def replaced(match: re.Match[str]) -> str:
        inside = match[1]
        if inside == "date" or inside.startswith("date:"):
            return _date(inside[5:] or "yyyyMMddhhmmss", now)
        node, dot, widget = inside.partition(".")
        value = value_of(node, widget) if dot else None
        return match[0] if value is None else FORBIDDEN.sub("_", value)

    return re.sub(r"%([^%]+)%", replaced, text)


def _date(form: str, now: datetime) -> str:
    parts = {
        "yyyy": f"{now.year:04}", "yy": f"{now.year % 100:02}", "MM": f"{now.month:02}", "M": str(now.month), "dd": f"{now.day:02}",
        "d": str(now.day), "hh": f"{now.hour:02}", "h": str(now.hour), "mm": f"{now.minute:02}", "m": str(now.minute),
        "ss": f"{now.second:02}", "s": str(now.second),
    }  # fmt: skip
    return DATE.sub(lambda match: parts[match[0]], form)
