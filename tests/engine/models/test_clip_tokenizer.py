"""The tokenizer of CLIP gives what transformers' own gives."""

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marquetry.engine.models.text.clip_tokenizer import END_TOKEN, START_TOKEN, detokenize, merges, tokenize, vocabulary


@functools.cache
def published() -> Any:
    import transformers

    make: Any = transformers.CLIPTokenizer
    return make(vocab=dict(vocabulary()), merges=[tuple(merge.split()) for merge in merges()])


def test_vocabulary_is_the_published_one() -> None:
    known = vocabulary()

    assert len(known) == 49408
    assert (known["<|startoftext|>"], known["<|endoftext|>"]) == (START_TOKEN, END_TOKEN)
    assert (known["!"], known["a</w>"], known["cat</w>"], known["photograph</w>"]) == (0, 320, 2368, 8853)


def test_known_sentence_has_the_published_numbers() -> None:
    assert tokenize("a photo of a cat") == [320, 1125, 539, 320, 2368]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "A  CAT\n\tsat",
        "it's we'll I'd",
        "naïve café",
        "日本語 текст",
        "🙂 emoji 👩‍🚀",
        "1234 3.14",
        "<|endoftext|> x",
        "a_b-c,d.e!?",
        "x" * 300,
    ],
)
def test_equals_transformers(text: str) -> None:
    assert tokenize(text) == published()(text)["input_ids"][1:-1]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_equals_transformers_on_any_text(text: str) -> None:
    assert tokenize(text) == published()(text)["input_ids"][1:-1]


def test_words_come_back() -> None:
    assert detokenize([START_TOKEN, *tokenize("A red house, at night"), END_TOKEN]) == "a red house , at night"
