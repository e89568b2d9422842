"""Going on when something fails: a second way to the same result."""

from __future__ import annotations

from typing import Annotated, Any

from marquetry.engine.declare import node
from marquetry.engine.outcome import ExecutionBlocker
from marquetry.engine.ports import Anything, Lazy, Named, Tip

First = Annotated[Anything, Lazy, Tip("What is wanted. When it fails, or is blocked, the job goes on with the second.")]
Second = Annotated[Anything, Lazy, Tip("What is used instead. It does not run as long as the first one works.")]


def _needed(first: Any = None, second: Any = None) -> list[str]:
    if first is None:
        return ["first"]
    return ["second"] if isinstance(first, ExecutionBlocker) and second is None else []


@node(
    id="Fallback", title="Fallback", category="utils/logic", lazy_status=_needed, catches=("first",), aliases=("on error", "try", "catch")
)
def fallback(first: First, second: Second) -> Annotated[Anything, Named("output")]:
    """Gives the first, or the second when the first fails: another provider, another model, a plain picture. The failure is shown on its node."""
    return second if isinstance(first, ExecutionBlocker) else first
