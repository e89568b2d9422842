"""Faster sampling by approximation, where a graph asks for it."""

from __future__ import annotations

from typing import Annotated

from marquetry.engine.context import Context
from marquetry.engine.declare import node
from marquetry.engine.ports import Advanced, Model, Range, Tip
from marquetry.engine.sampling.easy_cache import EasyCache

Moment = Annotated[float, Range(0.0, 1.0, step=0.01), Tip("Of the way from pure noise (0) to the finished picture (1)."), Advanced]


@node(id="EasyCache", title="EasyCache", category="advanced/debug/model", experimental=True)
def easy_cache(
    model: Model,
    reuse_threshold: Annotated[float, Range(0.0, 3.0, step=0.01), Tip("How much change is let pass; 0 reuses nothing.")] = 0.2,
    start_percent: Moment = 0.15,
    end_percent: Moment = 0.95,
    verbose: Annotated[bool, Tip("The node says what it was set to."), Advanced] = False,
    *,
    context: Context,
) -> Model:
    """Skips evaluations whose answer would hardly change. The picture is no longer exact; the sampler says how many were skipped."""
    highest, lowest = (model.sampling.percent_to_sigma(percent) for percent in (start_percent, end_percent))
    cache = EasyCache(model.sampling, reuse_threshold, highest, lowest, model.options.get("model_function_wrapper"))
    if verbose:
        context.text(f"EasyCache reuses answers between the levels {cache.highest:.3f} and {cache.lowest:.3f}.")
    return model.with_options(model_function_wrapper=cache)
