"""Linear conditions to the most specific linear set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import sympy
import torch
from numpy.typing import NDArray

from constraints.errors import InfeasibleError
from constraints.functional.real_functions import real_number
from constraints.sets import (
    Affine,
    Box,
    BoxEquality,
    Fallback,
    HalfSpace,
    OrderedCone,
    Polytope,
    Simplex,
    VaryingPolytope,
)
from constraints.symbolic.context import Entry
from constraints.symbolic.forms import AffineForm
from constraints.symbolic.found import Found
from constraints.symbolic.statement import Condition

__all__ = ["Row", "linear_set"]

Numbers = NDArray[np.float64]
CLOSED = "closed form"
ACTIVE = "active-set projection, some matrix products of the number of rows"


@final
@dataclass(frozen=True, slots=True)
class Row:
    """`a . y = b` or `a . y <= b`, for the samples where `when` holds."""

    coefficients: dict[sympy.Symbol, sympy.Expr]
    bound: sympy.Expr
    equality: bool
    when: sympy.Basic

    @classmethod
    def of(cls, condition: Condition, form: AffineForm) -> Row:
        """From a condition and its affine form."""
        return cls(form.coefficients, -form.constant, condition.equality, condition.when)

    @property
    def fixed(self) -> bool:
        """Whether nothing in it depends on the input."""
        return self.constant and self.bound.is_number and self.when is sympy.true

    @property
    def constant(self) -> bool:
        """Whether its coefficients are numbers."""
        return all(c.is_number for c in self.coefficients.values())


@final
class _System:
    """Rows over given outputs, sorted into bounds, equalities and inequalities."""

    def __init__(self, rows: Sequence[Row], outputs: Sequence[sympy.Symbol]) -> None:
        self.outputs = list(outputs)
        self.low, self.high = np.full(len(outputs), -np.inf), np.full(len(outputs), np.inf)
        self.equal: list[Row] = []
        self.below: list[Row] = []
        for row in rows:
            if row.fixed and len(row.coefficients) == 1:
                self._bound(row)
            elif row.equality and row.when is sympy.true:
                self.equal.append(row)
            else:
                self.below.append(row)
        if bool((self.low > self.high).any()):
            i = int(np.argmax(self.low > self.high))
            raise InfeasibleError(f"{self.outputs[i]} would be at least {self.low[i]:g} and at most {self.high[i]:g}")

    def _bound(self, row: Row) -> None:
        ((symbol, coefficient),) = row.coefficients.items()
        i, value = self.outputs.index(symbol), real_number(row.bound / coefficient)
        if row.equality or coefficient > 0:
            self.high[i] = min(self.high[i], value)
        if row.equality or coefficient < 0:
            self.low[i] = max(self.low[i], value)

    @property
    def bounded(self) -> bool:
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    def matrix(self, rows: Sequence[Row]) -> Numbers:
        found = np.zeros((len(rows), len(self.outputs)))
        for i, row in enumerate(rows):
            for symbol, coefficient in row.coefficients.items():
                found[i, self.outputs.index(symbol)] = real_number(coefficient)
        return found

    def bound_rows(self) -> tuple[Numbers, Numbers, Numbers]:
        """The bounds as rows: matrix, low, high."""
        some = np.isfinite(self.low) | np.isfinite(self.high)
        return np.eye(len(self.outputs))[some], self.low[some], self.high[some]


def linear_set(
    rows: Sequence[Row], outputs: Sequence[sympy.Symbol], fallback: Fallback | None, *, reorder: bool = True
) -> Found:
    """The most specific set of linear rows over `outputs`, which an order may take in another order (`reorder`).

    Raises:
        InfeasibleError: fixed rows that no output satisfies.
    """
    system = _System(rows, outputs)
    fixed = [row for row in rows if row.fixed]
    if 1 < len(fixed) < len(rows):
        linear_set(fixed, outputs, fallback, reorder=False)  # a contradiction of the fixed ones is one for every input
    every = [*system.equal, *system.below]
    if not all(row.constant for row in every):
        return _varying(system, fallback)
    if all(row.fixed for row in every):
        return _fixed(system, fallback, reorder=reorder)
    return _depending(system, fallback)


def _fixed(s: _System, fallback: Fallback | None, *, reorder: bool) -> Found:
    names = tuple(s.outputs)
    equal, below = s.matrix(s.equal), s.matrix(s.below)
    targets = np.array([real_number(row.bound) for row in s.equal])
    if not s.equal and not s.below:
        box = Box(low=s.low.tolist(), high=s.high.tolist())
        return Found(kind="box", why="each condition bounds one output", cost="a clip", constraint=box, outputs=names)
    if len(s.equal) == 1 and not s.below:
        return _one_equality(s, equal[0], targets[0], fallback)
    if not s.below and not s.bounded:
        return _affine(s, Affine(equal.tolist(), targets.tolist(), fallback=fallback), ())
    if not s.equal and not s.bounded and len(s.below) == 1:
        half = HalfSpace(below[0].tolist(), real_number(s.below[0].bound), fallback=fallback)
        return _half_space(s, half, ())
    ordered = None if s.equal else _order(s, below)
    if ordered is not None and (reorder or ordered.outputs == names):
        return ordered
    eye, low, high = s.bound_rows()
    matrix = np.concatenate([below, eye])
    lower = np.concatenate([np.full(len(below), -np.inf), low])
    upper = np.concatenate([np.array([real_number(row.bound) for row in s.below]), high])
    polytope = Polytope(
        torch.from_numpy(matrix),
        lower.tolist(),
        upper.tolist(),
        equal=equal.tolist() if len(equal) else None,
        target=targets.tolist() if len(equal) else None,
        fallback=fallback,
    )
    return _polytope(s, polytope, (), ())


def _one_equality(s: _System, a: Numbers, b: float, fallback: Fallback | None) -> Found:
    names = tuple(s.outputs)
    same = len(set(a)) == 1 and len(a) > 1
    if not s.bounded:
        return _affine(s, Affine([a.tolist()], [b], fallback=fallback), ())
    if same and b / a[0] > 0 and bool((s.low == 0).all()) and bool(np.isinf(s.high).all()):
        simplex = Simplex(b / a[0], fallback=fallback)
        return Found(
            kind="simplex",
            why="a fixed sum of outputs that are not negative",
            cost="closed form: one sort",
            constraint=simplex,
            outputs=names,
        )
    both = BoxEquality(a.tolist(), target=b, low=s.low.tolist(), high=s.high.tolist(), fallback=fallback)
    return _box_equality(s, both, ())


def _affine(s: _System, constraint: Affine, entries: tuple[Entry, ...]) -> Found:
    matrix = s.matrix(s.equal)
    total = len(matrix) == 1 and matrix.shape[1] > 1 and len(set(matrix[0])) == 1
    one = len(s.equal) == 1
    count = "one equality" if one else f"{len(s.equal)} equalities"
    of = f", {'its target' if one else 'their targets'} read from {_read(entries)}" if entries else ""
    return Found(
        kind="sum" if total else "affine",
        why=f"{count}, linear in the outputs{of}",
        cost=f"{CLOSED}: one matrix product",
        constraint=constraint,
        outputs=tuple(s.outputs),
        entries=entries,
        shape=(len(entries),) if entries else (),
    )


def _box_equality(s: _System, constraint: BoxEquality, entries: tuple[Entry, ...]) -> Found:
    return Found(
        kind="affine in a box",
        why="one equality, linear in the outputs, and bounds of outputs" + _from(entries),
        cost="closed form: one sort",
        constraint=constraint,
        outputs=tuple(s.outputs),
        entries=entries,
        shape=(len(entries),) if entries else (),
    )


def _half_space(s: _System, constraint: HalfSpace, entries: tuple[Entry, ...]) -> Found:
    return Found(
        kind="half-space",
        why="one inequality, linear in the outputs" + _from(entries),
        cost=f"{CLOSED}: one scalar product",
        constraint=constraint,
        outputs=tuple(s.outputs),
        entries=entries,
        shape=(len(entries),) if entries else (),
    )


def _polytope(
    s: _System, constraint: Polytope | VaryingPolytope, entries: tuple[Entry, ...], shape: tuple[int, ...]
) -> Found:
    bounds = int((np.isfinite(s.low) | np.isfinite(s.high)).sum())
    told = [
        f"{count} {one if count == 1 else many}"
        for count, one, many in (
            (len(s.equal), "equality", "equalities"),
            (len(s.below), "inequality", "inequalities"),
            (bounds, "bounded output", "bounded outputs"),
        )
        if count
    ]
    return Found(
        kind="polytope",
        why=f"{', '.join(told)}, all linear in the outputs" + _from(entries),
        cost=ACTIVE,
        constraint=constraint,
        outputs=tuple(s.outputs),
        entries=entries,
        shape=shape,
    )


def _from(entries: Sequence[Entry]) -> str:
    return f"; numbers read from {_read(entries)}" if entries else ""


def _read(entries: Sequence[Entry]) -> str:
    symbols = {s for e in entries for part in (e.expression, e.when) for s in part.free_symbols}
    return ", ".join(sorted(map(str, symbols)))


def _order(s: _System, below: Numbers) -> Found | None:
    """Rows `y_i - y_j <= -g` that form one chain through all outputs, with the same bounds for all."""
    n = len(s.outputs)
    gaps = {real_number(-row.bound) for row in s.below}
    same = len(set(s.low)) == 1 and len(set(s.high)) == 1
    if len(s.below) != n - 1 or len(gaps) != 1 or not same or min(gaps) < 0:
        return None
    after: dict[int, int] = {}
    for row in below:
        one, other = np.flatnonzero(row == 1.0), np.flatnonzero(row == -1.0)
        if np.count_nonzero(row) != 2 or len(one) != 1 or len(other) != 1 or int(one[0]) in after:
            return None
        after[int(one[0])] = int(other[0])
    first = set(range(n)) - set(after.values())
    if len(first) != 1:
        return None
    chain = [first.pop()]
    while chain[-1] in after and len(chain) <= n:
        chain.append(after[chain[-1]])
    if len(chain) != n:
        return None
    low, high = float(s.low[0]), float(s.high[0])
    cone = OrderedCone(low=None if np.isinf(low) else low, high=None if np.isinf(high) else high, gap=gaps.pop())
    if n > cone.most:
        raise InfeasibleError(f"{n} outputs do not fit between {low:g} and {high:g} with the gap {float(cone.gap):g}")
    return Found(
        kind="order",
        why="each output is at most the next",
        cost="closed form: isotonic regression",
        constraint=cone,
        outputs=tuple(s.outputs[i] for i in chain),
    )


def _depending(s: _System, fallback: Fallback | None) -> Found:
    """Fixed coefficients; targets or bounds that depend on the input."""
    equal, below = s.matrix(s.equal), s.matrix(s.below)
    targets = tuple(Entry(row.bound) for row in s.equal)
    if s.equal and not s.below:
        if len(s.equal) == 1 and s.bounded:
            a = equal[0]
            same = len(set(a)) == 1 and len(a) > 1
            if same and bool((s.low == 0).all()) and bool(np.isinf(s.high).all()):
                total = (Entry(s.equal[0].bound / next(iter(s.equal[0].coefficients.values()))),)
                return Found(
                    kind="simplex",
                    why="a sum of outputs that are not negative" + _from(total),
                    cost="closed form: one sort",
                    constraint=Simplex(fallback=fallback),
                    outputs=tuple(s.outputs),
                    entries=total,
                    shape=(1,),
                )
            both = BoxEquality(a.tolist(), low=s.low.tolist(), high=s.high.tolist(), fallback=fallback)
            return _box_equality(s, both, targets)
        if not s.bounded and np.linalg.matrix_rank(equal) == len(equal):
            return _affine(s, Affine(equal.tolist(), fallback=fallback), targets)
        if not s.bounded:
            return _varying(s, fallback)
    if not s.equal and len(s.below) == 1 and not s.bounded and s.below[0].when is sympy.true:
        row = s.below[0]
        if not row.equality and len(row.coefficients) > 0:
            half = HalfSpace(below[0].tolist(), fallback=fallback)
            return _half_space(s, half, (Entry(row.bound),))
    eye, low, high = s.bound_rows()
    lower = [*map(_low, s.below), *(_number(v) for v in low)]
    upper = [*map(_high, s.below), *(_number(v) for v in high)]
    rows = np.concatenate([below, eye])
    polytope = Polytope(
        torch.from_numpy(rows),
        equal=equal.tolist() if len(equal) else None,
        varies=True,
        fallback=fallback,
    )
    entries = (*targets, *lower, *upper)
    return _polytope(s, polytope, entries, (len(entries),))


def _varying(s: _System, fallback: Fallback | None) -> Found:
    """Coefficients that depend on the input: each sample brings its whole system."""
    n = len(s.outputs)
    eye, low, high = s.bound_rows()
    entries: list[Entry] = []
    for row in [*s.equal, *s.below]:
        entries += [Entry(row.coefficients.get(symbol, sympy.Integer(0))) for symbol in s.outputs]
        equality = row.equality and row.when is sympy.true
        entries += [Entry(row.bound), Entry(row.bound)] if equality else [_low(row), _high(row)]
    for row, least, most in zip(eye, low, high, strict=True):
        entries += [*(_number(v) for v in row), _number(least), _number(most)]
    m = len(s.equal) + len(s.below) + len(eye)
    polytope = VaryingPolytope(m, n, equalities=len(s.equal), fallback=fallback)
    return _polytope(s, polytope, tuple(entries), (m, n + 2))


def _low(row: Row) -> Entry:
    return Entry(row.bound, row.when, -np.inf) if row.equality else Entry(-sympy.oo)


def _high(row: Row) -> Entry:
    return Entry(row.bound, row.when, np.inf)


def _number(value: float) -> Entry:
    return Entry(sympy.oo * (1 if value > 0 else -1) if np.isinf(value) else sympy.Float(float(value), 17))
