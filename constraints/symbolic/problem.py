"""Equations and conditions looked at together: do they contradict each other, do they leave the field free?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from constraints.domains import Cuboid
from constraints.errors import InfeasibleError, SpecificationError
from constraints.symbolic.conditions import Pin
from constraints.symbolic.field_equation import FieldEquation
from constraints.symbolic.pins import require_agreement

__all__ = ["ProblemReport", "check_problem", "require_consistent"]

LOW = 4  # the degree of polynomials that show the size of an equation: derivatives are of this order at most
FREE = 1e-2  # of a change of unit size, what equations and conditions must see of it
ZERO = 1e-7
LARGEST, TOGETHER, STEP = 160, 16, 1e-6


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemReport:
    """What is known of equations and conditions together.

    Attributes:
        contradiction: what contradicts, in words; empty where nothing was found to.
        free: how many independent changes of the fields all rules leave (nearly) unseen, among polynomials.
        fields: the share of each field in these changes, by name, in [0, 1].
        smallest: what the rules see of the change that they see least.

    Example:
        >>> report = ProblemReport(contradiction="", free=0, fields={"u": 0.0}, smallest=0.3)
        >>> report.require()
    """

    contradiction: str
    free: int
    fields: Mapping[str, float]
    smallest: float

    def require(self) -> None:
        """Refuse contradictions, and fields that are left free.

        Raises:
            InfeasibleError: conditions contradict each other.
            SpecificationError: the problem is under-determined; says in which field.
        """
        if self.contradiction:
            raise InfeasibleError(self.contradiction)
        if self.free:
            loose = ", ".join(f"{name} ({share:.0%})" for name, share in self.fields.items() if share > 0.01)
            raise SpecificationError(
                f"the problem is under-determined: {self.free} independent changes of {loose} break no rule (nearly): "
                f"initial or boundary conditions, a mean, or data are missing"
            )


def check_problem(rules: Mapping[str, FieldEquation]) -> ProblemReport:
    r"""Whether equations and conditions contradict each other, and whether they determine the fields.

    The residuals are linearised about a random smooth field, and tried on all polynomials of a fixed degree over the
    domain: a change is free where they see less than a hundredth of it, and ever less of it as the degree grows. This
    finds a missing initial or boundary condition and a pressure known up to a constant. It is a check in finite
    precision of a linearised problem, no proof: what dies out within a thin layer may be missed, and a stiff or chaotic
    motion over a long time looks free, too. Where sensors determine the rest, do not ask for it.

    Args:
        rules: equations and conditions of the same fields by name, with a domain of finite bounds.

    Raises:
        SpecificationError: no rules, rules of different fields, none with a domain, more than 3 coordinates.

    Example:
        >>> import sympy
        >>> from constraints.symbolic.declare import declare
        >>> x = sympy.Symbol("x")
        >>> u = sympy.Function("u")(x)
        >>> told = {"fields": [u], "domain": {x: (0, 1)}}
        >>> equation = declare(sympy.Eq(u.diff(x, 2), 1), **told)
        >>> left, right = declare(sympy.Eq(u.subs(x, 0), 0), **told), declare(sympy.Eq(u.subs(x, 1), 0), **told)
        >>> check_problem({"equation": equation, "left": left, "right": right}).free
        0
        >>> check_problem({"equation": equation, "left": left}).free
        1
    """
    low, high = _bounds(rules)
    try:
        require_consistent(rules)
        contradiction = ""
    except InfeasibleError as error:
        contradiction = str(error)
    names = [str(field.func) for field in next(iter(rules.values())).fields]
    degree = _degree(len(low), len(names))
    training = [rule for rule in rules.values() if rule.training]
    try:
        for rule in training:  # whose samplers learn
            rule.eval()
        coarse, _ = _seen(rules, _Polynomials(low, high, len(names), max(degree - 3, 1)))
        sizes, vectors = _seen(rules, _Polynomials(low, high, len(names), degree))
    finally:
        for rule in training:
            rule.train()
    before = torch.cat([sizes.new_full((max(len(sizes) - len(coarse), 0),), torch.inf), coarse])[-len(sizes) :]
    free = (sizes < FREE) & ((sizes < ZERO) | (sizes < before / 5.0))
    shares = vectors[free].square().sum(dim=0).reshape(len(names), -1).sum(dim=1) / max(int(free.sum()), 1)
    return ProblemReport(
        contradiction=contradiction,
        free=int(free.sum()),
        fields=dict(zip(names, shares.tolist(), strict=True)),
        smallest=float(sizes[-1]),
    )


def require_consistent(rules: Mapping[str, FieldEquation]) -> None:
    """Refuse conditions of which one wants another value than another at the same place.

    Raises:
        InfeasibleError: names the two rules.

    Example:
        >>> require_consistent({})
    """
    for (one, first), (two, second) in itertools.combinations(rules.items(), 2):
        if first.fields != second.fields:
            continue
        pins = [c for c in (*first.conditions, *second.conditions) if isinstance(c, Pin)]
        try:
            require_agreement(pins, first.coordinates)
        except InfeasibleError as error:
            raise InfeasibleError(f"rules `{one}` and `{two}`: {error}") from error


def _bounds(rules: Mapping[str, FieldEquation]) -> tuple[Tensor, Tensor]:
    known = [rule.domain for rule in rules.values() if isinstance(rule.domain, Cuboid)]
    if not rules or len({rule.fields for rule in rules.values()}) > 1 or not known:
        raise SpecificationError(
            "`check_problem` needs rules of the same fields, one of them with bounds of each coordinate, got "
            + (", ".join(rules) or "none")
        )
    low, high = known[0].bounds
    if len(low) > 3:
        raise SpecificationError(f"`check_problem` needs at most 3 coordinates, got {len(low)}")
    return low, high


def _degree(coordinates: int, fields: int) -> int:
    """Of the polynomials along each coordinate: as high as some hundred of them allow."""
    return min(12, int((LARGEST / fields) ** (1.0 / coordinates)) - 1)


def _seen(rules: Mapping[str, FieldEquation], field: _Polynomials) -> tuple[Tensor, Tensor]:
    """What the rules see of changes of unit size, falling, and these changes, `(n,)` and `(n, coefficients)`."""
    _, sizes, vectors = torch.linalg.svd(_jacobian(rules, field), full_matrices=False)
    return sizes, vectors


def _jacobian(rules: Mapping[str, FieldEquation], field: _Polynomials) -> Tensor:
    """How the residuals change with each coefficient, `(residuals, coefficients)`, by differences."""
    points = field.nodes()
    start, count = field.coefficients[0], field.coefficients[0].numel()
    columns = []
    for chunk in torch.arange(-1, count).split(TOGETHER):  # -1: none is changed
        changed = start.expand(len(chunk), *start.shape).clone().flatten(1)
        moved = chunk >= 0
        changed[moved, chunk[moved]] += STEP
        field.coefficients = changed.unflatten(1, start.shape)
        several = points.repeat(len(chunk), 1)
        parts = []
        for rule in rules.values():
            residual = rule.quantity(field, several).detach().reshape(len(chunk), len(points), -1)
            parts.append(residual / len(points) ** 0.5)
        columns.append(torch.cat(parts, dim=2))
    found = torch.cat(columns)
    slopes = (found[1:] - found[0]) / STEP
    return (slopes / _unit(slopes, field)).flatten(1).mT


def _unit(slopes: Tensor, field: _Polynomials) -> Tensor:
    """By what to divide each equation so that it sees 1 to 1000 of low polynomials: units may make it any size."""
    low = (field.exponents <= LOW).all(dim=1).repeat(field.coefficients.shape[1])
    seen = slopes[low].square().sum(dim=1).sqrt().amax(dim=0)
    return torch.where(seen > 0, seen / seen.clamp(1.0, 1000.0), 1.0)


@final
class _Polynomials(nn.Module):
    """Fields of Legendre's polynomials over a box, of unit mean square each; blocks of points have their own fields."""

    def __init__(self, low: Tensor, high: Tensor, fields: int, degree: int) -> None:
        super().__init__()
        self.low, self.high, self.degree = low, high, degree
        exponents = torch.tensor(list(itertools.product(range(degree + 1), repeat=len(low))))
        self.exponents = exponents
        draw = torch.Generator().manual_seed(0)
        small = 0.3 ** exponents.sum(dim=1)  # smooth, so that what is free is near a polynomial
        self.coefficients = 0.1 * small * torch.randn(1, fields, len(exponents), generator=draw, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        z = (2.0 * x - self.low - self.high) / (self.high - self.low)
        along = [torch.ones_like(z), z]
        for k in range(1, self.degree):
            along.append(((2 * k + 1) * z * along[k] - k * along[k - 1]) / (k + 1))
        scale = torch.arange(self.degree + 1, dtype=x.dtype).mul(2.0).add(1.0).sqrt()
        table = torch.stack(along[: self.degree + 1], dim=-1) * scale  # (n, d, degree + 1)
        basis = torch.ones_like(table[:, 0, self.exponents[:, 0]])
        for axis in range(x.shape[-1]):
            basis = basis * table[:, axis, self.exponents[:, axis]]
        blocks = basis.reshape(-1, len(self.coefficients), (self.degree + 3) ** len(self.low), basis.shape[-1])
        return torch.einsum("pkni,kfi->pknf", blocks, self.coefficients).flatten(0, 2)

    def nodes(self) -> Tensor:
        """Gauss's nodes, more along each coordinate than there are polynomials."""
        z = torch.from_numpy(np.polynomial.legendre.leggauss(self.degree + 3)[0])
        grid = torch.cartesian_prod(*[z] * len(self.low)).reshape(-1, len(self.low))
        return self.low + (grid + 1.0) / 2.0 * (self.high - self.low)
