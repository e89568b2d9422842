"""Captions say what the scene shows, in words that the model is taught."""

import random
import re

import pytest

from marquetry.nodes.world.captions import (
    COLOUR_WORDS,
    HELD_OUT_PHRASINGS,
    MOMENT_NOUNS,
    MOMENTS,
    PHRASINGS,
    SUBJECT_WORDS,
    caption,
    caption_words,
    with_filler,
)
from marquetry.nodes.world.exam import questions
from marquetry.nodes.world.scene import Content, all_contents, is_held_out


def test_every_word_of_a_caption_is_taught() -> None:
    draw = random.Random(0)

    said = {word for content in all_contents() for word in re.findall(r"\w+", caption(content, draw, PHRASINGS + HELD_OUT_PHRASINGS))}

    assert said <= caption_words()


def test_night_is_always_said() -> None:
    draw = random.Random(0)
    night_words = [phrase for words in (MOMENTS, MOMENT_NOUNS) for phrase in words["night"]]

    for _ in range(300):
        text = caption(Content("car", "red", "city", "night"), draw)
        assert any(phrase in text for phrase in night_words), text


def test_the_subject_is_always_said() -> None:
    draw = random.Random(0)

    for content in all_contents():
        text = caption(content, draw)
        assert any(word in text for word in SUBJECT_WORDS[content.subject])


@pytest.mark.parametrize("phrasing", PHRASINGS + HELD_OUT_PHRASINGS)
def test_phrasings_leave_no_gaps(phrasing: str) -> None:
    text = caption(Content("house", "orange", "snow", "day"), random.Random(1), (phrasing,))

    assert "  " not in text
    assert ", ," not in text
    assert text == text.strip(" ,")
    assert "a orange" not in text


def test_a_filler_adds_words_and_keeps_the_rest() -> None:
    text = with_filler("a red cat", random.Random(0))

    assert len(text) > len("a red cat")
    assert [word for word in text.split() if word in {"a", "red", "cat"}] == ["a", "red", "cat"]


def test_the_exam_asks_about_everything_and_only_about_what_was_held_out() -> None:
    asked = questions()

    assert len(asked) == 200
    assert all(is_held_out(question.content) for question in asked)
    assert all(any(word in question.caption for word in COLOUR_WORDS[question.content.colour]) for question in asked)
    assert sum(question.new_phrasing for question in asked) == 100
