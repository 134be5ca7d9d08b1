"""What the map onto an output rule does to the symmetries of the network before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from constraints.networks import Permutation, SignChange, Turn
from constraints.rules.cells import AllowedClasses
from constraints.rules.hierarchy import Hierarchy
from constraints.rules.linear import LinearEquality
from constraints.rules.linear_rows import depends_on_input
from constraints.rules.output_rule import OutputRule
from constraints.sets import Box, Polytope, Simplex

__all__ = ["ignores_input", "keeps_actions"]

REORDERING = (nn.Identity, Permutation, Turn)


def ignores_input(rule: OutputRule) -> bool:
    """Whether the map onto a rule surely looks at the output alone, so that equal outputs stay equal.

    Example:
        >>> from constraints.rules import Bounds, LinearEquality
        >>> class Total(LinearEquality):
        ...     def target(self, x):
        ...         return x[..., :1]
        >>> ignores_input(Bounds(low=0.0)), ignores_input(Total([[1.0, 1.0]]))
        (True, False)
    """
    parts = getattr(rule, "parts", None)  # of several rules made one
    if isinstance(parts, nn.ModuleDict):
        return all(isinstance(part, OutputRule) and ignores_input(part) for part in parts.values())
    own_map = type(rule).enforce is not OutputRule.enforce or type(rule).decode is not OutputRule.decode
    if own_map and not isinstance(rule, Hierarchy | AllowedClasses):
        return False  # may look at the input: not known
    if type(rule).context is OutputRule.context:
        return True
    if isinstance(rule, LinearEquality):
        return type(rule).context is LinearEquality.context and not depends_on_input(rule)
    return isinstance(rule.constraint, Box | Polytope) and not depends_on_input(rule)  # take no context then


def keeps_actions(rule: OutputRule, actions: Sequence[nn.Module], *, smooth: bool = False) -> bool:
    """Whether the map onto a rule surely commutes with actions on outputs: bounds and sums that these keep.

    Args:
        rule: a rule that ignores the input.
        actions: on outputs.
        smooth: whether its smooth map is used.

    Example:
        >>> from constraints.rules import Bounds
        >>> swap = [Permutation([1, 0])]
        >>> keeps_actions(Bounds(low=0.0), swap), keeps_actions(Bounds(low=0.0, outputs=[0]), swap)
        (True, False)
    """
    if type(rule).enforce is not OutputRule.enforce:
        return False
    actions = [step for action in actions for step in _steps(action)]  # commutes with each: with all in turn
    reorders = all(isinstance(action, REORDERING) for action in actions)
    signed = all(isinstance(action, (*REORDERING, SignChange)) for action in actions)
    if isinstance(rule.constraint, Simplex):
        last = all(not isinstance(action, Permutation) or action.dim == -1 for action in actions)
        turns = any(isinstance(action, Turn) for action in actions)
        return reorders and last and not turns and rule.index is None
    if not isinstance(rule.constraint, Box) or not (reorders or (signed and not smooth)):
        return False
    low, high = rule.constraint.low, rule.constraint.high
    if rule.index is None and low.dim() == 0:  # one bound for all
        return reorders or bool(low == -high)
    return all(_box_stays(rule, low, high, action) for action in actions)


def _steps(action: nn.Module) -> list[nn.Module]:
    """The actions of which one is composed."""
    return [step for part in action for step in _steps(part)] if isinstance(action, nn.Sequential) else [action]


def _box_stays(rule: OutputRule, low: Tensor, high: Tensor, action: nn.Module) -> bool:
    """Whether an action on the last dimension maps a box with bounds of single outputs onto itself."""
    if isinstance(action, nn.Identity):
        return True
    if not isinstance(action, Permutation | SignChange) or (isinstance(action, Permutation) and action.dim != -1):
        return False
    (width,) = action.event()
    columns = torch.arange(width) if rule.index is None else rule.index.cpu()
    if len(columns) == 0 or int(columns.max()) >= width or (low.dim() and len(low) != len(columns)):
        return False
    ends = [torch.full((width,), end, dtype=torch.float64) for end in (-math.inf, math.inf)]
    for end, bound in zip(ends, (low, high), strict=True):
        end[columns] = bound.double().cpu().expand(len(columns))
    moved = torch.stack([action(end) for end in ends])
    return torch.equal(moved.amin(dim=0), ends[0]) and torch.equal(moved.amax(dim=0), ends[1])
