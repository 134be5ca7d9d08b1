"""Convex sets stated in sympy: any conditions that the rules of disciplined convex programming accept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import final

import sympy
import torch
from torch import Tensor

from constraints.errors import ShapeError, SpecificationError
from constraints.functional import Certificate, certified_tolerance, default_tolerance
from constraints.functional.active_newton import Polished, polish, supporting_multipliers
from constraints.functional.stationary import jacobian_of, residual_scale
from constraints.functional.supporting_planes import nearest_by_planes
from constraints.sets.constraint import ProjectableConstraint, whole_batches
from constraints.sets.convex_program import ConvexProgram
from constraints.sets.fallback import Fallback, Raise
from constraints.sets.transforms import is_transformed

__all__ = ["Convex"]

TIGHT = 1e-11  # relative violation beyond which another method is tried
SMOOTH = 1e-9  # misfit up to which Newton's point, and with it its derivatives, are taken for the solution


@final
class Convex(ProjectableConstraint):
    r"""The convex set of values that satisfy conditions written in sympy, :math:`\{y : g(y, x) \le 0, A y = b(x)\}`.

    Conditions are `Eq` of affine sides, `Le` and `Ge`, and `And` of them. Sides are made of sums, products with
    numbers and parameters, powers, `sqrt`, `exp`, `log`, `Abs`, `Max`, `Min`; quadratics are judged by their Hessian;
    norms, squares over linear, log-sum-exp, `x log(x)` and `sqrt(x y)` are recognised. Whatever else is convex must be
    written so that the rules of disciplined convex programming show it (https://dcp.stanford.edu). A reciprocal or an
    odd power is accepted where its base is known to be positive. Outputs declared positive or negative in sympy are
    kept so, zero included: that is a condition of its own.

    cvxpylayers (with the solver Clarabel, through diffcp) finds the point and its multipliers; semismooth Newton steps
    on the conditions of the nearest point then take it to rounding. `Abs`, `Max`, `Min` and norms are bounded by
    variables of their own, so that their kinks are ordinary active conditions. Derivatives, the second too, come from
    Newton's equations. Only where Newton's method does not end at the solution (the argument of a root or a logarithm
    is 0 there, or the set has no interior) is the solver's point kept, with the gradient of cvxpylayers, which has no
    second; such a point is never called optimal in its certificate. The solver runs on the CPU, sample by sample, in
    float64 and not under `torch.compile`: prefer a set of closed form or a `Polytope` where one says the same.

    Args:
        conditions: what must hold.
        outputs: the `n` symbols that form the value, in order.
        parameters: the `k` symbols that form the context, in order. They may be combined among themselves freely, and
            multiply what is free of parameters; where a sign decides, declare it (`Symbol("r", positive=True)`).
        fallback: what to do with samples that are not certified: `Raise()`, `BestEffort()`, `Interior(point)`.

    Raises:
        MissingExtraError: cvxpylayers, of the extra `convex`, is not installed.
        SpecificationError: a condition that is strict, not convex by the rules, or of unknown symbols or functions.
        InfeasibleError: conditions without parameters that no point satisfies.

    Source:
        Agrawal et al., Differentiable convex optimization layers, 2019, https://doi.org/10.48550/arXiv.1910.12430.

    Example:
        >>> x, y, r = sympy.symbols("x y r")
        >>> disc = Convex([x**2 + y**2 <= r], [x, y], [r])
        >>> disc.project(torch.tensor([[3.0, 4.0], [0.1, 0.2]]), torch.tensor([[4.0], [1.0]]))
        tensor([[1.2000, 1.6000],
                [0.1000, 0.2000]])
    """

    def __init__(
        self,
        conditions: Sequence[sympy.Basic],
        outputs: Sequence[sympy.Symbol],
        parameters: Sequence[sympy.Symbol] = (),
        *,
        fallback: Fallback | None = None,
    ) -> None:
        super().__init__()
        self.program = ConvexProgram(conditions, outputs, parameters)
        self.size, self.equalities = len(outputs), self.program.equalities
        self.fallback = fallback or Raise()

    def _spread(self, value: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Value and coefficients of every sample, `(batch, n)` and `(batch, d)`, in the value's dtype."""
        self._require_shape(value)
        wanted = len(self.program.parameters)
        given = value.new_zeros(0) if context is None else context.to(value)
        if given.dim() == 0 or given.shape[-1] != wanted:
            got = None if context is None else tuple(context.shape)
            raise ShapeError(f"`Convex` needs a context (*batch, {wanted}), got {got}")
        batch = value.shape[:-1]
        flat = given.expand(*batch, wanted).reshape(math.prod(batch), wanted)
        coefficients = self.program.coefficient_values(flat)
        if is_transformed(value, coefficients):  # nothing can be looked at
            return value.reshape(math.prod(batch), value.shape[-1]), coefficients
        broken = self.program.sign_broken(coefficients.detach()).any(dim=-1)
        if bool(broken.any()):
            names = [str(symbol) for symbol in self.program.parameters]
            first = flat[broken][0].tolist()
            raise SpecificationError(
                f"`Convex` needs parameters {names} of the signs that they were declared with, got {first}, and "
                f"{int(broken.sum())} such samples"
            )
        return value.reshape(math.prod(batch), value.shape[-1]), coefficients

    def residual(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Left side less right side of each `Le` (right less left of `Ge`), equalities first, declared signs last.

        `(*batch, m)`; infinite where a function is not defined.
        """
        residual = self.program.residual(*self._spread(value, context))
        return residual.reshape(*value.shape[:-1], residual.shape[-1])

    def residual_where(self, value: Tensor, context: Tensor | None, needed: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Constraint.residual_where`."""
        if not torch.is_grad_enabled() or not self.program.fragile:
            return self.residual(value, context)
        flat, coefficients = self._spread(value, context)
        with torch.no_grad():
            found = self.program.residual(flat, coefficients)
            asked = needed(found.reshape(*value.shape[:-1], found.shape[-1])).reshape(found.shape)
        residual = self.program.residual_where(flat, coefficients, asked)
        return residual.reshape(*value.shape[:-1], residual.shape[-1])

    def tolerances(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """What rounding of the value alone does to the residual, `(*batch, 1)`."""
        flat, coefficients = self._spread(value.detach(), context)
        moved = self._scale(flat.double(), coefficients.detach().double()).to(value.dtype).amax(dim=-1, keepdim=True)
        return default_tolerance(moved, terms=value.shape[-1]).reshape(*value.shape[:-1], 1)

    @whole_batches
    def solve(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Certificate]:
        """The nearest point `(*batch, n)`, and for each sample whether it is inside and the nearest."""
        flat, coefficients = self._spread(value, context)
        low, given = flat.detach().double(), coefficients.detach().double()
        tolerance = certified_tolerance(value.dtype)
        finite = low.isfinite().all(dim=-1) & given.isfinite().all(dim=-1)
        before = self._violation(low, given)
        optimal = before <= default_tolerance(value.new_ones(1), terms=value.shape[-1])
        rows = (finite & ~optimal).nonzero().flatten()
        result = torch.where(finite[:, None], flat, torch.nan)
        empty = torch.zeros_like(finite)
        violation = torch.where(finite, before, torch.nan)
        if len(rows):
            point, certain, none = self._nearest(flat[rows].double(), coefficients[rows].double())
            rounded = point.to(value.dtype)
            after = self._violation(rounded.detach(), given[rows], low[rows], dtype=value.dtype)
            lost = (~(after <= tolerance) & ~none & rounded.isfinite().all(dim=-1)).nonzero().flatten()
            if len(lost):
                moved = [self._moved_in(rounded[i], given[rows[i]], low[rows[i]]) for i in lost]
                rounded = rounded.index_put((lost,), torch.stack(moved))
                after = self._violation(rounded.detach(), given[rows], low[rows], dtype=value.dtype)
            better = (after <= before[rows]) & point.isfinite().all(dim=-1)
            result = result.index_put((rows,), torch.where(better[:, None], rounded, flat[rows]))
            violation = violation.index_put((rows,), torch.where(better, after, before[rows]))
            optimal, empty = optimal.index_put((rows,), certain), empty.index_put((rows,), none)
        shape = value.shape[:-1]
        inside = violation <= tolerance
        parts = (violation.reshape(shape), tolerance, (optimal & inside).reshape(shape))
        return result.reshape(value.shape), Certificate(*parts, (empty & ~inside).reshape(shape))

    def _nearest(self, value: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The nearest points of samples outside, with derivatives, whether they are proved to be so, and empty sets."""
        program, n = self.program, value.shape[-1]
        start, given = value.detach(), coefficients.detach()
        with torch.no_grad():
            point, multiplier = program.solve(start, given)
        polished: Polished = polish(start, point, multiplier, program.lifted, given, program.layout)
        smooth = polished.misfit <= SMOOTH
        result = program.into_domains(torch.where(smooth[:, None], polished.point, point)[:, :n], given)
        missed = self._violation(result, given, start)
        none, certain = torch.zeros_like(smooth), smooth
        again = (~smooth | (missed > TIGHT)).nonzero().flatten()
        if len(again):
            few, numbers = start[again], given[again]
            closer, none[again] = self._by_planes(few, numbers)
            lifted = program.lift(closer, numbers)
            pulls = supporting_multipliers(few, lifted, program.lifted, numbers, program.layout)
            polished = polished.put(again, polish(few, lifted, pulls, program.lifted, numbers, program.layout))
            smooth = polished.misfit <= SMOOTH
            closer = program.into_domains(closer, numbers)
            sharper = program.into_domains(polished.point[again, :n], numbers)
            off = [self._violation(p, numbers, few) for p in (sharper, closer)]
            smooth[again] &= off[0] <= torch.maximum(off[1], off[1].new_tensor(TIGHT))
            chosen = torch.where(smooth[again][:, None], sharper, closer)
            held = smooth[again] | (off[1] <= missed[again])
            result = result.index_put((again,), torch.where(held[:, None], chosen, result[again]))
            # Planes hold the whole set: what is nearest among theirs and in the set is nearest in the set.
            certain = smooth.index_put((again,), smooth[again] | (off[1] <= TIGHT))
        if torch.is_grad_enabled() and (value.requires_grad or coefficients.requires_grad):
            result = self._differentiable(value, coefficients, polished, smooth, result)
            ended = program.into_domains(result.detach(), given)
            result = torch.where(ended != result.detach(), ended + (result - result.detach()), result)
        return result, certain, none

    def _moved_in(self, point: Tensor, coefficients: Tensor, value: Tensor) -> Tensor:
        """A point outside by rounding, a little nearer to one well inside, where there is one and it helps."""
        interior = self.program.inside(value.double(), coefficients)[1]
        if interior is None:
            return point
        parts = torch.logspace(-16, -6, 21, dtype=torch.float64, device=point.device)[:, None]
        tried = (point.double() + parts * (interior.to(point.device) - point.double())).to(point.dtype)
        near, numbers = value.double().expand_as(tried), coefficients.expand(len(tried), -1)
        violation = self._violation(tried.detach(), numbers, near, dtype=point.dtype)
        enough = (violation <= certified_tolerance(point.dtype)).nonzero().flatten()
        return tried[enough[0]] if len(enough) else point

    def _by_planes(self, value: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest points by supporting hyperplanes, and which samples' sets are proved empty by them and the solver."""
        inner, empty = torch.full_like(value, torch.nan), torch.zeros(len(value), dtype=torch.bool, device=value.device)
        for i in range(len(value)):
            empty[i], interior = self.program.inside(value[i], coefficients[i])
            if interior is not None:
                inner[i] = interior
        found = nearest_by_planes(value, self.program.bounding, coefficients, equalities=self.equalities, inner=inner)
        return found.point, empty & found.empty

    def _differentiable(
        self, value: Tensor, coefficients: Tensor, polished: Polished, smooth: Tensor, result: Tensor
    ) -> Tensor:
        program, at = self.program, smooth.nonzero().flatten()
        if len(at):
            part = Polished(*(p[at] for p in polished))
            solved = part.differentiable(value[at], program.lifted, coefficients[at], program.layout)
            result = result.index_put((at,), solved)
        at = (~smooth).nonzero().flatten()
        if len(at):
            solved = program.solve(value[at], coefficients[at])[0][:, : value.shape[-1]]
            result = result.index_put((at,), result[at].detach() + (solved - solved.detach()))
        return result

    def _violation(
        self, point: Tensor, coefficients: Tensor, value: Tensor | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """The largest condition relative to its terms, `(batch,)`; NaN counts as infinite."""
        point, coefficients = point.double(), coefficients.double()
        residual = self.program.residual(point, coefficients)
        k = self.equalities
        excess = torch.cat([residual[:, :k].abs(), residual[:, k:].clamp(min=0.0)], dim=-1)
        relative = excess / self._scale(point, coefficients, value, dtype=dtype)
        return relative.amax(dim=-1).nan_to_num(nan=torch.inf)

    def _scale(
        self, point: Tensor, coefficients: Tensor, value: Tensor | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """The size of the terms of each condition, and of their change as the point moves by its own, `(batch, m)`."""
        if not len(point):  # there is nothing that vmap could trace with
            return point.new_ones(0, len(self.program.rows))
        jacobian = jacobian_of(self.program.residual, point, coefficients)
        jacobian = torch.where(jacobian.isfinite(), jacobian, 0.0)
        terms = self.program.size_of_terms(point, coefficients).nan_to_num(nan=0.0, posinf=0.0)
        flat = torch.zeros_like(terms)
        return terms + residual_scale(point, jacobian, flat, value=value, dtype=dtype)

    def project(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        """Nearest point, `(*batch, n)`; samples that are not certified go to the fallback."""
        return self.fallback.settle("Convex", *self.solve(value, context))
