"""Polytopes: any number of linear inequalities and equalities, of any rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor

from constraints.errors import InfeasibleError, NonFiniteError, ShapeError, SpecificationError
from constraints.functional import (
    Certificate,
    PolytopeFactors,
    default_tolerance,
    factorise_polytope,
    program_unit,
    project_box,
    solve_polytope,
)
from constraints.functional.coupling import coupled_rows, largest_of_each
from constraints.sets.constraint import ProjectableConstraint, as_buffer
from constraints.sets.fallback import Fallback, Raise

__all__ = ["Polytope", "VaryingPolytope"]


@final
class Polytope(ProjectableConstraint):
    r"""The polytope :math:`\{y : l \le A y \le u,\ C y = d\}`, projected exactly, with a certificate a sample.

    Rows may be redundant, dependent, badly scaled; bounds may be missing on either side. Rows whose two fixed bounds
    are equal count as equalities. The `context` holds the numbers that depend on the input, `[d | l | u]`,
    `(*batch, p + 2 m)`; a set that is empty for some samples is then dealt with by `fallback`.

    Args:
        matrix: `A`, `(m, n)`.
        low: `l`, a number or `(m,)`; `-inf` where there is none.
        high: `u`, a number or `(m,)`; `inf` where there is none.
        equal: `C`, `(p, n)`.
        target: `d`, `(p,)`.
        varies: whether each sample brings its own `[d | l | u]`; the fixed ones are then not needed and not used.
        fallback: what to do with samples that are not certified: `Raise()`, `BestEffort()`, `Interior(point)`.

    Raises:
        InfeasibleError: fixed numbers that no point satisfies.

    Example:
        >>> none = torch.inf
        >>> triangle = Polytope([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], low=[0.0, 0.0, -none], high=[none, none, 1.0])
        >>> triangle.project(torch.tensor([[2.0, 1.0], [-1.0, 0.5]]))
        tensor([[1.0000, 0.0000],
                [0.0000, 0.5000]])
    """

    matrix: Tensor
    low: Tensor
    high: Tensor
    equal: Tensor
    target: Tensor
    inverse: Tensor
    length: Tensor
    rows: Tensor
    gram: Tensor
    step: Tensor
    live: Tensor
    norms: Tensor
    single: Tensor
    column: Tensor
    groups: Tensor

    def __init__(
        self,
        matrix: Sequence[Sequence[float]] | Tensor,
        low: float | Sequence[float] | Tensor = -math.inf,
        high: float | Sequence[float] | Tensor = math.inf,
        *,
        equal: Sequence[Sequence[float]] | Tensor | None = None,
        target: Sequence[float] | Tensor | None = None,
        varies: bool = False,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        a = _matrix("matrix", matrix)
        c = a.new_zeros(0, a.shape[1]) if equal is None else _matrix("equal", equal)
        if c.shape[1] != a.shape[1]:
            raise ShapeError(f"`Polytope` needs matrices of one width, got {a.shape[1]} and {c.shape[1]}")
        lower, upper = _bounds(low, high, len(a))
        d = c.new_zeros(len(c)) if target is None else as_buffer("Polytope", "target", target)
        if d.shape != c.shape[:1]:
            raise ShapeError(f"`Polytope` needs a target of shape ({len(c)},), got {tuple(d.shape)}")
        if equal is not None and target is None and not varies:
            raise SpecificationError("`Polytope` needs a target for its equalities, got None; or varies=True")
        if not varies:
            fixed = lower == upper
            c, d = torch.cat([c, a[fixed]]), torch.cat([d, lower[fixed]])
            a, lower, upper = a[~fixed], lower[~fixed], upper[~fixed]
            _require_point(a, lower, upper, c, d)
        self.size = a.shape[1]
        self.equalities = len(c)
        self.varies = varies
        self.fallback = fallback or Raise()
        factors = factorise_polytope(a, c)
        self.rank = factors.rank
        parts = {"low": lower, "high": upper, "target": d, **factors._asdict()}
        for name, tensor in parts.items():
            if name != "rank":
                self.register_buffer(name, tensor.clone(), persistent=False)
        # Rows on one output alone are bounds, which can be kept exactly: y >= 0 must not become -1e-17.
        single = ((a != 0).sum(dim=1) == 1).nonzero().flatten()
        self.register_buffer("single", single, persistent=False)
        self.register_buffer("groups", coupled_rows(torch.cat([self.equal, self.matrix])), persistent=False)
        self.register_buffer("column", (a[single] != 0).to(torch.uint8).argmax(dim=1), persistent=False)
        # One row an output, with coefficient 1: nothing to be combined.
        self.plain = len(self.column.unique()) == len(single) and bool((a[single, self.column] == 1.0).all())

    @property
    def factors(self) -> PolytopeFactors:
        """The factorised system."""
        return PolytopeFactors(
            self.matrix,
            self.equal,
            self.inverse,
            self.length,
            self.rows,
            self.gram,
            self.step,
            self.live,
            self.norms,
            self.rank,
        )

    def limits(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The target `d`, the lower and the upper bounds, fixed or from the context."""
        if not self.varies:
            return self.target, self.low, self.high
        m, p = len(self.matrix), self.equalities
        if context is None or context.shape[-1] != p + 2 * m:
            got = None if context is None else tuple(context.shape)
            raise ShapeError(f"`Polytope` with varies=True needs a context (*batch, {p + 2 * m}), got {got}")
        d, low, high = context.split([p, m, m], dim=-1)
        return d, low, high

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`C y - d`, then the signed distance beyond the nearer bound of each row: `(*batch, p + m)`."""
        target, low, high = (part.to(value) for part in self.limits(context))
        position = value @ self.matrix.to(value).mT
        beyond = torch.maximum(low - position, position - high)
        return torch.cat([value @ self.equal.to(value).mT - target, beyond], dim=-1)

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of each row, `|A| |y| + |b|`, or of a larger one that shares columns with it, `(*batch, p + m)`."""
        target, low, high = (part.to(value) for part in self.limits(context))
        sizes = row_sizes(value, self.matrix.to(value), low, high, self.equal.to(value), target)
        return default_tolerance(largest_of_each(sizes, self.groups)[..., None], terms=value.shape[-1])

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest point `(*batch, n)`, and for each sample whether it is inside and the nearest."""
        self._require_shape(value)
        target, low, high = self.limits(context)
        point, certificate = solve_polytope(value, self.factors, low, high, target)
        if len(self.single):
            found = point.detach()
            if self.plain:
                ends = (bound.index_select(-1, self.single).to(found) for bound in (low, high))
                clipped = found.index_copy(-1, self.column, found.index_select(-1, self.column).clamp(*ends))
            else:
                clipped = project_box(found, *self._bounds(found, low, high))
            point = point + (clipped - found)
        return point, certificate

    def _bounds(self, value: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Bounds of single outputs, `(*batch, n)`."""
        factor = self.matrix[self.single, self.column]
        ends = torch.stack([low[..., self.single] / factor, high[..., self.single] / factor])
        shape = ends.shape[1:-1]
        column = self.column.expand(*shape, -1)
        floor = value.new_full((*shape, value.shape[-1]), -math.inf, dtype=ends.dtype)
        floor = floor.scatter_reduce(-1, column, ends.amin(dim=0), "amax").to(value)
        ceiling = value.new_full((*shape, value.shape[-1]), math.inf, dtype=ends.dtype)
        return floor, ceiling.scatter_reduce(-1, column, ends.amax(dim=0), "amin").to(value)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point, `(*batch, n)`; samples that are not certified go to the fallback."""
        return self.fallback.settle("Polytope", *self.solve(value, context))


@final
class VaryingPolytope(ProjectableConstraint):
    r"""The polytope :math:`\{y : l \le A y \le u\}` of each sample's own `A`, `l`, `u`.

    The `context` is the whole system, `[A | l | u]`, `(*batch, m, n + 2)`. The first `equalities` rows are equalities:
    their `l` is the target and their `u` is not looked at.

    Args:
        rows: `m`.
        size: `n`.
        equalities: how many leading rows are equalities.
        fallback: see `Polytope`.

    Example:
        >>> system = torch.tensor([[[1.0, 1.0, 0.0, 1.0]], [[1.0, -1.0, 0.0, 1.0]]])
        >>> VaryingPolytope(rows=1, size=2).project(torch.tensor([[1.0, 1.0], [2.0, 0.0]]), system)
        tensor([[0.5000, 0.5000],
                [1.5000, 0.5000]])
    """

    context_dim = 2

    def __init__(self, rows: int, size: int, *, equalities: int = 0, fallback: Fallback | None = None) -> None:
        super().__init__()
        if not (rows >= 1 and size >= 1 and 0 <= equalities <= rows):
            raise SpecificationError(
                f"`VaryingPolytope` needs rows >= equalities >= 0 and size >= 1, got rows={rows}, size={size}, "
                f"equalities={equalities}"
            )
        self.rows, self.size, self.equalities = rows, size, equalities
        self.fallback = fallback or Raise()

    def _system(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        assert self.size is not None
        if context is None or context.shape[-2:] != (self.rows, self.size + 2):
            got = None if context is None else tuple(context.shape)
            raise ShapeError(f"`VaryingPolytope` needs a context (*batch, {self.rows}, {self.size + 2}), got {got}")
        return context[..., : self.size], context[..., self.size], context[..., self.size + 1]

    def _parts(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """`A`, `l`, `u` of the inequalities, `C`, `d` of the equalities."""
        matrix, low, high = self._system(value, context)
        p = self.equalities
        return matrix[..., p:, :], low[..., p:], high[..., p:], matrix[..., :p, :], low[..., :p]

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """`C y - d`, then the signed distance beyond the nearer bound of each row: `(*batch, m)`."""
        matrix, low, high, equal, target = (part.to(value) for part in self._parts(value, context))
        position = (matrix @ value[..., None]).squeeze(-1)
        gap = (equal @ value[..., None]).squeeze(-1) - target
        return torch.cat([gap, torch.maximum(low - position, position - high)], dim=-1)

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Rounding of the largest row: that of `|A| |y| + |b|`, `(*batch, 1)`."""
        matrix, low, high, equal, target = (part.to(value) for part in self._parts(value, context))
        sizes = row_sizes(value, matrix, low, high, equal, target)
        return default_tolerance(sizes, terms=value.shape[-1])[..., None]

    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest point `(*batch, n)`, and for each sample whether it is inside and the nearest."""
        self._require_shape(value)
        matrix, low, high, equal, target = (part.double() for part in self._parts(value, context))
        batch = value.shape[:-1]

        def spread(part: Tensor) -> Tensor:
            return part.expand(*batch, *part.shape[-2:]).reshape(math.prod(batch), *part.shape[-2:])

        return solve_polytope(value, factorise_polytope(spread(matrix), spread(equal)), low, high, target)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point, `(*batch, n)`; samples that are not certified go to the fallback."""
        return self.fallback.settle("VaryingPolytope", *self.solve(value, context))


def row_sizes(value: Tensor, matrix: Tensor, low: Tensor, high: Tensor, equal: Tensor, target: Tensor) -> Tensor:
    """Of each residual the size of what it sums, `(*batch, p + m)`."""
    size = value.detach().abs()[..., None]
    bound = torch.maximum(low.detach().abs().nan_to_num(posinf=0.0), high.detach().abs().nan_to_num(posinf=0.0))
    rows = (matrix.detach().abs() @ size).squeeze(-1) + bound
    equalities = (equal.detach().abs() @ size).squeeze(-1) + target.detach().abs()
    batch = torch.broadcast_shapes(rows.shape[:-1], equalities.shape[:-1])
    return torch.cat([part.expand(*batch, part.shape[-1]) for part in (equalities, rows)], dim=-1)


def _matrix(name: str, numbers: Sequence[Sequence[float]] | Tensor) -> Tensor:
    a = as_buffer("Polytope", name, numbers)
    if a.dim() != 2 or a.shape[1] == 0:
        raise ShapeError(f"`Polytope` needs a {name} of shape (m, n), got shape {tuple(a.shape)}")
    return a


def _bounds(
    low: float | Sequence[float] | Tensor, high: float | Sequence[float] | Tensor, rows: int
) -> tuple[Tensor, Tensor]:
    bounds = []
    for name, given in (("low", low), ("high", high)):
        bound = as_buffer("Polytope", name, given, finite=False)
        if bound.dim() > 1 or (bound.dim() == 1 and len(bound) != rows):
            raise ShapeError(f"`Polytope` needs {rows} bounds {name}, got shape {tuple(bound.shape)}")
        bounds.append(bound.expand(rows).clone())
    lower, upper = bounds
    wrong = ((lower > upper) | (lower == math.inf) | (upper == -math.inf)).nonzero().flatten().tolist()
    if wrong:
        raise InfeasibleError(
            f"`Polytope` needs low <= high in every row, got low={lower[wrong].tolist()}, high={upper[wrong].tolist()} "
            f"in rows {wrong}"
        )
    return lower, upper


def _require_point(matrix: Tensor, low: Tensor, high: Tensor, equal: Tensor, target: Tensor) -> None:
    """Refuse an empty set, by linear programming on rows of length one and numbers of middling size."""
    a, c = matrix.numpy(), equal.numpy()
    norms = (np.linalg.norm(part, axis=1) for part in (a, c))
    lengths, sizes = (np.where(norm > 0, norm, 1.0) for norm in norms)
    a, lower, upper, goal = a / lengths[:, None], low.numpy() / lengths, high.numpy() / lengths, target.numpy() / sizes
    numbers = np.concatenate([np.zeros(1), *(np.abs(part[np.isfinite(part)]) for part in (lower, upper, goal))])
    unit = program_unit(float(numbers.max()))
    lower, upper, goal = lower / unit, upper / unit, goal / unit
    below, above = np.isfinite(lower), np.isfinite(upper)
    found = linprog(
        np.zeros(a.shape[1]),
        A_ub=np.concatenate([a[above], -a[below]]) if below.any() or above.any() else None,
        b_ub=np.concatenate([upper[above], -lower[below]]) if below.any() or above.any() else None,
        A_eq=c / sizes[:, None] if len(c) else None,
        b_eq=goal if len(c) else None,
        bounds=(None, None),
    )
    if found.status == 2:  # infeasible
        raise InfeasibleError(
            f"`Polytope` needs rows that some point satisfies together, got {len(a)} inequalities and {len(c)} "
            f"equalities that none does"
        )
    if not np.isfinite(found.x if found.x is not None else np.nan).all() and found.status not in (0, 3):
        raise NonFiniteError(f"`Polytope`: whether a point exists could not be decided: {found.message}")
