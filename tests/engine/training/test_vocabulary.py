"""The trainer's tokens are those of transformers' CLIP tokenizer over the same vocabulary."""

from typing import Any

import pytest
from transformers import CLIPTokenizer

from marquetry.engine.models.text.clip_tokenizer import merges, vocabulary
from marquetry.engine.training.lexicon import Lexicon
from marquetry.engine.training.vocabulary import token_ids

CAPTIONS = ["", "a red cat on the beach, at night", "Photo of a kitten!!", "it's 1234 naïve cafés", "a " * 120]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_tokens_agree_with_transformers(caption: str) -> None:
    pairs: Any = [tuple(merge.split()) for merge in merges()]
    reference = CLIPTokenizer(vocab=vocabulary(), merges=pairs)

    expected = reference([caption], padding="max_length", truncation=True, max_length=77)["input_ids"]

    assert token_ids([caption]).tolist() == expected


def test_a_word_that_was_never_taught_is_neutral() -> None:
    import torch

    lexicon = Lexicon(["a", "red", "cat"])

    table = lexicon.spread(torch.ones(lexicon.size, 2))
    ids = token_ids(["a red cat", "a lovely cat"])

    assert table[ids].sum(dim=2)[0, :5].tolist() == [2.0, 2.0, 2.0, 2.0, 2.0]
    assert table[ids].sum(dim=2)[1, :5].tolist() == [2.0, 2.0, 0.0, 2.0, 2.0]
