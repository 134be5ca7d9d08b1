"""Equations and conditions looked at together: do they contradict each other, do they leave the field free?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from constraints.domains import Cuboid
from constraints.errors import InfeasibleError, SpecificationError
from constraints.sets import Zero
from constraints.symbolic.agreement import require_consistent
from constraints.symbolic.field_equation import FieldEquation
from constraints.symbolic.linearised import Linearised, Polynomials, find_imbalance, linearise

__all__ = ["ProblemReport", "check_problem"]

FREE = 1e-2  # of a change of unit size, what equations and conditions must see of it
ZERO = 1e-7
FALLEN, FASTER = 0.1, 2.5  # of three levels: below this, and each by this factor below the one before
LARGEST, MOST = 160, 500  # polynomials to begin with, and in the last refinement but one


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
    motion over a long time looks free, too. Where sensors determine the rest, do not ask for it. Inequalities determine
    nothing, and are left out.

    Args:
        rules: equations and conditions of the same fields by name, with a domain of finite bounds.

    Raises:
        SpecificationError: no rules, no equation, rules of different fields, none with a domain, more than 3
            coordinates, a condition at a place outside all domains.

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
    equations = {name: rule for name, rule in rules.items() if isinstance(rule.constraint, Zero)}
    if not equations:
        raise SpecificationError(f"`check_problem` needs an equation, got inequalities only: {', '.join(rules)}")
    training = [rule for rule in rules.values() if rule.training]
    try:
        for rule in training:  # whose samplers learn
            rule.eval()
        levels = [linearise(equations, space) for space in _spaces(low, high, len(names))]
        free = _free(levels, 2.0)
        while len(low) < 3 and bool((free & (levels[-1].sizes >= ZERO)).any()):
            degree += 3  # what grows fast is small, too, but not ever smaller
            levels.append(linearise(equations, Polynomials(low, high, degree)))
            free = _free(levels[-2:], 20.0)
            if len(names) * (degree + 4) ** len(low) > MOST:
                break
        contradiction = contradiction or find_imbalance(equations, Polynomials(low, high, degree))
    finally:
        for rule in training:
            rule.train()
    sizes, vectors = levels[-1].sizes, levels[-1].vectors
    shares = vectors[free].square().sum(dim=0).reshape(len(names), -1).sum(dim=1) / max(int(free.sum()), 1)
    return ProblemReport(
        contradiction=contradiction,
        free=int(free.sum()),
        fields=dict(zip(names, shares.tolist(), strict=True)),
        smallest=float(sizes[-1]),
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
    _require_inside(rules)
    return low, high


def _require_inside(rules: Mapping[str, FieldEquation]) -> None:
    """Refuse terms at numbers, such as `u.subs(x, 5)`, that no domain reaches."""
    bounded = [rule.ranges for rule in rules.values() if rule.ranges]
    ends = {x: [ranges[x] for ranges in bounded] for x in bounded[0]}
    union = {x: (min(low for low, _ in pairs), max(high for _, high in pairs)) for x, pairs in ends.items()}
    for name, rule in rules.items():
        for place in (term.place for equation in rule.equations for term in equation.terms.values()):
            for x, p in zip(rule.coordinates, place, strict=True):
                low, high = union[x]
                if p.is_number and not low - ZERO * (high - low) <= float(p) <= high + ZERO * (high - low):
                    raise SpecificationError(
                        f"`check_problem` needs conditions inside the domains, got rule `{name}` at {x} = "
                        f"{float(p):.6g}, where {x} is from {low:.6g} to {high:.6g}"
                    )


def _degree(coordinates: int, fields: int) -> int:
    """Of the polynomials along each coordinate: as high as some hundred of them allow."""
    return min(12, int((LARGEST / fields) ** (1.0 / coordinates)) - 1)


def _spaces(low: Tensor, high: Tensor, fields: int) -> list[Polynomials]:
    """Polynomials of rising degree: two spaces, and three of total degree in three coordinates."""
    if len(low) < 3:
        degree = _degree(len(low), fields)
        return [Polynomials(low, high, n) for n in (max(degree - 3, 1), degree)]
    most = max(n for n in range(6, 13) if n == 6 or fields * math.comb(n + 3, 3) <= MOST)
    return [Polynomials(low, high, n, total=True) for n in (most - 4, most - 2, most)]


def _free(levels: Sequence[Linearised], falls: float) -> Tensor:
    """Which changes of the finest polynomials no rule sees, or so many times less than of the coarser ones.

    Of three levels also those that fall the faster the finer they are, as of what polynomials do not yet resolve.
    """
    count = len(levels[-1].sizes)
    ends = [torch.cat([one.sizes.new_full((count,), torch.inf), one.sizes])[-count:] for one in levels]
    before, last = ends[-2:]
    free = (last < FREE) & ((last < ZERO) | (last < before / falls))
    if len(ends) > 2:
        earlier = ends[-3]
        free |= (last < FALLEN) & (last < before / FASTER) & (last / before <= before / earlier)
    return free
