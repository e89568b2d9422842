"""The small part of CLIP's vocabulary that captions use, trained as a small table and spread out for export.

Row 0 stands for every other token: it stays zero, so a word that was never taught says nothing instead of noise.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from marquetry.engine.models.text.clip_tokenizer import END_TOKEN, START_TOKEN
from marquetry.engine.training.networks import VOCABULARY_SIZE
from marquetry.engine.training.vocabulary import token_ids


class Lexicon:
    """Maps CLIP token ids to rows of the small table."""

    def __init__(self, words: Iterable[str]) -> None:
        used = {START_TOKEN, END_TOKEN, *token_ids(sorted(words)).flatten().tolist()}
        self.tokens = torch.tensor(sorted(used))
        self.rows = torch.zeros(VOCABULARY_SIZE, dtype=torch.long)
        self.rows[self.tokens] = torch.arange(1, len(self.tokens) + 1)

    @property
    def size(self) -> int:
        """Rows of the small table."""
        return len(self.tokens) + 1

    def compact(self, captions: list[str]) -> Tensor:
        """Captions to rows `[B, 77]`."""
        return self.rows[token_ids(captions)]

    def spread(self, table: Tensor) -> Tensor:
        """The small table `[size, width]` as a full CLIP table `[49408, width]`, zero where nothing was learnt."""
        full = torch.zeros(VOCABULARY_SIZE, table.shape[1], dtype=table.dtype)
        full[self.tokens] = table[1:]
        return full
