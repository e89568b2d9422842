"""The exam of a text-to-image model of the built-in world: captions it never saw, marked from its pictures alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from marquetry.nodes.world.captions import HELD_OUT_PHRASINGS, PHRASINGS, caption
from marquetry.nodes.world.checker import Finding, check
from marquetry.nodes.world.scene import Content, all_contents, is_held_out

QUESTIONS_COUNT = 200
EXAM_SEED = 20_000
FULL_PHRASINGS = tuple(phrasing for phrasing in PHRASINGS if "{colour}" in phrasing and "place" in phrasing)
ATTRIBUTES: tuple[str, ...] = ("subject", "colour", "setting", "time_of_day")

Painter = Callable[[list[str], list[int]], list[Image.Image]]
"""Makes one picture for each caption and seed."""


@dataclass(frozen=True, slots=True)
class Question:
    """A caption that says everything, what it asks for, and whether its phrasing was held out too."""

    content: Content
    caption: str
    seed: int
    new_phrasing: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A picture for a question, and what the checker sees in it."""

    question: Question
    picture: Image.Image
    finding: Finding

    def is_right(self, attribute: str) -> bool:
        """True where the picture shows what was asked."""
        return bool(getattr(self.finding.content, attribute) == getattr(self.question.content, attribute))


def questions(count: int = QUESTIONS_COUNT, seed: int = EXAM_SEED) -> list[Question]:
    """Captions of combinations that training never saw, half of them in phrasings that it never saw either."""
    draw = random.Random(seed)
    unseen = [content for content in all_contents() if is_held_out(content)]
    asked: list[Question] = []
    for index in range(count):
        content = unseen[index % len(unseen)]
        new_phrasing = index % 2 == 1
        text = caption(content, draw, HELD_OUT_PHRASINGS if new_phrasing else FULL_PHRASINGS)
        asked.append(Question(content, text, seed + index, new_phrasing))
    return asked


def sit(asked: Sequence[Question], paint: Painter, batch: int = 25) -> list[Answer]:
    """Has every question painted and marked."""
    answers: list[Answer] = []
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        pictures = paint([question.caption for question in part], [question.seed for question in part])
        answers += [Answer(question, picture, check(picture)) for question, picture in zip(part, pictures, strict=True)]
    return answers


def share_right(answers: Sequence[Answer], attribute: str) -> float:
    """The share of answers that are right about one attribute."""
    return sum(answer.is_right(attribute) for answer in answers) / len(answers)


def share_all_right(answers: Sequence[Answer]) -> float:
    """The share of answers that are right about everything."""
    return sum(all(answer.is_right(attribute) for attribute in ATTRIBUTES) for answer in answers) / len(answers)
