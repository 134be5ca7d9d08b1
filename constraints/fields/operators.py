"""Linear differential operators with constant coefficients: polynomials in the partial derivatives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

from constraints.errors import SpecificationError

__all__ = ["DifferentialOperator", "MultiIndex", "laplacian", "partials"]

MultiIndex = tuple[int, ...]


@final
class DifferentialOperator:
    r"""A sum :math:`\sum_\alpha c_\alpha \partial^\alpha`, written with `+`, `-`, `*` and `**` from `partials`.

    Args:
        terms: coefficient by multi-index; `(0, 2)` is twice along the second of two coordinates.

    Raises:
        SpecificationError: no term, multi-indices of different lengths or with negative entries, coefficients that are
            not finite.

    Example:
        >>> dx, dt = partials(2)
        >>> heat = dt - 0.1 * dx**2
        >>> heat
        DifferentialOperator({(0, 1): 1.0, (2, 0): -0.1})
        >>> heat.order, heat.coordinates
        (2, 2)
    """

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[MultiIndex, float]) -> None:
        indices = list(terms)
        if not indices or not indices[0] or len({len(index) for index in indices}) > 1:
            raise SpecificationError(
                f"`DifferentialOperator` needs multi-indices of one length, a number for each coordinate, got {indices}"
            )
        for index, factor in terms.items():
            if any(not isinstance(i, int) or i < 0 for i in index) or not math.isfinite(factor):
                raise SpecificationError(
                    f"`DifferentialOperator` needs integers >= 0 and finite coefficients, got {factor} at {index}"
                )
        kept = {index: float(terms[index]) for index in sorted(terms) if terms[index] != 0.0}
        self.terms: Mapping[MultiIndex, float] = kept or {(0,) * len(indices[0]): 0.0}

    @property
    def coordinates(self) -> int:
        """How many coordinates there are."""
        return len(next(iter(self.terms)))

    @property
    def order(self) -> int:
        """The highest order of its derivatives."""
        return max(sum(index) for index in self.terms)

    def _coerce(self, other: DifferentialOperator | float) -> DifferentialOperator:
        if not isinstance(other, DifferentialOperator):
            return DifferentialOperator({(0,) * self.coordinates: float(other)})
        if other.coordinates != self.coordinates:
            raise SpecificationError(
                f"operators need as many coordinates as each other, got {self.coordinates} and {other.coordinates}"
            )
        return other

    def __add__(self, other: DifferentialOperator | float) -> DifferentialOperator:
        terms = dict(self.terms)
        for index, factor in self._coerce(other).terms.items():
            terms[index] = terms.get(index, 0.0) + factor
        return DifferentialOperator(terms)

    def __mul__(self, other: DifferentialOperator | float) -> DifferentialOperator:
        terms: dict[MultiIndex, float] = {}
        for one, a in self.terms.items():
            for two, b in self._coerce(other).terms.items():
                index = tuple(i + j for i, j in zip(one, two, strict=True))
                terms[index] = terms.get(index, 0.0) + a * b
        return DifferentialOperator(terms)

    def __pow__(self, exponent: int) -> DifferentialOperator:
        if not isinstance(exponent, int) or exponent < 0:
            raise SpecificationError(f"an operator needs an integer exponent >= 0, got {exponent}")
        power = DifferentialOperator({(0,) * self.coordinates: 1.0})
        for _ in range(exponent):
            power = power * self
        return power

    def __neg__(self) -> DifferentialOperator:
        return self * -1.0

    def __sub__(self, other: DifferentialOperator | float) -> DifferentialOperator:
        return self + -self._coerce(other)

    def __rsub__(self, other: DifferentialOperator | float) -> DifferentialOperator:
        return self._coerce(other) + -self

    __radd__ = __add__
    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DifferentialOperator) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(tuple(self.terms.items()))

    def __repr__(self) -> str:
        return f"DifferentialOperator({dict(self.terms)})"


def partials(coordinates: int) -> tuple[DifferentialOperator, ...]:
    """The first derivative along each coordinate.

    Raises:
        SpecificationError: fewer than one coordinate.

    Example:
        >>> dx, dy = partials(2)
        >>> dx * dy
        DifferentialOperator({(1, 1): 1.0})
    """
    if coordinates < 1:
        raise SpecificationError(f"`partials` needs coordinates >= 1, got {coordinates}")
    return tuple(
        DifferentialOperator({tuple(int(j == i) for j in range(coordinates)): 1.0}) for i in range(coordinates)
    )


def laplacian(coordinates: int) -> DifferentialOperator:
    r"""The sum of the second derivatives, :math:`\Delta`; its square is the biharmonic operator.

    Example:
        >>> laplacian(2) ** 2
        DifferentialOperator({(0, 4): 1.0, (2, 2): 2.0, (4, 0): 1.0})
    """
    first, *rest = partials(coordinates)
    return sum((d**2 for d in rest), first**2)
