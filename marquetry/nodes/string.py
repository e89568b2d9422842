"""Text: joining, cutting, searching and replacing, also by regular expressions that can neither hang nor fill the memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.lazy import LazyModule
from marquetry.engine.ports import Named, Optional, Range, Text, Tip

if TYPE_CHECKING:
    import regex
else:
    regex = LazyModule("regex")

Lines = Annotated[str, Text(multiline=True)]
MAX_CHARACTERS = 2**24
SEARCH_LIMIT_S = 2.0


@node(id="StringConcatenate", title="Concatenate", category="utils/string", aliases=("join", "append"))
def concatenate(string_a: Lines, string_b: Lines, delimiter: Annotated[str, Text()] = "") -> str:
    """Both texts with `delimiter` between."""
    return joined((string_a, string_b), delimiter)


@node(id="StringSubstring", title="Substring", category="utils/string", aliases=("cut", "slice"))
def substring(string: Lines, start: int, end: int) -> str:
    """The characters from `start` up to but not including `end`, counted from 0; negative numbers count from the end."""
    return string[start:end]


@node(id="StringLength", title="Length", category="utils/string", aliases=("count",))
def length(string: Lines) -> Annotated[int, Named("length")]:
    """How many characters the text has."""
    return len(string)


@node(id="CaseConverter", title="Case Converter", category="utils/string", aliases=("upper", "lower", "capitalize"))
def convert_case(string: Lines, mode: Literal["UPPERCASE", "lowercase", "Capitalize", "Title Case"]) -> str:
    """The text in capitals, in small letters, with a capital at its beginning, or at the beginning of each word."""
    return {"UPPERCASE": string.upper, "lowercase": string.lower, "Capitalize": string.capitalize, "Title Case": string.title}[mode]()


@node(id="StringTrim", title="Trim", category="utils/string", aliases=("strip",))
def trim(string: Lines, mode: Literal["Both", "Left", "Right"]) -> str:
    """The text without blanks and line ends at its ends."""
    return {"Both": string.strip, "Left": string.lstrip, "Right": string.rstrip}[mode]()


@node(id="StringReplace", title="Replace", category="utils/string", aliases=("substitute",))
def replace(string: Lines, find: Lines, replace: Lines) -> str:
    """Every occurrence of `find` replaced."""
    require_length(len(string) + string.count(find) * (len(replace) - len(find)))
    return string.replace(find, replace)


@node(id="StringContains", title="Contains", category="utils/string", aliases=("includes",))
def contains(string: Lines, substring: Lines, case_sensitive: bool = True) -> Annotated[bool, Named("contains")]:
    """Whether `substring` occurs in the text."""
    return substring in string if case_sensitive else substring.lower() in string.lower()


@node(id="StringCompare", title="Compare", category="utils/string", aliases=("equals", "starts with", "ends with"))
def compare(string_a: Lines, string_b: Lines, mode: Literal["Starts With", "Ends With", "Equal"], case_sensitive: bool = True) -> bool:
    """Whether the first text begins with, ends with or equals the second."""
    first, second = (string_a, string_b) if case_sensitive else (string_a.lower(), string_b.lower())
    if mode == "Equal":
        return first == second
    return first.startswith(second) if mode == "Starts With" else first.endswith(second)


@node(id="RegexMatch", title="Regex Match", category="utils/string", aliases=("pattern",))
def regex_match(
    string: Lines, regex_pattern: Lines, case_insensitive: bool = True, multiline: bool = False, dotall: bool = False, *, context: Context
) -> Annotated[bool, Named("matches")]:
    """Whether the pattern matches anywhere in the text. A pattern that can't be read matches nothing, and the node says why."""
    pattern = readable(regex_pattern, flags_of(case_insensitive, multiline, dotall), context)
    return pattern is not None and next(matches(pattern, string), None) is not None


@node(id="RegexExtract", title="Regex Extract", category="utils/string", aliases=("pattern", "parse"))
def regex_extract(
    string: Lines,
    regex_pattern: Lines,
    mode: Literal["First Match", "All Matches", "First Group", "All Groups"],
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
    group_index: Annotated[int, Range(0, 100)] = 1,
    *,
    context: Context,
) -> str:
    """What the pattern matches: the first match or all of them, whole or the group `group_index` of each, one a line.

    "All Matches" of a pattern with groups gives its first group. Nothing found, or a pattern that can't be read, gives "".
    """
    pattern = readable(regex_pattern, flags_of(case_insensitive, multiline, dotall), context)
    if pattern is None:
        return ""
    index = {"First Match": 0, "All Matches": min(pattern.groups, 1)}.get(mode, group_index)
    if index > pattern.groups or (mode == "All Groups" and not pattern.groups):
        return ""
    found = (match[index] or "" for match in matches(pattern, string))
    return joined(found, "\n") if mode.startswith("All") else next(found, "")


@node(id="RegexReplace", title="Regex Replace", category="utils/string", aliases=("pattern", "substitute"))
def regex_replace(
    string: Lines,
    regex_pattern: Lines,
    replace: Lines,
    case_insensitive: Annotated[bool, Optional] = True,
    multiline: Annotated[bool, Optional] = False,
    dotall: Annotated[bool, Optional, Tip("When on, a dot also matches the end of a line.")] = False,
    count: Annotated[int, Range(0, 100), Optional, Tip("How many matches to replace from the beginning; 0 replaces all.")] = 0,
) -> str:
    r"""Replaces what the pattern matches; `replace` may name groups as `\1` or `\g<name>`. Fails for a pattern that can't be read."""
    try:
        pattern = regex.compile(regex_pattern, flags_of(case_insensitive, multiline, dotall))
        return joined(replaced(pattern, string, replace, count), "")
    except (regex.error, IndexError) as error:
        raise NodeFailed(f"the pattern or its replacement can't be read: {error}") from error


def flags_of(case_insensitive: bool, multiline: bool, dotall: bool) -> int:
    return re.IGNORECASE * case_insensitive | re.MULTILINE * multiline | re.DOTALL * dotall


def readable(pattern: str, flags: int, context: Context) -> regex.Pattern[str] | None:
    """The compiled pattern; None, and a line on the node, for one that can't be read."""
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        context.text(f"the pattern can't be read: {error}")
        return None


def matches(pattern: regex.Pattern[str], string: str) -> Iterator[regex.Match[str]]:
    """All matches, from left to right. Raises NodeFailed for a pattern that takes too long; other threads run meanwhile."""
    try:
        yield from pattern.finditer(string, timeout=SEARCH_LIMIT_S, concurrent=True)
    except TimeoutError as error:
        raise NodeFailed(
            f"the pattern takes longer than {SEARCH_LIMIT_S:g} s on this text; repeat less within repeats, as in (a+)+"
        ) from error


def replaced(pattern: regex.Pattern[str], string: str, template: str, count: int) -> Iterator[str]:
    """The pieces of the text with matches replaced, `count` of them or all when it is 0."""
    place = 0
    for number, match in enumerate(matches(pattern, string), 1):
        yield string[place : match.start()]
        yield match.expand(template)
        place = match.end()
        if number == count:
            break
    yield string[place:]


def joined(parts: Iterable[str], delimiter: str) -> str:
    """As `delimiter.join(parts)`, but never longer than a text may be."""
    total, kept = -len(delimiter), []
    for part in parts:
        total += len(part) + len(delimiter)
        require_length(total)
        kept.append(part)
    return delimiter.join(kept)


def require_length(characters: int) -> None:
    if characters > MAX_CHARACTERS:
        raise NodeFailed(f"the text would have more than {MAX_CHARACTERS:,} characters")
