"""Jumps of an expression that show in its values alone: `Abs(x) / x`, `atan(1 / x)`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import sympy
import torch
from sympy.core.relational import Relational
from torch import Tensor

from constraints.errors import SpecificationError
from constraints.functional.real_functions import RealFunction

__all__ = ["cancels_poles", "has_jump", "kinks"]

RealValues = Callable[[Tensor], Tensor]
"""Values at fractions of segments, `(segments, n)` to `(segments, n)`."""

SEGMENTS, POINTS, STEEPEST = 12, 1025, 4
HALVINGS = 15  # to 1e-7 of a segment: what changes as fast is a jump to float32, and nearer a quotient is rounding
LEAST = 1e-4  # of the size of the values: a smaller jump is not told from rounding
DRAWS = 3  # of the other symbols, where one is at a place of suspicion
HIGHEST = 6  # degree of what is solved for such a place


def has_jump(
    expression: sympy.Expr, moving: Sequence[sympy.Symbol], bounds: Mapping[sympy.Symbol, tuple[float, float]]
) -> bool:
    """Whether an expression jumps between finite values where the moving symbols change, tried along segments.

    It is tried on both sides of zeros of denominators and of arguments of `Abs`, `sign` and `Max`, wherever they are,
    and within the bounds along segments. Along each segment the largest differences between neighbours are halved until
    the two ends are next to each other. A continuous function leaves no difference there, if it changes within more
    than 1e-7 of the segment; a pole leaves values that grow.

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
    suspects = [*kinks(expression), *_denominators(expression)]
    through = _through(suspects, symbols, moving, bounds)
    with torch.no_grad():
        if through is not None:
            near = torch.tensor([[0.5 - 1e-7, 0.5 + 1e-7]], dtype=torch.float64).expand(len(through[0]), -1)
            if _differ(_along(function, symbols, *through), near[:, :1], near[:, 1:], (3e-7, 1e-6)):
                return True
        return _jumps(_along(function, symbols, *_segments(symbols, moving, bounds)))


def cancels_poles(
    expression: sympy.Expr, moving: Sequence[sympy.Symbol], bounds: Mapping[sympy.Symbol, tuple[float, float]]
) -> bool:
    """Whether terms that grow like one over the distance from a kink cancel: what the derivative of a jump leaves.

    Of `Abs(u) / u` the derivative is `sign(u) / u - Abs(u) / u**2`, which is 0 on both sides.

    Args:
        expression: of real symbols.
        moving: the symbols that change.
        bounds: the range of each symbol, where there is one.

    Example:
        >>> u = sympy.Symbol("u", real=True)
        >>> [cancels_poles(e.diff(u), [u], {}) for e in (abs(u) / u, 1 / abs(u), abs(u) ** 3 / u, abs(u))]
        [True, False, False, False]
    """
    symbols = sorted(expression.free_symbols, key=str)
    terms = sympy.Add.make_args(sympy.expand(expression))
    if len(terms) < 2 or not expression.atoms(sympy.Pow):
        return False
    through = _through(kinks(expression), symbols, [s for s in symbols if s in set(moving)], bounds)
    try:
        functions = [RealFunction(term) for term in terms]
    except SpecificationError:
        return False
    if through is None:
        return False
    sides = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    with torch.no_grad():
        sizes, sums = [], []
        for distance in (1e-3, 1e-5):
            where = (0.5 + distance * sides).expand(len(through[0]), -1)
            values = torch.stack([_along(f, symbols, *through)(where) for f in functions])
            sizes.append(values.abs().amax(dim=0))
            sums.append(values.sum(dim=0).abs())
    poles = (sizes[1] > 50.0 * sizes[0]) & (sums[1] < 1e-2 * sizes[1])
    return bool((poles & sizes[1].isfinite()).any())


def kinks(expression: sympy.Expr) -> list[sympy.Expr]:
    """What is 0 where there may be a kink: arguments of `Abs`, differences of those of `Max`, edges of pieces."""
    found = [e.args[0] for e in expression.atoms(sympy.Abs, sympy.sign, sympy.Heaviside)]
    found += [one - two for e in expression.atoms(sympy.Max, sympy.Min) for one, two in pairwise(e.args)]
    found += [e.lhs - e.rhs for e in expression.atoms(Relational)]
    return list(dict.fromkeys(found))


def _denominators(expression: sympy.Expr) -> list[sympy.Expr]:
    return [e.base for e in expression.atoms(sympy.Pow) if e.exp.is_number and e.exp.is_negative]


def _through(
    suspects: Sequence[sympy.Expr],
    symbols: Sequence[sympy.Symbol],
    moving: Sequence[sympy.Symbol],
    bounds: Mapping[sympy.Symbol, tuple[float, float]],
) -> tuple[Tensor, Tensor] | None:
    """Segments along one moving symbol with a zero of a suspect in their middle, `(n, 1, symbols)` each end."""
    draw = random.Random(0)
    starts, ends = [], []
    for suspect in suspects:
        for symbol in (s for s in moving if s in suspect.free_symbols):
            for _ in range(DRAWS):
                place = {s: draw.uniform(*bounds.get(s, (-3.0, 3.0))) for s in symbols}
                for root in _roots(suspect.subs({s: v for s, v in place.items() if s != symbol}), symbol):
                    low, high = bounds.get(symbol, (-float("inf"), float("inf")))
                    half = max(1.0, abs(root))
                    if low + 1e-6 * half < root < high - 1e-6 * half:
                        starts.append([root - half if s == symbol else place[s] for s in symbols])
                        ends.append([root + half if s == symbol else place[s] for s in symbols])
    if not starts:
        return None
    return torch.tensor(starts, dtype=torch.float64)[:, None], torch.tensor(ends, dtype=torch.float64)[:, None]


def _roots(e: sympy.Expr, symbol: sympy.Symbol) -> list[float]:
    """Real zeros of a polynomial of one symbol; none of anything else."""
    if not e.is_polynomial(symbol) or e.free_symbols != {symbol}:
        return []
    poly = sympy.Poly(e, symbol)
    if not 0 < poly.degree() <= HIGHEST:
        return []
    roots = np.roots([float(c) for c in poly.all_coeffs()])
    return [float(r.real) for r in roots if abs(r.imag) < 1e-9 * (1.0 + abs(r.real))]


def _along(function: RealFunction, symbols: Sequence[sympy.Symbol], starts: Tensor, ends: Tensor) -> RealValues:
    """The values `(segments, n)` at fractions of segments."""

    def at(where: Tensor) -> Tensor:
        place = starts + where[..., None] * (ends - starts)
        like = place[..., 0]
        value = function({symbol: place[..., i] for i, symbol in enumerate(symbols)}, like)
        return value.expand(like.shape).to(torch.float64)

    return at


def _segments(
    symbols: Sequence[sympy.Symbol],
    moving: Sequence[sympy.Symbol],
    bounds: Mapping[sympy.Symbol, tuple[float, float]],
) -> tuple[Tensor, Tensor]:
    """Random segments within the bounds, `(n, 1, symbols)` each end."""
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
    return starts, ends


def _jumps(at: RealValues) -> bool:
    """See `has_jump`."""
    inner = torch.rand(SEGMENTS, POINTS - 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ends = torch.tensor([[1e-9, 1.0 - 1e-9]], dtype=torch.float64).expand(SEGMENTS, -1)  # a jump at an end is none
    grid = torch.cat([inner, ends], dim=1).sort(dim=1).values  # no round numbers, at which a quotient may be 0 / 0
    steps = at(grid).diff(dim=-1).abs().nan_to_num(nan=torch.inf)
    first = steps.topk(STEEPEST, dim=-1).indices
    low, high = grid.gather(1, first), grid.gather(1, first + 1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        left, centre, right = at(low), at(middle), at(high)
        nearer = (centre - left).abs().nan_to_num(nan=torch.inf) >= (right - centre).abs().nan_to_num(nan=torch.inf)
        low, high = torch.where(nearer, low, middle), torch.where(nearer, middle, high)
    return _differ(at, low, high, (1e-6, 1e-5))


def _differ(at: RealValues, low: Tensor, high: Tensor, beside: tuple[float, float]) -> bool:
    """Whether values next to each other differ, each the same as those a little further away."""
    left, right = at(low), at(high)
    size = 1.0 + torch.maximum(left.abs(), right.abs())
    apart = (right - left).abs() > LEAST * size
    level = torch.ones_like(apart)
    for distance in beside:  # at a pole, values further away are far smaller
        pairs = ((at(low - distance), left), (at(high + distance), right))
        level &= torch.stack([(one - two).abs() <= 0.1 * (right - left).abs() for one, two in pairs]).all(dim=0)
    return bool((apart & level & left.isfinite() & right.isfinite()).any())
