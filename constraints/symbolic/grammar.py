"""Rule text to statements of sympy, by a parser of our own: nothing is ever evaluated as code."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import sympy
import torch
from sympy.logic.boolalg import Boolean

from constraints.errors import RuleTextError, SpecificationError
from constraints.functional.real_functions import evaluate_real, real_number
from constraints.symbolic.text_bounds import count_conditions, expanded_size, nested_functions
from constraints.symbolic.tokens import Token, cut, fail

__all__ = ["FUNCTIONS", "read_statement"]

DEEPEST = 60  # brackets and powers inside each other
LARGEST_EXPONENT = 64
RELATIONS = 128  # and labels
CONDITIONS = 128  # of the normal form
TERMS = 500  # of what is multiplied out, where it is no plain sum
DEGREE = 64
FACTORS = 32  # of one product
CALLS = 40  # of functions, and divisors and powers that are not whole
ARGUMENTS = 64  # of one function
NESTED = 6  # functions inside each other
FUNCTIONS: dict[str, Callable[..., sympy.Basic]] = {
    "abs": sympy.Abs,
    "acos": sympy.acos,
    "acosh": sympy.acosh,
    "asin": sympy.asin,
    "asinh": sympy.asinh,
    "atan": sympy.atan,
    "atan2": sympy.atan2,
    "atanh": sympy.atanh,
    "ceil": sympy.ceiling,
    "cos": sympy.cos,
    "cosh": sympy.cosh,
    "erf": sympy.erf,
    "exp": sympy.exp,
    "floor": sympy.floor,
    "log": sympy.log,
    "max": sympy.Max,
    "min": sympy.Min,
    "mod": sympy.Mod,
    "sign": sympy.sign,
    "sin": sympy.sin,
    "sinh": sympy.sinh,
    "sqrt": sympy.sqrt,
    "tan": sympy.tan,
    "tanh": sympy.tanh,
}
"""Functions that rule text may use."""
TWO, SEVERAL = {"atan2", "mod"}, {"max", "min"}
COMPARISONS: dict[str, Callable[..., sympy.Basic]] = {
    "==": sympy.Eq,
    "!=": sympy.Ne,
    "<=": sympy.Le,
    ">=": sympy.Ge,
    "<": sympy.Lt,
    ">": sympy.Gt,
}


def read_statement(line: str) -> sympy.Basic:
    """The statement of a line of rule text.

    Relations (`=`, `<=`, `>=`, `<`, `>`, `!=`, also in chains), `and`, `or`, `xor`, `not` (or `neg`), `->`, `<->`,
    `if a then b else c`; sums, products (`2 y` and `2y` too), quotients, powers (`^`), brackets, and the functions of
    `FUNCTIONS`. Names become symbols, `pi` the number.

    Raises:
        RuleTextError: what cannot be read, and where.

    Example:
        >>> read_statement("0 <= a <= 2b + 1")
        (0 <= a) & (a <= 2*b + 1)
        >>> read_statement("if t > 100 then a <= 5")
        Implies(t > 100, a <= 5)
    """
    parser = _Parser(line)
    statement = parser.implication()
    parser.end()
    if not isinstance(statement, Boolean):
        raise fail(line, 1, "a relation, such as `a <= b`, is needed, got a number")
    return statement


@final
class _Parser:
    """One line, read from left to right by recursive descent."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.tokens = cut(line)
        self.at = 0
        self.depth = 0
        self.relations = self.calls = self.terms = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def fail(self, problem: str, token: Token | None = None) -> RuleTextError:
        return fail(self.line, (token or self.token).column, problem)

    def take(self, *texts: str) -> Token | None:
        token = self.token
        if token.kind in ("sign", "word") and token.text in texts:
            self.at += 1
            return token
        return None

    def need(self, text: str) -> None:
        if self.take(text) is None:
            raise self.fail(f"`{text}` is needed, got {self._got()}")

    def end(self) -> None:
        if self.token.kind != "end":
            raise self.fail(f"the end of the rule is needed, got {self._got()}")

    def _got(self) -> str:
        return "the end of the line" if self.token.kind == "end" else f"`{self.token.text}`"

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail(f"at most {DEEPEST} brackets inside each other are needed, got more")

    def counted(self, statement: sympy.Basic, token: Token) -> int:
        """How many conditions a statement has once its alternatives and kinks are taken apart; refuse too many."""
        return self.few(count_conditions(statement), token)

    def few(self, count: int, token: Token) -> int:
        if count > CONDITIONS:
            raise self.fail(
                f"a statement of at most {CONDITIONS} conditions is needed, got about {count} once its alternatives, "
                f"`abs`, `max` and `min` are taken apart: write it as several rules",
                token,
            )
        return count

    def called(self, token: Token, *parts: sympy.Expr) -> None:
        self.calls += 1
        if any(nested_functions(part) >= NESTED for part in parts):
            raise self.fail(f"at most {NESTED} functions and roots inside each other are needed, got more", token)
        if self.calls > CALLS:
            raise self.fail(f"at most {CALLS} functions, divisors and roots in a line are needed, got more", token)

    def sized(self, expression: sympy.Expr, token: Token) -> sympy.Expr:
        """Refuse products and powers that become too large when they are multiplied out."""
        terms, degree = expanded_size(expression)
        if (terms > TERMS and degree > 1) or degree > DEGREE:
            raise self.fail(
                f"at most {TERMS} terms of degree {DEGREE} are needed where products and powers are multiplied out, "
                f"got up to {terms} of degree {degree}",
                token,
            )
        return expression

    # --- statements ------------------------------------------------------------------------------------------

    def implication(self) -> sympy.Basic:
        self.deeper()
        start = self.token
        if self.take("if"):
            condition = self.boolean(self.implication(), start)
            self.need("then")
            yes = self.boolean(self.implication(), self.token)
            no = self.boolean(self.implication(), self.token) if self.take("else") else None
            self.depth -= 1
            whole = sympy.Implies(condition, yes) if no is None else sympy.ITE(condition, yes, no)
            self.counted(whole, start)
            return whole
        left = self.disjunction()
        token = self.take("->", "<->")
        if token is not None:
            left, right = self.boolean(left, start), self.boolean(self.implication(), token)
            left = sympy.Implies(left, right) if token.text == "->" else sympy.Equivalent(left, right)
            self.counted(left, token)
        self.depth -= 1
        return left

    def disjunction(self) -> sympy.Basic:
        start = self.token
        left = self.conjunction()
        parts, count, before = [left], 0, ""
        while token := self.take("or", "xor"):
            if before and token.text != before:
                parts = [self.join(before, parts)]
            right = self.boolean(self.conjunction(), token)
            count = self.counted(self.boolean(parts[0], start), token) if len(parts) == 1 else count
            count += count_conditions(right)
            count = self.few(count if token.text == "or" else 2 * count, token)
            parts, before = [*parts, right], token.text
        return self.join(before, parts) if before else left

    def join(self, word: str, parts: list[sympy.Basic]) -> sympy.Basic:
        return {"or": sympy.Or, "xor": sympy.Xor, "and": sympy.And}[word](*parts)

    def conjunction(self) -> sympy.Basic:
        start = self.token
        left = self.negation()
        parts, count = [left], 0
        while token := self.take("and"):
            count = count or self.counted(self.boolean(left, start), token)
            parts.append(self.boolean(self.negation(), token))
            count = self.few(count + count_conditions(parts[-1]), token)
        return self.join("and", parts) if count else left

    def negation(self) -> sympy.Basic:
        token = self.take("not")
        if token is None:
            return self.relation()
        self.deeper()
        found = sympy.Not(self.boolean(self.negation(), token))
        self.depth -= 1
        return found

    def relation(self) -> sympy.Basic:
        start = self.token
        left = self.sum()
        links: list[sympy.Basic] = []
        while token := self.take(*COMPARISONS):
            self.compared(token)
            one, other = self.number(left, start), self.number(self.sum(), token)
            terms, degree = expanded_size(one - other)
            self.terms += terms if degree > 1 else 0
            if self.terms > TERMS:
                raise self.fail(f"at most {TERMS} terms in a line are needed, got {self.terms} multiplied out", token)
            links.append(COMPARISONS[token.text](one, other))
            self.counted(links[-1], token)
            left, start = other, token
        return sympy.And(*links) if links else left

    def compared(self, token: Token) -> None:
        self.relations += 1
        if self.relations > RELATIONS:
            raise self.fail(f"at most {RELATIONS} relations in a line are needed, got more: write several rules", token)

    def boolean(self, found: sympy.Basic, token: Token) -> sympy.Basic:
        if not isinstance(found, Boolean):  # a name can be one
            raise self.fail("a relation or the name of a label is needed here, got a number", token)
        if found.is_Symbol:
            self.compared(token)
        return found

    # --- numbers ---------------------------------------------------------------------------------------------

    def number(self, found: sympy.Basic, token: Token) -> sympy.Expr:
        if not isinstance(found, sympy.Expr):
            raise self.fail("a number is needed here, got a relation", token)
        return found

    def sum(self) -> sympy.Basic:
        start = self.token
        left = self.product()
        terms = []
        while token := self.take("+", "-"):
            term = self.number(self.product(), token)
            terms.append(term if token.text == "+" else -term)
        if not terms:
            return left
        return self.sized(self.fold(sympy.Add(self.number(left, start), *terms), start), start)

    def product(self) -> sympy.Basic:
        start = self.token
        left = self.signed()
        token: Token | None = None
        factors = 1
        while True:
            before = token
            token = self.take("*", "/")
            if token is None and not self._juxtaposed():
                return left
            if token is None and before is not None and before.text == "/":
                raise self.fail("a sign is needed after a divisor: `a/(2 b)` or `a/2*b`")
            factors += 1
            if factors > FACTORS:
                raise self.fail(f"at most {FACTORS} factors of a product are needed, got more", token)
            left = self.number(left, start)
            right = self.number(self.signed() if token else self.power(), token or self.token)
            if token is not None and token.text == "/":
                if right.is_zero:
                    raise self.fail("a divisor other than 0 is needed", token)
                if not right.is_number:
                    self.called(token, right)
                right = 1 / right
            left = self.sized(self.fold(left * right, start), token or start)

    def _juxtaposed(self) -> bool:
        """Whether a name or a bracket follows a number: `2y`, `2 (a + b)`."""
        before = self.tokens[self.at - 1]
        opens = self.token.kind == "name" or (self.token.kind == "sign" and self.token.text == "(")
        return before.kind == "number" and opens

    def signed(self) -> sympy.Basic:
        token = self.take("-", "+")
        if token is None:
            return self.power()
        self.deeper()
        inner = self.number(self.signed(), token)
        self.depth -= 1
        return -inner if token.text == "-" else inner

    def power(self) -> sympy.Basic:
        start = self.token
        base = self.atom()
        token = self.take("^")
        if token is None:
            return base
        self.deeper()
        exponent = self.number(self.signed(), token)
        self.depth -= 1
        base = self.number(base, start)
        if exponent.is_number and abs(real_number(exponent)) > LARGEST_EXPONENT:
            raise self.fail(f"an exponent of at most {LARGEST_EXPONENT} is needed, got {exponent}", token)
        if base.is_number and exponent.is_number:
            return self.plain(sympy.Pow(base, exponent, evaluate=False), token)
        if not exponent.is_Integer:
            self.called(token, base, exponent)
        power = sympy.Pow(base, exponent, evaluate=False)
        self.sized(power, token)
        return sympy.Pow(base, exponent)

    def atom(self) -> sympy.Basic:
        token = self.token
        if token.kind == "number":
            self.at += 1
            return self.literal(token)
        if token.kind == "name":
            self.at += 1
            if self.take("("):
                return self.call(token)
            return sympy.pi if token.text == "pi" else sympy.Symbol(token.text)
        if self.take("("):
            inner = self.implication()
            self.need(")")
            return inner
        raise self.fail(f"a number, a name or a bracket is needed, got {self._got()}")

    def literal(self, token: Token) -> sympy.Expr:
        value = float(token.text)
        if not math.isfinite(value) or len(token.text) > 400:
            raise self.fail("a number that fits into 64 bits is needed", token)
        return sympy.Rational(repr(value))

    def call(self, name: Token) -> sympy.Expr:
        self.deeper()
        parts = [self.number(self.implication(), name)]
        while self.take(","):
            if len(parts) == ARGUMENTS:
                raise self.fail(f"at most {ARGUMENTS} arguments of `{name.text}` are needed, got more", name)
            parts.append(self.number(self.implication(), name))
        self.need(")")
        self.depth -= 1
        self.called(name, *parts)
        function = FUNCTIONS.get(name.text)
        if function is None:
            raise self.fail(f"a function needs to be one of {', '.join(FUNCTIONS)}, got {name.text}", name)
        wanted = 2 if name.text in TWO else 1
        if len(parts) < 2 if name.text in SEVERAL else len(parts) != wanted:
            least = "at least 2 arguments" if name.text in SEVERAL else f"{wanted} argument{'s' if wanted > 1 else ''}"
            raise self.fail(f"`{name.text}` needs {least}, got {len(parts)}", name)
        if all(part.is_number for part in parts):
            return self.plain_call(function, parts, name)
        try:
            return function(*parts)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise self.fail(f"`{name.text}` is not defined there: {error}", name) from None

    def plain_call(self, function: Callable[..., sympy.Basic], parts: list[sympy.Expr], token: Token) -> sympy.Expr:
        """A function of numbers as a number: exact ones could grow without end."""
        names = [sympy.Symbol(f"p{i}", real=True) for i in range(len(parts))]
        leaves = {s: torch.tensor(real_number(p), dtype=torch.float64) for s, p in zip(names, parts, strict=True)}
        value = float(evaluate_real(function(*names), leaves, torch.zeros((), dtype=torch.float64)))
        return self.finite(value, token)

    def plain(self, expression: sympy.Expr, token: Token) -> sympy.Expr:
        base, exponent = (real_number(part) for part in expression.args)
        try:
            value = base**exponent
        except (OverflowError, ZeroDivisionError):
            value = math.inf
        return self.finite(value if isinstance(value, float) else math.nan, token)

    def fold(self, expression: sympy.Basic, token: Token) -> sympy.Basic:
        """Numbers and factors stay of a size that 64 bits can hold."""
        factor = expression.as_coeff_Mul()[0] if isinstance(expression, sympy.Expr) else sympy.Integer(1)
        try:
            fits = (real_number(factor) == 0.0) == bool(factor == 0)
        except SpecificationError:
            fits = False
        if not fits:
            raise self.fail("numbers that fit into 64 bits are needed", token)
        return expression

    def finite(self, value: float, token: Token) -> sympy.Expr:
        if not math.isfinite(value):
            raise self.fail("a real number that fits into 64 bits is needed", token)
        return sympy.Rational(repr(value))
