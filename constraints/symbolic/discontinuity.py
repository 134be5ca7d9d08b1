"""Jumps of an expression that show in its values alone: `Abs(x) / x`, `atan(1 / x)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sympy
import torch
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.functional.real_functions import RealFunction

__all__ = ["has_jump"]

RealValues = Callable[[Tensor], Tensor]
"""Values at fractions of segments, `(segments, n)` to `(segments, n)`."""

SEGMENTS, POINTS, STEEPEST = 12, 1025, 4
HALVINGS = 15  # to 1e-7 of a segment: what changes as fast is a jump to float32, and nearer a quotient is rounding
LEAST = 1e-4  # of the size of the values: a smaller jump is not told from rounding


def has_jump(
    expression: sympy.Expr, moving: Sequence[sympy.Symbol], bounds: Mapping[sympy.Symbol, tuple[float, float]]
) -> bool:
    """Whether an expression jumps between finite values where the moving symbols change, tried along segments.

    Along each segment the largest differences between neighbours are halved until the two ends are next to each other.
    A continuous function leaves no difference there, if it changes within more than 1e-7 of the segment; a pole leaves
    values that grow.

    Args:
        expression: of real symbols.
        moving: the symbols that change along a segment.
        bounds: the range of each symbol; (-3, 3) where none is given.

    Example:
        >>> x = sympy.Symbol("x", real=True)
        >>> [has_jump(e, [x], {x: (0.0, 1.0)}) for e in (abs(x - 0.3) / (x - 0.3), 1 / (x - 0.3), sympy.tanh(1e6 * x))]
        [True, False, False]
    """
    symbols = sorted(expression.free_symbols, key=str)
    moving = [s for s in symbols if s in set(moving)]
    if not moving:
        return False
    try:
        function = RealFunction(expression)
    except SpecificationError:  # no function of ours: refused, with its name, where the residual is built
        return False
    draw = torch.Generator().manual_seed(0)
    starts, ends = (torch.rand(SEGMENTS, 1, len(symbols), generator=draw, dtype=torch.float64) for _ in range(2))
    along = [bounds[symbol] for symbol in moving if symbol in bounds]
    for i, symbol in enumerate(symbols):
        low, high = bounds.get(symbol, (-3.0, 3.0))
        lowest, highest = torch.full((SEGMENTS, 1), low).double(), torch.full((SEGMENTS, 1), high).double()
        if symbol not in bounds and symbol not in moving and along:  # half of them where the coordinate moves
            lowest[::2], highest[::2] = along[0]
        for part in (starts, ends):
            part[..., i] = lowest + (highest - lowest) * part[..., i]
        if symbol not in moving:
            ends[..., i] = starts[..., i]
        elif symbol in bounds:  # from end to end, so that no jump of a coordinate is passed over
            starts[..., i], ends[..., i] = low, high

    def at(where: Tensor) -> Tensor:
        """Values `(segments, n)` at fractions of the segments."""
        place = starts + where[..., None] * (ends - starts)
        like = place[..., 0]
        value = function({symbol: place[..., i] for i, symbol in enumerate(symbols)}, like)
        return value.expand(like.shape).to(torch.float64)

    with torch.no_grad():
        return _jumps(at)


def _jumps(at: RealValues) -> bool:
    """See `has_jump`."""
    inner = torch.rand(SEGMENTS, POINTS - 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ends = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(SEGMENTS, -1)
    grid = torch.cat([inner, ends], dim=1).sort(dim=1).values  # no round numbers, at which a quotient may be 0 / 0
    steps = at(grid).diff(dim=-1).abs().nan_to_num(nan=torch.inf)
    first = steps.topk(STEEPEST, dim=-1).indices
    low, high = grid.gather(1, first), grid.gather(1, first + 1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        left, centre, right = at(low), at(middle), at(high)
        nearer = (centre - left).abs().nan_to_num(nan=torch.inf) >= (right - centre).abs().nan_to_num(nan=torch.inf)
        low, high = torch.where(nearer, low, middle), torch.where(nearer, middle, high)
    left, right = at(low), at(high)
    size = 1.0 + torch.maximum(left.abs(), right.abs())
    apart = (right - left).abs() > LEAST * size
    level = torch.ones_like(apart)
    for distance in (1e-6, 1e-5):  # at a pole, values further away are far smaller
        beside = ((at(low - distance), left), (at(high + distance), right))
        level &= torch.stack([(one - two).abs() <= 0.1 * (right - left).abs() for one, two in beside]).all(dim=0)
    return bool((apart & level & left.isfinite() & right.isfinite()).any())
