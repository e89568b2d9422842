"""Vocabularies from SentencePiece models."""

from __future__ import annotations

import pytest

from marquetry.engine.errors import ModelFormatError
from marquetry.engine.models.text.own_vocabulary import _read, sentence_piece
from tests.engine.models.sentence_pieces import PIECES, piece_model


def pieces(text: str) -> list[str]:
    return [PIECES[number] for number in sentence_piece(piece_model()).encode(text).ids]


def test_pieces_are_joined_in_the_order_of_their_scores() -> None:
    assert pieces("a red cat") == ["<bos>", "a", "\u2581red", "\u2581cat"]
    assert pieces("kind") == ["<bos>", "kin", "d"]


def test_text_may_be_taken_to_begin_with_a_space() -> None:
    made = sentence_piece(piece_model(prefixed=True)).encode("a red cat").ids
    assert [PIECES[number] for number in made] == ["<bos>", "\u2581a", "\u2581red", "\u2581cat"]


def test_letters_that_are_unknown_become_bytes() -> None:
    assert pieces("é") == ["<bos>", "<0xC3>", "<0xA9>"]


def test_text_comes_back() -> None:
    tokenizer = sentence_piece(piece_model())
    assert tokenizer.decode(tokenizer.encode("a red cat, déjà vu").ids) == "a red cat, déjà vu"


@pytest.mark.parametrize("content", [b"", b"\x0a\xff", b"\xff" * 40, b"{not json", piece_model()[:-3]])
def test_what_is_no_vocabulary_is_refused(content: bytes) -> None:
    with pytest.raises(ModelFormatError):
        _read(content, "file")
