"""The conditions of a convex set as rows of known functions, and the problem of its nearest point."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from threading import RLock
from typing import Any, final

import sympy
import torch
from torch import Tensor

from constraints.errors import InfeasibleError, MissingExtraError, SpecificationError
from constraints.functional.active_newton import NormRows, RowLayout
from constraints.functional.convex_form import Coefficients, Normaliser, size_of_terms
from constraints.functional.expressions import CvxpyTarget, Norm, TorchTarget, as_leaves, evaluate
from constraints.functional.real_functions import fragile_symbols
from constraints.functional.stationary import jacobian_of
from constraints.functional.supporting_planes import nearest_by_planes
from constraints.sympy_input import as_statement

__all__ = ["ConvexProgram"]

ACCURATE = {"solve_method": "Clarabel", "tol_feas": 1e-12, "tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12}
ROUNDING = 1e-9  # relative to what is added up
SIGNS = ("nonnegative", "nonpositive")


@final
class ConvexProgram:
    """What `Convex` knows of its conditions: rows to evaluate, rows to solve with, and the solver.

    Args:
        conditions: relations of sympy.
        outputs: the symbols that form the value.
        parameters: the symbols that form the context.

    Raises:
        MissingExtraError: cvxpylayers is not installed.
        SpecificationError: a condition that is not convex by the rules, naming it.
        InfeasibleError: conditions without parameters that no point satisfies.
    """

    def __init__(
        self, conditions: Sequence[sympy.Basic], outputs: Sequence[sympy.Symbol], parameters: Sequence[sympy.Symbol]
    ) -> None:
        self.given = (tuple(conditions), tuple(outputs), tuple(parameters))
        real = _real_symbols(*self.given)
        self.outputs = [real[symbol] for symbol in outputs]
        self.parameters = [real[symbol] for symbol in parameters]
        equal, less = _rows(conditions, real, set(self.outputs))
        less += [(f"{s} declared {sign}", f * s) for s in self.outputs for sign, f in _declared(s)]
        if not equal and not less:
            raise SpecificationError("`Convex` needs at least one condition that restricts something, got none")
        self.names = [name for name, _ in equal + less]
        self.equalities = len(equal)
        self.coefficients = Coefficients()
        known = [row for _, row in less]
        plain = Normaliser(list(self.outputs), known, self.coefficients)
        self.rows = [_named(name, plain.normalise, row) for name, row in equal + less]
        lifting = Normaliser(list(self.outputs), known, self.coefficients, lift=True)
        smooth = [_named(name, lifting.normalise, row) for name, row in equal + less] + lifting.rows
        self.terms = [size_of_terms(row) for row in self.rows]
        self.domains = [-base for base in plain.domains]
        self.variables = lifting.variables
        self.lifting = list(lifting.lifted)  # the function that each lifted variable bounds
        first = len(smooth)
        self.solved = smooth + [Norm(*parts) - bound for bound, parts in lifting.norms]
        self.newton, norms = list(self.solved), []
        for i, (bound, parts) in enumerate(lifting.norms):
            at = len(self.newton)
            self.newton += [*parts, -bound]
            norms.append(NormRows(first + i, tuple(range(at, at + len(parts))), at + len(parts)))
        self.layout = RowLayout(len(self.outputs), self.equalities, len(self.solved) - self.equalities, tuple(norms))
        self.lock = RLock()  # the problems below keep the numbers of the sample they are solved for
        self._build()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as its conditions: the solver is built again."""
        return type(self), self.given

    def coefficient_values(self, context: Tensor) -> Tensor:
        """What the parameters `(*batch, k)` amount to, `(*batch, d)`."""
        leaves, target = as_leaves(self.parameters, context), TorchTarget(context)
        parts = [evaluate(expression, target, leaves) for expression in self.coefficients.symbols]
        return torch.stack(parts, dim=-1) if parts else context[..., :0]

    def residual(self, point: Tensor, coefficients: Tensor) -> Tensor:
        """The conditions, `(*batch, n)` and `(*batch, d)` to `(*batch, m)`."""
        return self._evaluate(self.rows, self.outputs, point, coefficients)

    @property
    def fragile(self) -> bool:
        """Whether a condition may have no finite slope somewhere."""
        return any(fragile_symbols(row) for row in self.rows)

    def residual_where(self, point: Tensor, coefficients: Tensor, where: Tensor) -> Tensor:
        """The conditions, with derivatives where they are asked for, `(*batch, m)`."""
        columns = []
        for row, asked in zip(self.rows, where.unbind(dim=-1), strict=True):
            given = [torch.where(asked[..., None], part, part.detach()) for part in (point, coefficients)]
            columns.append(self._evaluate([row], self.outputs, *given))
        return torch.cat(columns, dim=-1)

    def size_of_terms(self, point: Tensor, coefficients: Tensor) -> Tensor:
        """What the rounding of each condition is relative to, `(*batch, m)`."""
        return self._evaluate(self.terms, self.outputs, point, coefficients)

    def bounding(self, point: Tensor, coefficients: Tensor) -> Tensor:
        """The conditions, then the ends of the domains of their functions, `(*batch, m + d)`."""
        return self._evaluate([*self.rows, *self.domains], self.outputs, point, coefficients)

    def into_domains(self, point: Tensor, coefficients: Tensor) -> Tensor:
        """A point `(*batch, n)`, where rounding has put it outside the domain of a function moved onto its end."""
        if not self.domains:
            return point

        def ends(at: Tensor, numbers: Tensor) -> Tensor:
            return self._evaluate(self.domains, self.outputs, at, numbers)

        small = ROUNDING * point.abs().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(point.dtype).tiny)
        slopes = jacobian_of(ends, point, coefficients)
        lengths = slopes.square().sum(dim=-1)
        for i in range(len(self.domains)):
            over = ends(point, coefficients)[..., i : i + 1]
            slope, length = slopes[..., i, :], lengths[..., i : i + 1]
            near = (over > 0) & (over <= small * length.sqrt()) & (length > 0)
            point = torch.where(near, point - over * slope / length, point)
        return point

    def lift(self, point: Tensor, coefficients: Tensor) -> Tensor:
        """A point with the lifted variables, each as large as what it bounds: `(*batch, n + lifted)`."""
        for i, function in enumerate(self.lifting):
            known = self.variables[: len(self.outputs) + i]
            point = torch.cat([point, self._evaluate([function], known, point, coefficients)], dim=-1)
        return point

    def lifted(self, point: Tensor, coefficients: Tensor) -> Tensor:
        """All rows of Newton's method, `(*batch, n + lifted)` to `(*batch, q)`."""
        return self._evaluate(self.newton, self.variables, point, coefficients)

    def _evaluate(
        self, rows: Sequence[sympy.Basic], variables: Sequence[sympy.Symbol], point: Tensor, coefficients: Tensor
    ) -> Tensor:
        symbols = list(self.coefficients.symbols.values())
        leaves = {**as_leaves(variables, point), **as_leaves(symbols, coefficients)}
        target = TorchTarget(point)
        return torch.stack([evaluate(row, target, leaves).expand(point.shape[:-1]) for row in rows], dim=-1)

    def _build(self) -> None:
        try:
            cp: Any = import_module("cvxpy")
            layer: Any = import_module("cvxpylayers.torch")
        except ImportError as error:
            raise MissingExtraError(
                '`Convex` needs cvxpylayers, which the extra "convex" installs: pip install "dkmodels[convex]"'
            ) from error
        target = CvxpyTarget()
        n = len(self.outputs)
        y, value = cp.Variable(n), cp.Parameter(n)
        bounds = [cp.Variable() for _ in self.variables[n:]]
        numbers = [
            cp.Parameter(nonneg=bool(s.is_nonnegative), nonpos=bool(s.is_nonpositive and not s.is_nonnegative))
            for s in self.coefficients.symbols.values()
        ]
        leaves = dict(zip(self.variables, [*(y[i] for i in range(n)), *bounds], strict=True))
        leaves.update(zip(self.coefficients.symbols.values(), numbers, strict=True))

        def constrain(i: int, row: sympy.Basic) -> Any:
            expression = evaluate(row, target, leaves)
            return expression == 0 if i < self.equalities else expression <= 0

        for i, (name, row) in enumerate(zip(self.names, self.rows, strict=True)):
            _require_convex(name, _named(name, partial(constrain, i), row))
        constraints = [constrain(i, row) for i, row in enumerate(self.solved)]
        problem = cp.Problem(cp.Minimize(cp.norm(y - value, 2)), constraints)
        duals = [constraint.dual_variables[0] for constraint in constraints]
        self.layer = layer.CvxpyLayer(
            problem, parameters=[value, *numbers], variables=[y, *bounds, *duals], solver_args=dict(ACCURATE)
        )
        self.numbers = numbers
        self.near, slack = cp.Parameter(n), cp.Variable()
        loose = [c if i < self.equalities else c.expr + slack <= 0 for i, c in enumerate(constraints)]
        self.interior = cp.Problem(
            cp.Maximize(slack - 1e-3 * cp.norm(y - self.near, 2)), [*loose, slack >= 0, slack <= 1]
        )
        self.y = y
        if not numbers and self._is_empty():
            raise InfeasibleError(
                f"`Convex` needs conditions that some point satisfies together, got {len(self.names)} that none does: "
                f"{'; '.join(self.names)}"
            )

    def _is_empty(self) -> bool:
        """Whether there is no point, at whatever scale: the solver finds none, and tangents have none in common.

        The solver's word alone is not enough, as its tolerances are those of numbers of order one.
        """
        start, none = torch.zeros(1, len(self.outputs), dtype=torch.float64), torch.zeros(1, 0, dtype=torch.float64)
        proved, inner = self.inside(start[0], none[0])
        if inner is not None and self._obeys(inner[None], none):
            return False
        unknown = torch.full_like(start, torch.nan)
        found = nearest_by_planes(start, self.bounding, none, equalities=self.equalities, inner=unknown)
        return bool(found.empty.any()) or (proved and not self._obeys(self.into_domains(found.point, none), none))

    def _obeys(self, point: Tensor, coefficients: Tensor) -> bool:
        """Whether all conditions hold at points, up to rounding of what is added up."""
        residual, terms = self.residual(point, coefficients), self.size_of_terms(point, coefficients)
        k = self.equalities
        excess = torch.cat([residual[:, :k].abs(), residual[:, k:].clamp(min=0.0)], dim=-1)
        return bool((excess <= ROUNDING * terms).all())

    def inside(self, near: Tensor, coefficients: Tensor) -> tuple[bool, Tensor | None]:
        """Whether one sample's set is proved to have no point; else a point well inside, not far from `near` `(n,)`."""
        cp: Any = import_module("cvxpy")
        with self.lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is inaccurate nothing is believed unseen
            self.near.value = near.numpy(force=True)
            for parameter, number in zip(self.numbers, coefficients.tolist(), strict=True):
                parameter.value = number
            try:
                self.interior.solve(solver=cp.CLARABEL)
            except cp.SolverError:
                return False, None
            found = self.y.value if self.interior.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE) else None
            empty = bool(self.interior.status == cp.INFEASIBLE)
        return empty, None if found is None else torch.as_tensor(found).to(near)

    def solve(self, value: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """The solver's point with its lifted variables `(batch, n + lifted)`, and the multipliers `(batch, q)`."""
        with self.lock:
            found = self.layer(value.cpu(), *coefficients.cpu().unbind(dim=-1))
        flat = [part.reshape(len(value), -1).to(value) for part in found]
        last = 1 + len(self.variables) - len(self.outputs)
        kinks = value.new_zeros(len(value), len(self.newton) - len(self.solved))
        # The solver's objective is the distance; the multipliers wanted are those of half its square.
        distance = (flat[0] - value).norm(dim=-1, keepdim=True)
        return torch.cat(flat[:last], dim=-1), torch.cat([*flat[last:], kinks], dim=-1) * distance

    def sign_broken(self, coefficients: Tensor) -> Tensor:
        """Where a coefficient has not the sign that its declaration promises, `(*batch, d)`."""
        broken = torch.zeros_like(coefficients, dtype=torch.bool)
        for i, symbol in enumerate(self.coefficients.symbols.values()):
            if symbol.is_nonnegative:
                broken[..., i] |= coefficients[..., i] < 0
            if symbol.is_nonpositive:
                broken[..., i] |= coefficients[..., i] > 0
        return broken


def _real_symbols(
    conditions: Sequence[sympy.Basic], outputs: Sequence[sympy.Symbol], parameters: Sequence[sympy.Symbol]
) -> dict[sympy.Symbol, sympy.Symbol]:
    """Each declared symbol as a real one, with the signs that were declared."""
    both = [*outputs, *parameters]
    if not outputs:
        raise SpecificationError("`Convex` needs at least one output, got none")
    if any(not isinstance(symbol, sympy.Symbol) for symbol in both):
        raise SpecificationError(f"`Convex` needs symbols of sympy as outputs and parameters, got {both}")
    twice = sorted({str(s) for s in both if both.count(s) > 1})
    if twice:
        raise SpecificationError(f"`Convex` needs each symbol declared once, got {', '.join(twice)} twice")
    real = {}
    for symbol in both:
        if symbol.is_real is False or symbol.is_integer:
            raise SpecificationError(f"`Convex` needs symbols that can be any real number, got {symbol}")
        signs = {sign: True for sign in ("positive", "negative", *SIGNS) if getattr(symbol, f"is_{sign}")}
        real[symbol] = sympy.Symbol(symbol.name, real=True, **signs)
    if len(set(real.values())) < len(both):
        raise SpecificationError(f"`Convex` needs symbols of different names, got {both}")
    return real


def _declared(symbol: sympy.Symbol) -> list[tuple[str, int]]:
    return [(sign, f) for sign, f in zip(SIGNS, (-1, 1), strict=True) if getattr(symbol, f"is_{sign}")]


Rows = list[tuple[str, sympy.Basic]]


def _rows(
    conditions: Sequence[sympy.Basic], real: dict[sympy.Symbol, sympy.Symbol], outputs: set[sympy.Symbol]
) -> tuple[Rows, Rows]:
    """What is 0, and what is at most 0, each with the name of its condition."""
    equal: Rows = []
    less: Rows = []
    waiting = [as_statement(given, "`Convex`") for given in conditions]
    while waiting:
        given = waiting.pop(0)
        if isinstance(given, sympy.And):
            waiting[:0] = sorted(given.args, key=sympy.default_sort_key)
            continue
        name = str(given)
        if given == sympy.true:
            continue
        if given == sympy.false:
            raise InfeasibleError("`Convex` needs conditions that can hold, got one that sympy found to be false")
        if isinstance(given, sympy.Gt | sympy.Lt):
            raise SpecificationError(
                f"`Convex` needs closed conditions, got {name}: a set without its boundary has no nearest points; "
                f"use <= or >=, with a margin if need be"
            )
        if not isinstance(given, sympy.Eq | sympy.Le | sympy.Ge):
            raise SpecificationError(f"`Convex` needs conditions of Eq, Le, Ge and And, got {name}")
        unknown = sorted(str(s) for s in given.free_symbols - set(real))
        if unknown:
            raise SpecificationError(f"`Convex` needs every symbol declared, got {', '.join(unknown)} in {name}")
        low, high = (given.lts, given.gts) if isinstance(given, sympy.Le | sympy.Ge) else given.args
        row = (low - high).xreplace(real)
        if not row.free_symbols & outputs or row.has(sympy.oo, sympy.nan, sympy.zoo):
            raise SpecificationError(f"`Convex` needs finite conditions on outputs, got {name}")
        (equal if isinstance(given, sympy.Eq) else less).append((name, row))
    return equal, less


def _named(name: str, function: Callable[[sympy.Basic], Any], row: sympy.Basic) -> Any:
    """An error within says which condition it is about."""
    try:
        return function(row)
    except SpecificationError as error:
        raise SpecificationError(f"`Convex` cannot use {name}: {error}") from error


def _require_convex(name: str, constraint: Any) -> None:
    if not constraint.is_dcp():
        expression = constraint.expr
        raise SpecificationError(
            f"`Convex` needs Eq of affine sides, or Le of a convex side below a concave one, by the rules of "
            f"disciplined convex programming, got {name}, whose difference is {expression.curvature.lower()}"
        )
    if not constraint.is_dcp(dpp=True):
        raise SpecificationError(
            f"`Convex` needs parameters that enter as terms or as factors of what is free of others (DPP), got {name}"
        )
