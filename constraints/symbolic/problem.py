"""Equations and conditions looked at together: do they contradict each other, do they leave the field free?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import sympy
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
SLOW = 3  # the degree of what varies slowly


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
        coarse = _linearise(rules, _Polynomials(low, high, len(names), max(degree - 3, 1)))
        fine = _linearise(rules, _Polynomials(low, high, len(names), degree))
        free, finest = _free(coarse, fine, 5.0), fine
        if bool((free & (fine.sizes >= ZERO)).any()):  # what grows fast is small, too, but not ever smaller
            finest = _linearise(rules, _Polynomials(low, high, len(names), degree + 3))
            free = _free(fine, finest, 20.0)
    finally:
        for rule in training:
            rule.train()
    contradiction = contradiction or _unsolvable(list(rules), coarse, fine)
    sizes, vectors = finest.sizes, finest.vectors
    shares = vectors[free].square().sum(dim=0).reshape(len(names), -1).sum(dim=1) / max(int(free.sum()), 1)
    return ProblemReport(
        contradiction=contradiction,
        free=int(free.sum()),
        fields=dict(zip(names, shares.tolist(), strict=True)),
        smallest=float(sizes[-1]),
    )


def require_consistent(rules: Mapping[str, FieldEquation]) -> None:
    """Refuse conditions of which one wants another value than another at the same place, or than is given everywhere.

    Raises:
        InfeasibleError: names the two rules.

    Example:
        >>> require_consistent({})
    """
    for (one, first), (two, second) in itertools.permutations(rules.items(), 2):
        if first.fields == second.fields:
            for field, value in first.values().items():
                _require_value(
                    one, two, value, [c for c in second.conditions if isinstance(c, Pin) and c.field == field], second
                )
    for (one, first), (two, second) in itertools.combinations(rules.items(), 2):
        if first.fields != second.fields:
            continue
        pins = [c for c in (*first.conditions, *second.conditions) if isinstance(c, Pin)]
        try:
            require_agreement(pins, first.coordinates)
        except InfeasibleError as error:
            raise InfeasibleError(f"rules `{one}` and `{two}`: {error}") from error


def _require_value(one: str, two: str, value: sympy.Expr, pins: Sequence[Pin], rule: FieldEquation) -> None:
    """Refuse pins that a value given everywhere does not have."""
    coordinates = [sympy.Symbol(x.name, real=True) for x in rule.coordinates]
    for pin in pins:
        gap = pin.apply(value, coordinates)
        at = {x: sympy.Rational(3 + i, 10) for i, x in enumerate(coordinates)}
        at |= {coordinates[i]: sympy.Float(low + 0.37 * (high - low)) for i, low, high in pin.extent}
        size = sum(abs(complex(sympy.N(part.subs(at)))) for part in (value, pin.value)) or 1.0
        if abs(complex(sympy.N(gap.subs(at)))) > 1e-8 * size:
            raise InfeasibleError(
                f"rules `{one}` and `{two}`: conditions contradict each other: one gives the field the value {value} "
                f"everywhere, which breaks the other at {coordinates[pin.axis]} = {pin.at}"
            )


def _bounds(rules: Mapping[str, FieldEquation]) -> tuple[Tensor, Tensor]:
    known = [rule.domain for rule in rules.values() if isinstance(rule.domain, Cuboid)]
    if not rules or len({rule.fields for rule in rules.values()}) > 1 or not known:
        raise SpecificationError(
            "`check_problem` needs rules of the same fields, one of them with bounds of each coordinate, got "
            + (", ".join(rules) or "none")
        )
    low = torch.stack([domain.bounds[0] for domain in known]).amin(dim=0)
    high = torch.stack([domain.bounds[1] for domain in known]).amax(dim=0)
    if len(low) > 3:
        raise SpecificationError(f"`check_problem` needs at most 3 coordinates, got {len(low)}")
    return low, high


def _degree(coordinates: int, fields: int) -> int:
    """Of the polynomials along each coordinate: as high as some hundred of them allow."""
    return min(12, int((LARGEST / fields) ** (1.0 / coordinates)) - 1)


def _free(coarse: _Linearised, fine: _Linearised, falls: float) -> Tensor:
    """Which changes of the finer polynomials no rule sees, or so many times less than of the coarser ones."""
    missing = fine.sizes.new_full((max(len(fine.sizes) - len(coarse.sizes), 0),), torch.inf)
    before = torch.cat([missing, coarse.sizes])[-len(fine.sizes) :]
    return (fine.sizes < FREE) & ((fine.sizes < ZERO) | (fine.sizes < before / falls))


@final
@dataclass(frozen=True)
class _Linearised:
    """Residuals about a random field: `residual + slopes (c - start)`, each equation by its unit.

    Attributes:
        slopes: how residuals change with each coefficient, `(residuals, coefficients)`.
        residual: of the random field, `(residuals,)`.
        start: its coefficients, `(coefficients,)`.
        counts: how many equations each rule has.
        linear: of each rule whether its residuals are linear in the fields.
        bases: of each rule an orthonormal basis of what varies slowly over its points, `(points, m)`.
    """

    slopes: Tensor
    residual: Tensor
    start: Tensor
    counts: tuple[int, ...]
    linear: tuple[bool, ...]
    bases: tuple[Tensor, ...]

    @cached_property
    def _decomposition(self) -> tuple[Tensor, Tensor]:
        _, sizes, vectors = torch.linalg.svd(self.slopes, full_matrices=False)
        return sizes, vectors

    @property
    def sizes(self) -> Tensor:
        """What the rules see of changes of unit size, falling, `(n,)`."""
        return self._decomposition[0]

    @property
    def vectors(self) -> Tensor:
        """These changes, `(n, coefficients)`."""
        return self._decomposition[1]

    def least(self) -> tuple[Tensor, float]:
        """What remains of the residuals of the linear rules for the best field, and the size of their sources."""
        linear = torch.cat(
            [torch.full((len(part),), one) for part, one in zip(self.split(self.residual), self.linear, strict=True)]
        )
        slopes, source = self.slopes[linear], (self.residual - self.slopes @ self.start)[linear]
        best = torch.linalg.lstsq(slopes, -source[:, None], rcond=1e-8, driver="gelsd").solution[:, 0]
        left = torch.zeros_like(self.residual)
        left[linear] = source + slopes @ best
        return left, float(source.norm())

    def split(self, residual: Tensor) -> tuple[Tensor, ...]:
        """Residuals by rule."""
        sizes = [len(basis) * count for basis, count in zip(self.bases, self.counts, strict=True)]
        return tuple(torch.split(residual, sizes))

    def smooth(self, residual: Tensor) -> float:
        """The size of what of residuals varies slowly over the points."""
        parts = zip(self.split(residual), self.bases, self.counts, strict=True)
        return float(torch.cat([(basis.mT @ part.reshape(-1, count)).flatten() for part, basis, count in parts]).norm())


def _unsolvable(names: Sequence[str], coarse: _Linearised, fine: _Linearised) -> str:
    """Why the linear rules have no solution together; empty where they may have one.

    What the best polynomials leave is orthogonal to all that they can give, in the mean over the domain. Where it is
    itself a polynomial of a low degree, it is so to what any field can give (integration by parts), and the sources
    break a condition of solvability. What polynomials do not resolve is none.
    """
    (before, _), (left, size) = coarse.least(), fine.least()
    remains, was = float(left.norm()), float(before.norm())
    if not size or remains < 1e-2 * size or remains < 0.97 * was:
        return ""
    if fine.smooth(left) < (1.0 - 1e-6) * remains:
        return ""
    parts = zip(names, fine.split(left), strict=True)
    named = ", ".join(f"`{name}`" for name, part in parts if float(part.norm()) > 0.1 * remains)
    return (
        f"rules {named} have no solution together: whatever the fields are, {remains / size:.0%} of their sources "
        f"remain. What flows in must flow out: check that sources and values at the boundary are in balance"
    )


def _linearise(rules: Mapping[str, FieldEquation], field: _Polynomials) -> _Linearised:
    """How the residuals change with each coefficient, by differences."""
    start = field.coefficients[0]
    other = 0.1 * torch.randn(start.shape, generator=torch.Generator().manual_seed(1), dtype=start.dtype)
    changes = STEP * torch.eye(start.numel(), dtype=start.dtype)
    tried = torch.cat([torch.zeros_like(changes[:1]), changes, (other - start).reshape(1, -1)])
    slopes, residuals, counts, linear, bases = [], [], [], [], []
    for rule in rules.values():
        points, roots = field.nodes(*_own_bounds(rule, field))
        if rule.constant:
            points, roots = points[:1], torch.ones_like(roots[:1])
        found = roots[:, None] * _residuals(rule, field, start, tried, points)
        steps = (found[1:-1] - found[0]) / STEP
        predicted = found[0] + torch.einsum("c,cpk->pk", tried[-1], steps)
        linear.append(bool((predicted - found[-1]).abs().max() <= 1e-4 * found.abs().max()))
        unit = _unit(steps, field)
        slopes.append((steps / unit).flatten(1).mT)
        residuals.append((found[0] / unit).flatten())
        counts.append(found.shape[2])
        bases.append(torch.linalg.qr(roots[:, None] * field.table(points, SLOW))[0])
    return _Linearised(
        torch.cat(slopes), torch.cat(residuals), start.flatten(), tuple(counts), tuple(linear), tuple(bases)
    )


def _own_bounds(rule: FieldEquation, field: _Polynomials) -> tuple[Tensor, Tensor]:
    """Where a rule is tested: its own box, without the coordinates that this fixes."""
    if not isinstance(rule.domain, Cuboid):
        return field.low, field.high
    low, high = rule.domain.bounds
    fixed = low == high
    return torch.where(fixed, field.low, low), torch.where(fixed, field.high, high)


def _residuals(rule: FieldEquation, field: _Polynomials, start: Tensor, changes: Tensor, points: Tensor) -> Tensor:
    """Of each change of the coefficients the residuals, `(changes, points, m)`."""
    parts = []
    field.points = len(points)
    for chunk in changes.split(TOGETHER):
        field.coefficients = start + chunk.reshape(-1, *start.shape)
        residual = rule.residuals(field, points.repeat(len(chunk), 1)).detach()
        parts.append(residual.reshape(len(chunk), len(points), -1))
    field.coefficients = start[None]
    return torch.cat(parts)


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
        self.points = (degree + 3) ** len(low)
        exponents = torch.tensor(list(itertools.product(range(degree + 1), repeat=len(low))))
        self.exponents = exponents
        draw = torch.Generator().manual_seed(0)
        small = 0.3 ** exponents.sum(dim=1)  # smooth, so that what is free is near a polynomial
        self.coefficients = 0.1 * small * torch.randn(1, fields, len(exponents), generator=draw, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        basis = self.table(x, self.degree)
        count = len(self.coefficients)  # points come in blocks, each with its own fields, once for each place
        blocks = basis.reshape(-1, count, self.points, basis.shape[-1])
        return torch.einsum("pkni,kfi->pknf", blocks, self.coefficients).flatten(0, 2)

    def table(self, x: Tensor, degree: int) -> Tensor:
        """All products of Legendre polynomials up to a degree, `(n, d)` to `(n, m)`."""
        z = (2.0 * x - self.low - self.high) / (self.high - self.low)
        along = [torch.ones_like(z), z]
        for k in range(1, degree):
            along.append(((2 * k + 1) * z * along[k] - k * along[k - 1]) / (k + 1))
        scale = torch.arange(degree + 1, dtype=x.dtype).mul(2.0).add(1.0).sqrt()
        table = torch.stack(along[: degree + 1], dim=-1) * scale  # (n, d, degree + 1)
        exponents = self.exponents[(self.exponents <= degree).all(dim=1)]
        basis = torch.ones_like(table[:, 0, exponents[:, 0]])
        for axis in range(x.shape[-1]):
            basis = basis * table[:, axis, exponents[:, axis]]
        return basis

    def nodes(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Gauss's nodes of a box, more along each coordinate than there are polynomials, and roots of their weights."""
        z, w = (torch.from_numpy(one) for one in np.polynomial.legendre.leggauss(self.degree + 3))
        grid = torch.cartesian_prod(*[z] * len(low)).reshape(-1, len(low))
        weights = torch.cartesian_prod(*[w / 2.0] * len(low)).reshape(-1, len(low)).prod(dim=1)
        return low + (grid + 1.0) / 2.0 * (high - low), weights.sqrt()
