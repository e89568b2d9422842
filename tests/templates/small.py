"""Templates turned down: the same graphs, an eighth of the size, in two steps."""

from __future__ import annotations

import copy
from typing import Any

SHRINK = 8
GRID = 16  # pixels: what every family can be asked for
STEPS = 2
SIDES = ("width", "height", "largest_size", "left", "right", "top", "bottom")
PLACES = ("x", "y")
LEAST = {"ConditioningSetArea": 64}  # the least side that a node takes, where it is more than the grid's
LEAST_MEGAPIXELS = 0.01


def small(graph: dict[str, Any]) -> dict[str, Any]:
    """The API graph with other values in its widgets, and nothing else changed.

    - Sides become an eighth, rounded to 16 pixels and never less, nor less than the node takes (but nought stays nought); places become
      an eighth, rounded to 8.
    - Megapixels become a 64th, or the least there is. What is a factor stays.
    - Steps become 2, one step stays one. A run that is shared between two samplers is still shared: the border stays between 1 and 2.
    - Batches become 1.
    """
    made = copy.deepcopy(graph)
    for node in made.values():
        inputs = node["inputs"]
        steps = inputs.get("steps")
        for name, value in list(inputs.items()):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            if name in SIDES:
                inputs[name] = value and max(LEAST.get(node["class_type"], GRID), round(value / SHRINK / GRID) * GRID)
            elif name in PLACES:
                inputs[name] = round(value / SHRINK / 8) * 8
            elif name == "megapixels":
                inputs[name] = max(LEAST_MEGAPIXELS, value / SHRINK**2)
            elif name == "steps":
                inputs[name] = min(value, STEPS)
            elif name == "batch_size":
                inputs[name] = 1
            elif name in ("start_at_step", "end_at_step") and isinstance(steps, int) and 0 < value < steps:
                inputs[name] = STEPS // 2
    return made
