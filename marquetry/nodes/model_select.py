"""Choosing a checkpoint by what matters for the run."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.expansion import GraphBuilder
from marquetry.engine.outcome import NodeOutput
from marquetry.engine.ports import Clip, File, Model, Tip, Vae

Candidate = Annotated[str, File("checkpoints", also=("none",))]


class Selected(NamedTuple):
    MODEL: Model
    CLIP: Clip
    VAE: Vae
    name: Annotated[str, Tip("The file that was chosen.")]


@node(id="ModelSelect", title="Select Model", category="loaders", aliases=("fastest", "cheapest", "best"))
def select_model(
    context: Context,
    policy: Annotated[
        Literal["fastest", "best", "cheapest"],
        Tip("fastest and cheapest take the candidate with the fewest bytes of weights, best the one with the most."),
    ] = "fastest",
    model_1: Candidate = "none",
    model_2: Candidate = "none",
    model_3: Candidate = "none",
    model_4: Candidate = "none",
) -> NodeOutput[Selected]:
    """Loads one of up to four checkpoints. The time and the price of a step grow with the weights, so their size decides.

    Fails when no candidate is given.
    """
    names = [name for name in (model_1, model_2, model_3, model_4) if name != "none"]
    if not names:
        raise NodeFailed("choose at least one model among model_1 to model_4")
    sizes = {name: context.folders.full_path("checkpoints", name).stat().st_size for name in names}
    chosen = max(names, key=sizes.__getitem__) if policy == "best" else min(names, key=sizes.__getitem__)
    graph = GraphBuilder()
    loader = graph.node("CheckpointLoaderSimple", "checkpoint", ckpt_name=chosen)
    return NodeOutput((loader.out(0), loader.out(1), loader.out(2), chosen), expand=graph.finalize())  # type: ignore[arg-type]
