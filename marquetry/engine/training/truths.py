"""The truth about pictures, as it is written down: what a reader of pictures is to learn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from marquetry.engine.training.errors import TrainingFailed
from marquetry.engine.training.readers import DIMENSIONS, UNKNOWN, ReaderFacts

QUESTIONS_MAX, ANSWERS_MAX = 200, 1000


def read_truths(document: Any, side: int, count: int) -> tuple[ReaderFacts, dict[str, Tensor]]:
    """A list with one entry for each picture: an object of attributes, or a direction [x, y, z]. What an object lacks is unknown.

    Raises TrainingFailed for anything else.
    """
    if not isinstance(document, list) or len(document) != count or not document:
        found = len(document) if isinstance(document, list) else "no list"
        raise TrainingFailed(f"there are {count} pictures and {found} truths; give a list with one entry for each picture")
    if all(isinstance(entry, list) for entry in document):
        return ReaderFacts("direction", side), {"direction": _directions(document)}
    if not all(isinstance(entry, dict) for entry in document):
        raise TrainingFailed("each truth is an object of attributes, or each is a direction [x, y, z]; they can't be mixed")
    questions = {
        str(name): tuple(sorted({str(entry[name]) for entry in document if name in entry}))
        for name in sorted({key for entry in document for key in entry})
    }
    if not 0 < len(questions) <= QUESTIONS_MAX or max(map(len, questions.values())) > ANSWERS_MAX:
        raise TrainingFailed(f"between one and {QUESTIONS_MAX} attributes are learnt, each with at most {ANSWERS_MAX} answers")
    numbers = {
        name: torch.tensor([answers.index(str(entry[name])) if name in entry else UNKNOWN for entry in document])
        for name, answers in questions.items()
    }
    return ReaderFacts("attributes", side, questions=questions), numbers


def _directions(document: list[list[Any]]) -> Tensor:
    for number, entry in enumerate(document, start=1):
        sound = len(entry) == DIMENSIONS and all(isinstance(value, (int, float)) for value in entry)
        if not sound or not any(entry):
            raise TrainingFailed(f"truth {number} is no direction; give three numbers that are not all zero")
    return torch.tensor(document, dtype=torch.float32)
