"""Writes the table of templates into the README: `python -m tests.templates.table`."""

from __future__ import annotations

from pathlib import Path

from tests.templates.missing import MISSING
from tests.templates.package import VERSION, names

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- templates -->", "<!-- /templates -->"


def table() -> str:
    """Markdown: how many run, and why each of the others does not."""
    reasons: dict[str, list[str]] = {}
    for name in names():
        if name in MISSING:
            reasons.setdefault(MISSING[name].why, []).append(name)
    running = len(names()) - len(MISSING)
    lines = [f"{running} of the {len(names())} open image templates in `comfyui-workflow-templates` {VERSION} run."]
    if reasons:
        lines += ["", "| those that do not | because |", "|---|---|"]
        lines += [f"| {', '.join(f'`{name}`' for name in missing)} | {why} |" for why, missing in reasons.items()]
    return "\n".join(lines)


def with_table(text: str) -> str:
    """The README's text with the table as it must be. Raises ValueError where the markers are missing."""
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return f"{text[:begin]}\n{table()}\n{text[end:]}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
