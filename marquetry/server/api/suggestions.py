"""Suggestions for a prompt: how it could go on, from the words that the built-in model knows, and from what was asked for before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import web
from pydantic import BaseModel, Field

from marquetry.server.api import PREFIXES
from marquetry.server.api.results import made
from marquetry.server.caller import OWNER_HEADER, owner_filter
from marquetry.server.http.answer import json_answer
from marquetry.server.http.body import read_query
from marquetry.server.http.routes import Answer, RouteTable
from marquetry.server.keys import JOBS

routes = RouteTable("Prompts", PREFIXES)
REMEMBERED_JOBS = 100


class SuggestQuery(BaseModel):
    q: str = Field(default="", max_length=2_000, description="the prompt so far")
    limit: int = Field(default=8, ge=1, le=50)


class Suggestion(BaseModel):
    text: str = Field(description="the whole prompt as it would be")
    source: str = Field(description="words: known to the built-in model; history: asked for before")


class Suggestions(BaseModel):
    suggestions: list[Suggestion]


@routes.get(
    "/prompts/suggest",
    "How a prompt could go on",
    query=SuggestQuery,
    headers=OWNER_HEADER,
    answers={200: Answer("suggestions", Suggestions)},
)
async def suggest(request: web.Request) -> web.Response:
    """The caller's own earlier prompts first, then words."""
    query = read_query(request, SuggestQuery)
    jobs, _ = await request.app[JOBS].jobs(owner=owner_filter(request), limit=REMEMBERED_JOBS)
    earlier = dict.fromkeys(prompt for job in jobs for prompt in made(job).prompts)
    found = [Suggestion(text=text, source="history") for text in matching(earlier, query.q)][: max(1, query.limit // 2)]
    known = {suggestion.text for suggestion in found}
    for text in continued(query.q):
        if len(found) >= query.limit:
            break
        if text not in known:
            known.add(text)
            found.append(Suggestion(text=text, source="words"))
    return json_answer(Suggestions(suggestions=found))


def matching(earlier: Sequence[str] | dict[str, None], so_far: str) -> Iterator[str]:
    """Earlier prompts that hold what was typed, those that begin with it first."""
    wanted = so_far.strip().lower()
    texts = [text for text in earlier if text.strip() and text.strip() != so_far.strip()]
    yield from (text for text in texts if wanted and text.lower().startswith(wanted))
    yield from (text for text in texts if wanted in text.lower() and not (wanted and text.lower().startswith(wanted)))


def continued(so_far: str) -> Iterator[str]:
    """The prompt with its last word finished, or with what it does not say yet: colour, subject, place, time of day."""
    groups = _groups()
    words = so_far.split()
    unfinished = "" if not words or so_far.endswith((" ", ",")) else words[-1].lower()
    before = so_far[: len(so_far) - len(unfinished)] if unfinished else so_far
    if unfinished:
        for group in groups:
            for phrase in group:
                if phrase.startswith(unfinished) and phrase != unfinished:
                    yield before + phrase
    begun = list(_begun(so_far, groups))
    if begun:
        yield from begun
        return
    said = f" {so_far.lower()} "
    base = so_far.rstrip() + " " if so_far.strip() else ""
    for group in groups:
        if not any(f" {word} " in said for phrase in group for word in (phrase, phrase.split()[-1])):
            yield from (base + phrase for phrase in group)
            return


def _begun(so_far: str, groups: tuple[tuple[str, ...], ...]) -> Iterator[str]:
    """The prompt with a phrase finished of which whole words stand at its end: `a cat in the` goes on as `a cat in the forest`."""
    words = so_far.split()
    for group in groups:
        for phrase in group:
            parts = phrase.split()
            for count in range(min(len(parts) - 1, len(words)), 0, -1):
                if [word.lower() for word in words[-count:]] == parts[:count]:
                    yield " ".join([*words[:-count], phrase])
                    break


def _groups() -> tuple[tuple[str, ...], ...]:
    from marquetry.nodes.world import captions

    return tuple(
        tuple(dict.fromkeys(word for words in group.values() for word in words if word))
        for group in (captions.COLOUR_WORDS, captions.SUBJECT_WORDS, captions.PLACES, captions.MOMENTS)
    )
