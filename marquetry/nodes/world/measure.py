"""Measures the built-in model, prints the table, and writes its card and contact sheet: `python -m marquetry.nodes.world.measure`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from marquetry.nodes.world.builtin import BUILTIN_MODEL
from marquetry.nodes.world.card import model_card
from marquetry.nodes.world.exam import ATTRIBUTES, Answer, Painter, questions, share_all_right, share_right, sit
from marquetry.nodes.world.render import PICTURE_SIZE

if TYPE_CHECKING:
    from marquetry.engine.training.sampling import SamplingPlan

REPOSITORY = Path(__file__).parents[3]
CARD = REPOSITORY / "docs" / "builtin-model.md"
CONTACT_SHEET = REPOSITORY / "docs" / "pictures" / "builtin-contact-sheet.png"
SHEET_COLUMNS = 12
SHEET_ROWS = 5
SHEET_MAGNIFICATION = 2


def reference_painter(model_file: Path, plan: SamplingPlan) -> Painter:
    """Paints with the trainer's own plain sampler, so that the model is measured apart from the engine."""
    from marquetry.engine.training.sampling import sample
    from marquetry.engine.training.single_file import read_model

    model = read_model(model_file)

    def paint(captions: list[str], seeds: list[int]) -> list[Image.Image]:
        return [Image.fromarray(picture.numpy()) for picture in sample(model, captions, seeds, plan)]

    return paint


def table(answers: Sequence[Answer]) -> str:
    """The marks as a Markdown table: all captions, then those with phrasings seen and not seen in training."""
    groups = {
        "all": list(answers),
        "phrasing seen in training": [answer for answer in answers if not answer.question.new_phrasing],
        "phrasing never seen": [answer for answer in answers if answer.question.new_phrasing],
    }
    lines = ["| captions | count | subject | colour | setting | time of day | all four |", "|---|---|---|---|---|---|---|"]
    for name, group in groups.items():
        marks = [f"{share_right(group, attribute):.1%}" for attribute in ATTRIBUTES]
        lines.append(f"| {name} | {len(group)} | {' | '.join(marks)} | {share_all_right(group):.1%} |")
    return "\n".join(lines)


def contact_sheet(answers: Sequence[Answer]) -> Image.Image:
    """Answers from all over the exam side by side, right or wrong."""
    cell = PICTURE_SIZE * SHEET_MAGNIFICATION
    sheet = Image.new("RGB", (SHEET_COLUMNS * cell, SHEET_ROWS * cell))
    shown = min(SHEET_COLUMNS * SHEET_ROWS, len(answers))
    for place in range(shown):
        row, column = divmod(place, SHEET_COLUMNS)
        picture = answers[place * len(answers) // shown].picture
        sheet.paste(picture.resize((cell, cell), Image.Resampling.NEAREST), (column * cell, row * cell))
    return sheet


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=BUILTIN_MODEL)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--dry", action="store_true", help="print the table and write nothing")
    options = parser.parse_args()
    from marquetry.engine.training.sampling import SamplingPlan
    from marquetry.engine.training.single_file import read_facts

    plan = SamplingPlan(options.steps, options.guidance)
    answers = sit(questions(), reference_painter(options.model, plan))
    marks = table(answers)
    print(marks)
    if options.dry:
        return
    CONTACT_SHEET.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(answers).save(CONTACT_SHEET, optimize=True)
    facts = read_facts(options.model)
    sampling = f"DDIM, {plan.steps} steps, guidance {plan.guidance:g}"
    card = model_card(marks, sampling, facts, json.loads(facts["marquetry.training"]), options.model.stat().st_size)
    CARD.write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
