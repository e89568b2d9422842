"""Choosing a way through the graph: only the branch that is chosen runs."""

from __future__ import annotations

from typing import Annotated, Any

from marquetry.engine.declare import node
from marquetry.engine.errors import NodeFailed
from marquetry.engine.ports import Anything, Lazy, Named, Range

Branch = Annotated[Anything, Lazy]
MAX_CASES = 8


def _needed_branch(switch: bool) -> list[str]:
    return ["on_true" if switch else "on_false"]


@node(id="ComfySwitchNode", title="Switch", category="utils/logic", lazy_status=_needed_branch, aliases=("if", "else", "branch", "Switch"))
def switch(switch: bool, on_false: Branch | None = None, on_true: Branch | None = None) -> Annotated[Anything, Named("output")]:
    """Gives `on_true` or `on_false`; what the other one is linked from does not run. A branch that is not connected gives no value."""
    return on_true if switch else on_false


def _needed_case(index: int, **linked: Any) -> list[str]:
    name = f"case_{index}"
    return [name if name in linked else "otherwise"]


@node(id="SwitchCase", title="Switch Case", category="utils/logic", lazy_status=_needed_case, aliases=("select", "choose"))
def switch_case(
    index: Annotated[int, Range(-(2**31), 2**31)] = 0,
    case_0: Branch | None = None,
    case_1: Branch | None = None,
    case_2: Branch | None = None,
    case_3: Branch | None = None,
    case_4: Branch | None = None,
    case_5: Branch | None = None,
    case_6: Branch | None = None,
    case_7: Branch | None = None,
    otherwise: Branch | None = None,
) -> Annotated[Anything, Named("output")]:
    """Gives the case that `index` names, or `otherwise` where there is no such case. Only what is needed runs. Fails when neither is connected."""
    cases = (case_0, case_1, case_2, case_3, case_4, case_5, case_6, case_7)
    chosen = cases[index] if 0 <= index < MAX_CASES else None
    result = otherwise if chosen is None else chosen
    if result is None:
        raise NodeFailed(f"nothing is connected to case_{index}, nor to otherwise")
    return result
