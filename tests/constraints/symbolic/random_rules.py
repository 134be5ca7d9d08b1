"""Random statements, and an evaluator of their own that knows nothing of ours."""

import math
import random
from itertools import pairwise

import sympy

OUTPUTS = sympy.symbols("y0:5")
INPUTS = sympy.symbols("x0:2")


def random_statement(rng: random.Random) -> sympy.Basic:
    """A statement of one of many kinds; about one in ten contradicts itself on purpose."""
    kind = rng.choice(KINDS)
    statement = kind(rng)
    if rng.random() < 0.1:
        statement = sympy.And(statement, *contradiction(rng))
    elif rng.random() < 0.15:
        statement = sympy.And(statement, rng.choice(KINDS)(rng))
    return statement


def contradiction(rng):
    total = affine(rng)
    level = number(rng)
    return [total <= level, total >= level + rng.choice([1, 0.5, 3])]


def number(rng):
    return rng.choice([0, 1, -1, 2, -3, 0.5, -0.25, 1.7, 10, 1e3, 1e-3, sympy.Rational(1, 3)])


def some(rng, least=1):
    return rng.sample(OUTPUTS, rng.randint(least, 4))


def affine(rng, least=1):
    return sympy.Add(*((number(rng) or 1) * y for y in some(rng, least)))


def side(rng):
    """Something that depends on the input."""
    x, z = INPUTS
    return rng.choice(
        [x, x - z, x**2, sympy.exp(-x), sympy.Piecewise((x, z > 0), (2 - z, True)), sympy.Abs(x) + 1, 3 * z]
    )


def linear(rng):
    right = number(rng) if rng.random() < 0.6 else side(rng)
    relation = rng.choice([sympy.Eq, sympy.Le, sympy.Ge])
    left = affine(rng)
    return relation(left, right)


def varying(rng):
    x, z = INPUTS
    one, two = rng.sample(OUTPUTS, 2)
    return rng.choice([sympy.Eq, sympy.Le])(x * one + number(rng) * two, rng.choice([z, number(rng)]))


def system(rng):
    return sympy.And(*(linear(rng) for _ in range(rng.randint(2, 4))))


def shares(rng):
    ys = some(rng, 2)
    return sympy.And(*(y >= 0 for y in ys), sympy.Eq(sum(ys), rng.choice([1, 2.5, INPUTS[0] ** 2])))


def order(rng):
    ys = some(rng, 2)
    gap = rng.choice([0, 0, 1])
    bounds = [b for y in ys for b in (y >= -5, y <= 5)] if rng.random() < 0.3 else []
    return sympy.And(*(a + gap <= b for a, b in pairwise(ys)), *bounds)


def box(rng):
    return sympy.And(*(rng.choice([y >= number(rng), y <= number(rng)]) for y in some(rng)))


def ball(rng):
    ys = some(rng, 2)
    radius = rng.choice([1, 4, 0.25, INPUTS[0] ** 2 + 1, 0, -1])
    return sum((y - number(rng)) ** 2 for y in ys) <= radius


def cross(rng):
    return sum(sympy.Abs(y - number(rng)) for y in some(rng, 2)) <= rng.choice([1, 3.5, INPUTS[1] ** 2])


def norm(rng):
    ys = some(rng, 2)
    return sympy.sqrt(sum(y**2 for y in ys[1:])) <= rng.choice([ys[0], 2, -1])


def bent(rng):
    a, b = rng.sample(OUTPUTS, 2)
    return rng.choice(
        [a * b <= 1, a**2 - b**2 >= 1, a * b - 2 * a <= 0.5, -(a**2) - b**2 <= -1, sympy.sin(a) <= b, a / b <= 1]
    )


def surface(rng):
    a, b, c = rng.sample(OUTPUTS, 3)
    left = rng.choice([a**2 + b**2, a * b, a * b * c, a**2 - b, a**3 + b, a**2 + b**2 + c**2])
    return sympy.Eq(left, rng.choice([0, 1, 2, -1, INPUTS[0]]))


def union(rng):
    return sympy.Or(*(rng.choice([linear, box, order, shares])(rng) for _ in range(rng.randint(2, 3))))


def implication(rng):
    premise = affine(rng) > number(rng)
    if rng.random() < 0.3:
        premise = INPUTS[0] > number(rng)
    return sympy.Implies(premise, rng.choice([linear, box, order])(rng))


def kink(rng):
    a, b = affine(rng), affine(rng)
    return rng.choice(
        [
            sympy.Abs(a) <= 2,
            sympy.Abs(a) >= 1,
            sympy.Max(a, b) <= number(rng),
            sympy.Min(a, b) <= number(rng),
            sympy.Abs(a) <= INPUTS[0] ** 2,
            sympy.Eq(sympy.Abs(a), 2),
            sympy.Eq(sympy.Max(a, b), 1),
        ]
    )


def undone(rng):
    a, level = affine(rng), rng.choice([0.5, 2, -1, 1])
    function = rng.choice([sympy.exp, sympy.log, sympy.tanh, sympy.atan, lambda u: u**3, lambda u: u**2, sympy.sqrt])
    return rng.choice([sympy.Le, sympy.Ge])(function(a), level)


def polynomial(rng):
    y = rng.choice(OUTPUTS)
    left = sum(rng.choice([-2, -1, 0, 1, 2, 0.5]) * y**k for k in range(rng.randint(2, 4))) + rng.choice([-1, 1]) * y**4
    return rng.choice([left <= 0, sympy.Eq(left, 0)])


def cases(rng):
    a, b = rng.sample(OUTPUTS, 2)
    return sympy.Eq(a, sympy.Piecewise((side(rng), INPUTS[1] > 0), (number(rng), True)) + number(rng) * b)


def convex(rng):
    a, b = rng.sample(OUTPUTS, 2)
    return rng.choice(
        [
            a**2 + 3 * b**2 <= 4,
            sympy.exp(a) + b**2 <= 3,
            a**2 <= b,
            sympy.exp(-a) <= b,
            a**2 + a * b + b**2 <= INPUTS[0] ** 2 + 1,
        ]
    )


def formula(rng, depth=2):
    """A formula of logic on labels."""
    if depth == 0 or rng.random() < 0.2:
        label = rng.choice(OUTPUTS[:4])
        return sympy.Not(label) if rng.random() < 0.4 else label
    join = rng.choice([sympy.And, sympy.Or, sympy.Implies, sympy.Xor, sympy.Equivalent])
    return join(formula(rng, depth - 1), formula(rng, depth - 1))


def truth(statement, labels):
    """Whether a formula holds for labels that are true or false, by its own truth table."""
    put = {y: sympy.true if held else sympy.false for y, held in zip(OUTPUTS, labels, strict=True)}
    return bool(statement.xreplace(put))


SCALABLE = [linear, varying, system, shares, order, box, ball, union, implication]
"""Whose distances scale with their outputs."""

KINDS = [linear, linear, varying, system, shares, order, box, ball, cross, norm, bent, union, implication]
KINDS = [*KINDS, kink, undone, polynomial, cases] * 6 + [surface]
"""Those that are quick; `convex` asks a conic solver."""


def holds(statement, values, atol: float) -> bool:
    """Whether a statement holds at numbers, each comparison loosened by `atol` times the size of its terms."""
    if statement in (sympy.true, sympy.false):
        return bool(statement)
    if isinstance(statement, sympy.And):
        return all(holds(part, values, atol) for part in statement.args)
    if isinstance(statement, sympy.Or):
        return any(holds(part, values, atol) for part in statement.args)
    if isinstance(statement, sympy.Not):
        return not holds(statement.args[0], values, -atol)
    if isinstance(statement, sympy.Implies):
        return holds(sympy.Not(statement.args[0]), values, atol) or holds(statement.args[1], values, atol)
    left, right = (number_of(part, values) for part in (statement.lhs, statement.rhs))
    if math.isnan(left) or math.isnan(right):
        return False
    room = atol * (1.0 + size_of(statement.lhs, values) + size_of(statement.rhs, values))
    gap = left - right
    if isinstance(statement, sympy.Eq):
        return abs(gap) <= room
    return gap <= room if isinstance(statement, sympy.Le | sympy.Lt) else gap >= -room


def number_of(expression, values) -> float:
    """The value by Python's own floats."""
    if expression.is_Symbol:
        return values[expression]
    if expression.is_Number or expression.is_NumberSymbol:
        return float(expression)
    if isinstance(expression, sympy.Piecewise):
        for value, condition in expression.args:
            if holds(condition, values, 0.0):
                return number_of(value, values)
        return math.nan
    parts = [number_of(part, values) for part in expression.args]
    try:
        return float(PYTHON[expression.func](*parts))
    except (ValueError, ZeroDivisionError, TypeError):
        return math.nan
    except OverflowError:
        return math.inf


def size_of(expression, values) -> float:
    """How fast it changes, times the largest value: what the certificate of a projection is measured by."""
    total, largest = 0.0, 1.0 + max(map(abs, values.values()))
    for symbol in expression.free_symbols:
        step = 1e-6 * (1.0 + abs(values[symbol]))
        moved = number_of(expression, {**values, symbol: values[symbol] + step})
        slope = (moved - number_of(expression, values)) / step
        total += 0.0 if math.isnan(slope) else abs(slope) * largest
    return total


EDGE = 1e-8  # an argument outside the domain by rounding alone is at its edge


def power(base, exponent):
    return math.pow(0.0 if exponent != int(exponent) and -EDGE < base < 0 else base, exponent)


def logarithm(x):
    return -math.inf if -EDGE < x <= 0 else math.log(x)


PYTHON = {
    sympy.Add: lambda *parts: math.fsum(parts),
    sympy.Mul: lambda *parts: math.prod(parts),
    sympy.Pow: power,
    sympy.exp: math.exp,
    sympy.log: logarithm,
    sympy.sin: math.sin,
    sympy.tanh: math.tanh,
    sympy.atan: math.atan,
    sympy.Abs: abs,
    sympy.Max: max,
    sympy.Min: min,
}
