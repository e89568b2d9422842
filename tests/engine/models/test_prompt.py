"""Prompts: weights, escapes, textual inversions by name and chunks, as ComfyUI reads them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marquetry.engine.models.text.clip_tokenizer import END_TOKEN, START_TOKEN, tokenize
from marquetry.engine.models.text.prompt import CHUNK_TOKENS, TokenizedPrompt, parse_weights, tokenize_prompt

VECTORS = {"style": torch.arange(12.0).reshape(3, 4), "a-b.c": torch.ones(1, 4)}


def tokenized(text: str, pad_token: int = END_TOKEN) -> TokenizedPrompt:
    return tokenize_prompt(text, pad_token=pad_token, find_embedding=VECTORS.get)


def numbers(prompt: TokenizedPrompt) -> list[list[int]]:
    return [[token for token, _ in chunk if isinstance(token, int)] for chunk in prompt.chunks]


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("a (red) cat", [("a ", 1.0), ("red", 1.1), (" cat", 1.0)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("(a (b:1.5) c:0.5)", [("a ", 0.5), ("b", 1.5), (" c", 0.5)]),
        ("((a) b)", [("a", 1.1 * 1.1), (" b", 1.1)]),
        (r"a \(red\) cat", [("a (red) cat", 1.0)]),
        (r"(a \(b\):1.2)", [("a (b)", 1.2)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:)", [("a:", 1.1)]),
        ("(:1.2)", [(":1.2", 1.1)]),
        ("(a:-0.5)", [("a", -0.5)]),
        ("(a:nan)", [("a:nan", 1.1)]),
        ("(a", [("(a", 1.0)]),
        ("a) (b:1.2)", [("a) (b:1.2)", 1.0)]),
        ("[a|b]", [("[a|b]", 1.0)]),
        ("", []),
    ],
)
def test_weights_are_read(text: str, weights: list[tuple[str, float]]) -> None:
    read = parse_weights(text)

    assert [words for words, _ in read] == [words for words, _ in weights]
    assert [weight for _, weight in read] == pytest.approx([weight for _, weight in weights])


@given(st.text(alphabet="()a:1. \\", max_size=40))
def test_no_letter_but_marks_of_weight_is_lost(text: str) -> None:
    letters = sum(words.count("a") for words, _ in parse_weights(text))

    assert letters == text.count("a")


def test_deep_parentheses_do_not_break_the_reader() -> None:
    assert parse_weights("(" * 5000 + "a" + ")" * 5000)[0][0].count("a") == 1


@pytest.mark.parametrize("pad_token", [END_TOKEN, 0])
def test_prompt_stands_between_marks_and_is_filled_up(pad_token: int) -> None:
    (chunk,) = numbers(tokenized("a photo of a cat", pad_token))

    assert chunk == [START_TOKEN, 320, 1125, 539, 320, 2368, END_TOKEN, *[pad_token] * 70]


def test_empty_prompt_is_one_chunk() -> None:
    assert numbers(tokenized("")) == [[START_TOKEN, *[END_TOKEN] * 76]]


def test_75_tokens_fit_one_chunk_and_76_take_two() -> None:
    assert len(tokenized("cat " * 75).chunks) == 1
    first, second = numbers(tokenized("cat " * 76))
    assert (len(first), len(second)) == (CHUNK_TOKENS, CHUNK_TOKENS)
    assert (first.count(2368), second.count(2368)) == (75, 1)


def test_short_weighted_passage_is_not_cut_at_the_end_of_a_chunk() -> None:
    first, second = tokenized("cat " * 72 + "(red house at night:1.2)").chunks

    assert sum(weight != 1.0 for _, weight in first) == 0
    assert sum(weight == 1.2 for _, weight in second) == 4


def test_textual_inversion_takes_one_place_for_each_vector() -> None:
    chunk = tokenized("in (embedding:style:1.4) of embedding:a-b.c, bright").chunks[0]

    assert [weight for token, weight in chunk if not isinstance(token, int)] == [1.4, 1.4, 1.4, 1.0]
    assert tokenize(",")[0] in [token for token, _ in chunk if isinstance(token, int)]


def test_textual_inversion_that_is_missing_is_named_and_left_out() -> None:
    prompt = tokenized("a embedding:nowhere cat")

    assert prompt.missing == ("nowhere",)
    assert numbers(prompt)[0][1:3] == [320, 2368]
