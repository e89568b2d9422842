"""The open image templates that ComfyUI publishes, read from the editor's format and run to their pictures on tiny models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from marquetry.engine.models.families.registry import families
from tests.templates.missing import MISSING
from tests.templates.package import names
from tests.templates.sizes import SIZES
from tests.templates.studio import TURNED_DOWN, Studio
from tests.templates.table import README, with_table


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    studio = Studio(tmp_path_factory.mktemp("templates"))
    yield studio
    studio.close()


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in TURNED_DOWN:
        monkeypatch.setattr(module, name, value)


def test_there_are_59_of_them() -> None:
    assert len(set(names())) == 59
    assert MISSING.keys() <= set(names())


@pytest.mark.parametrize("name", [name for name in names() if name not in MISSING])
def test_a_template_is_read_without_a_problem_and_saves_its_pictures(studio: Studio, name: str) -> None:
    conversion = studio.read(name)
    assert not conversion.problems
    validation = studio.check(conversion.graph)
    assert validation.ok and not validation.problems
    ended = studio.run_template(conversion.graph, name)
    assert ended.state == "completed", ended.failures
    pictures = studio.saved(ended)
    assert sorted(picture.shape[1::-1] for picture in pictures) == sorted(SIZES[name])
    assert all(picture.std() > 1 for picture in pictures)


@pytest.mark.parametrize("name", [name for name in names() if name in MISSING])
def test_a_template_that_is_missing_fails_for_the_reason_that_is_given(studio: Studio, name: str) -> None:
    missing, conversion = MISSING[name], studio.read(name)
    unknown: set[Any] = {problem.extra["class_type"] for problem in conversion.problems if problem.type == "unknown_node_type"}
    assert unknown == missing.nodes and len(unknown) == len({problem.message for problem in conversion.problems})
    if missing.family:
        assert not [known.id for known in families() if known.id.startswith(missing.family)]
    if missing.refusal:
        ended = studio.run_template(conversion.graph, name)
        assert ended.failures and re.search(missing.refusal, ended.failures[0].message)
    assert missing.nodes or missing.family or missing.refusal


def test_the_embedding_that_a_prompt_names_is_read(studio: Studio) -> None:
    graph = studio.read("embedding_example").graph
    prompts = [node["inputs"]["text"] for node in graph.values() if "embedding:" in str(node["inputs"].get("text"))]
    models = studio.executor.services.models
    assert models is not None
    clip = models.load_checkpoint("v2-1_768-ema-pruned.safetensors").clip
    assert clip is not None and prompts
    assert not any(clip.encode(prompt).missing for prompt in prompts)
    assert clip.encode(f"{prompts[0]} embedding:other.pt").missing == ("other.pt",)


def test_the_table_in_the_readme_is_the_one_that_was_run() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_table(text) == text, "run python -m tests.templates.table"
