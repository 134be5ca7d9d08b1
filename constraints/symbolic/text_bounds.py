"""How large a statement of rule text becomes: multiplied out, its kinks and cases taken apart. Nothing is computed."""

from __future__ import annotations

from math import comb, prod

import sympy
from sympy.core.relational import Relational

__all__ = ["count_conditions", "expanded_size", "nested_functions"]

ENOUGH = 1_000_000  # more are not told apart
FEW = 1000  # of which binomials are quick to compute
CURVED, KINKED = 4, 3  # conditions of a plain one whose time one of these takes
SEVERAL = 3  # kinks of one sum that the rewriter takes apart


def expanded_size(e: sympy.Expr) -> tuple[int, int]:
    """Bounds of the number of terms of an expression that is multiplied out, and of its degree.

    Example:
        >>> a, b = sympy.symbols("a b")
        >>> expanded_size((a + b) ** 4 * (a + 1)), expanded_size((a + 1) * (a + 2) * (a + 3))
        ((10, 5), (4, 3))
    """
    terms, degree, _ = _size(e)
    return terms, degree


def _size(e: sympy.Expr) -> tuple[int, int, frozenset[sympy.Basic]]:
    """Terms, degree, and what they are powers of: as many terms as there are monomials of that degree are enough."""
    if e.is_number:
        return 1, 0, frozenset()
    power = isinstance(e, sympy.Pow) and e.exp.is_Integer and e.exp > 0
    if not power and not isinstance(e, sympy.Add | sympy.Mul):
        return 1, 1, frozenset([e])
    sizes = [_size(part) for part in ([e.base] if power else e.args)]
    symbols = frozenset[sympy.Basic]().union(*(own for _, _, own in sizes))
    if power:
        k, (n, d, _) = int(e.exp), sizes[0]
        terms, degree = comb(n + k - 1, k), d * k
    elif isinstance(e, sympy.Add):
        terms, degree = sum(n for n, _, _ in sizes), max(d for _, d, _ in sizes)
    else:
        terms, degree = prod(n for n, _, _ in sizes), sum(d for _, d, _ in sizes)
    degree = min(degree, ENOUGH)
    if not isinstance(e, sympy.Add) and len(symbols) <= FEW and degree <= FEW:
        terms = min(terms, comb(len(symbols) + degree, degree))
    return min(terms, ENOUGH), degree, symbols


def count_conditions(s: sympy.Basic) -> int:
    """A bound of the number of conditions of a statement in its normal form, curved ones counted several times.

    Example:
        >>> a, b = sympy.symbols("a b")
        >>> count_conditions(sympy.Xor(a <= 1, b <= 1)), count_conditions(sympy.Abs(a) + sympy.Abs(b) <= 1)
        (4, 12)
    """
    if isinstance(s, Relational):
        pieces = min(_pieces(s.lhs) * _pieces(s.rhs), ENOUGH)
        return pieces * (CURVED if _curved(s) else KINKED if pieces > 1 else 1)
    if isinstance(s, sympy.Xor | sympy.Equivalent):
        total = count_conditions(s.args[0])
        for part in s.args[1:]:
            total = min(2 * (total + count_conditions(part)), ENOUGH)
        return total
    if isinstance(s, sympy.ITE):
        condition, yes, no = map(count_conditions, s.args)
        return min(2 * condition + yes + no, ENOUGH)
    return min(sum(map(count_conditions, s.args)), ENOUGH) if s.args else 1


def nested_functions(e: sympy.Basic) -> int:
    """How many functions, quotients and roots of an expression are inside each other.

    Example:
        >>> a = sympy.Symbol("a")
        >>> nested_functions(sympy.sin(sympy.exp(a) + a**2))
        2
    """
    if not e.args or e.is_number:
        return 0
    plain = isinstance(e, sympy.Add | sympy.Mul) or (isinstance(e, sympy.Pow) and e.exp.is_Integer and e.exp > 0)
    return max(map(nested_functions, e.args)) + (0 if plain else 1)


def _curved(relation: Relational) -> bool:
    plain = (sympy.Add, sympy.Mul, sympy.Abs, sympy.Max, sympy.Min)
    nested = (part for side in relation.args for part in sympy.preorder_traversal(side) if part.args)
    return any(not isinstance(part, plain) or expanded_size(part)[1] > 1 for part in nested)


def _pieces(e: sympy.Basic) -> int:
    """How many conditions become of one when its kinks, and even powers, are taken apart."""
    if not e.args:
        return 1
    parts = [_pieces(part) for part in e.args]
    if isinstance(e, sympy.Max | sympy.Min):
        return min(sum(parts) * (len(parts) if max(parts) > 1 else 1), ENOUGH)
    many = [n for n in parts if n > 1]
    total = max(parts)
    if len(many) <= SEVERAL:
        total = 1
        for n in many:
            total *= n
    even = isinstance(e, sympy.Pow) and e.exp.is_Integer and e.exp % 2 == 0
    return min(2 * total if even or isinstance(e, sympy.Abs) else total, ENOUGH)
