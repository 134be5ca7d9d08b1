"""The front door: a rule written as mathematics goes in, the most specific rule comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import sympy
from sympy.core.function import AppliedUndef

from constraints.errors import ConstraintError, SpecificationError, naming
from constraints.rules import FieldRule, OutputRule, Rule
from constraints.sampling import Sampler
from constraints.sets import Fallback
from constraints.symbolic.declare_outputs import declare_outputs
from constraints.symbolic.field_units import equation_in_si
from constraints.symbolic.functions import declare_function
from constraints.symbolic.learnable import Learnable
from constraints.symbolic.region import Region
from constraints.sympy_input import as_expression, as_statement, require_fields, require_symbols, require_used

__all__ = ["declare"]

Symbols = Sequence[sympy.Symbol] | Mapping[sympy.Symbol, int]
UNSUPPORTED = ("integer", "even", "odd", "prime", "imaginary", "rational", "irrational")


@overload
def declare(
    statement: Any,
    *,
    outputs: Symbols,
    inputs: Symbols = (),
    parameters: Mapping[sympy.Symbol, Learnable] | None = None,
    units: Mapping[sympy.Expr, sympy.Expr] | None = None,
    margin: float | None = None,
    threshold: float | None = None,
    fallback: Fallback | None = None,
    name: str | None = None,
    unit: str = "",
    source: str = "",
) -> OutputRule: ...


@overload
def declare(
    statement: Any,
    *,
    fields: Sequence[AppliedUndef],
    inputs: Symbols = (),
    domain: Region | None = None,
    draws: int | None = None,
    sampler: Sampler | None = None,
    nodes: int | None = None,
    parameters: Mapping[sympy.Symbol, Learnable] | None = None,
    units: Mapping[sympy.Expr, sympy.Expr] | None = None,
    name: str | None = None,
    unit: str = "",
    source: str = "",
) -> FieldRule: ...


def declare(
    statement: Any,
    *,
    outputs: Symbols = (),
    inputs: Symbols = (),
    fields: Sequence[AppliedUndef] = (),
    domain: Region | None = None,
    draws: int | None = None,
    sampler: Sampler | None = None,
    nodes: int | None = None,
    parameters: Mapping[sympy.Symbol, Learnable] | None = None,
    units: Mapping[sympy.Expr, sympy.Expr] | None = None,
    margin: float | None = None,
    threshold: float | None = None,
    fallback: Fallback | None = None,
    name: str | None = None,
    unit: str = "",
    source: str = "",
) -> Rule:
    """A rule from a statement of sympy on the outputs of a model, its input allowed, or on the function that it is.

    The statement is a relation (`Eq`, `<=`, `>=`), a list of them that all hold, or `And`, `Or`, `Not`, `Implies`,
    `Equivalent`, `Xor`, `ITE` of them; sides may contain `Piecewise`, `Abs`, `Max`, `Min` and every function that
    `constraints.functional.real_functions` lists. The most specific set that it is becomes the rule's: box, sum,
    simplex, order, half-space, polytope, ball, cone, quadratic, convex, polynomial equality, disjunction. What is none
    of these is "unknown", and can be Soft or measured only; `explain()` says what was found and why. Nothing is ever
    made hard that the set cannot guarantee.

    On functions (`fields`): the sign of a first derivative is `MonotoneIn`, that of a second `ConvexIn`, a bound of
    slopes `LipschitzIn`, `Eq(f(-x, y), f(x, y))` and the like `Invariance` or `Equivariance`. Every other equation, or
    inequality, of fields and their derivatives, also at places such as `u.subs(t, 0)`, is a `FieldEquation`: Soft or
    measured, its derivatives by forward Taylor arithmetic.

    Names of outputs used as statements (`Implies(cat, animal)`) mean a score of at least `threshold`, and their
    negation a score below it, by `margin`, and by 1e-4 of the threshold (of 1, if that is more) at least: labels read
    as `score >= threshold` obey. Where each part of a statement is a child that implies a parent, and neither a
    threshold nor a margin is given, it is a `Hierarchy`, which holds at every threshold. Signs that outputs are
    declared with (`Symbol("q", nonnegative=True)`) are conditions too. Conditions on inputs alone decide for which
    samples the rest holds (`Implies(temperature > 100, y <= 5)`); they may be strict. Conditions on outputs include
    their boundary: strict ones are refused, unless `margin` says how far from it to stay.

    Args:
        statement: what holds.
        outputs: symbols of the outputs that it may speak of, bound to columns by name (see `OutputRule.bind`), or a
            mapping from symbols to columns.
        inputs: symbols of the inputs, likewise (see `DeclaredRule.bind_inputs`).
        fields: instead of outputs: the model's outputs as functions of its inputs, `Function("f")(x, y)`, in the order
            of its columns. Symmetries and equations take the arguments as all inputs of the model, in their order.
        domain: of fields: bounds of each coordinate, or domains of several of them (`constraints.domains`), in which
            the points of an equation are drawn; by default it is tested at the model's inputs.
        draws: how many points of the domain for each sample, by default 1; 0 for the model's inputs, which must lie in
            it.
        sampler: how they are chosen in training (`constraints.sampling`); uniformly by default.
        nodes: of quadrature along each axis of the integrals of fields (see `FieldEquation`).
        parameters: symbols of numbers that are learnt with the network.
        units: the unit of each symbol, and of fields, of `sympy.physics.units`; those left out are pure numbers. Units
            inside the statement may differ (km/h here, metres there): all is brought to SI units, in which violations
            are then measured. Places of fields need theirs, `u.subs(x, 2 * meter)`. Without this argument nothing is
            checked.
        margin: what a strict condition leaves free, >= 0, in the unit of the condition; 0 lets the boundary count. How
            far below the threshold the score of a label that does not hold stays.
        threshold: from which score a label counts as true, by default 0.5.
        fallback: what to do with samples that no output can satisfy; see the sets.
        name: how tables and errors call the rule; by default the statement itself.
        unit: see `Rule`.
        source: see `Rule`.

    Returns:
        The rule.

    Raises:
        SpecificationError: an argument that has no meaning beside the others or no use for the statement (a threshold
            without labels, a margin without strict conditions, a fallback of a set that every sample has a point of,
            parameters and units of other symbols, inputs that are no argument of the fields; outputs, and inputs beside
            outputs, may be more than the statement speaks of), a symbol that nobody declared, a strict condition
            without a margin, a statement that always holds, one that does not speak of any output, or one that adds or
            compares different units.
        InfeasibleError: a statement that no output satisfies.

    Example:
        >>> import torch
        >>> from sympy import Eq, symbols
        >>> steel, wood, glass, volume = symbols("steel wood glass volume")
        >>> parts = [steel, wood, glass]
        >>> rule = declare(Eq(sum(parts), volume), outputs=parts, inputs=[volume], name="volume")
        >>> print(rule.explain())
        volume: sum (Affine)
          why: one equality, linear in the outputs, its target read from volume
          embeddings: Hard, Decode, Soft, AugmentedLagrangian, Monitor
          guarantee: exact to rounding
          cost: closed form: one matrix product
        >>> rule.bind(["steel", "wood", "glass"])
        >>> rule.bind_inputs(["volume"])
        >>> rule.enforce(torch.zeros(1, 3), torch.tensor([[6.0]]))
        tensor([[2., 2., 2.]])
    """
    whole = _whole(statement)
    title = name or _short(str(whole))
    if units is not None:
        _require_units(title, units)
    if not isinstance(fields, tuple | list) or len(fields):
        with naming(f"rule `{title}`"):
            require_fields(fields, "`fields`")
        coordinates = {x for field in fields for x in field.args}
        columns = _columns("inputs", inputs)
        require_used(title, "inputs", columns, coordinates, "which is no argument of the fields")
        require_used(
            title,
            "units",
            units or {},
            {*fields, *coordinates, *(parameters or {})},
            "which is no field, argument of the fields or parameter",
        )
        _refuse(title, "fields", outputs=outputs or None, margin=margin, threshold=threshold, fallback=fallback)
        if domain is None:
            _refuse(title, "fields without a domain", draws=draws or None, sampler=sampler)
        if draws == 0:
            _refuse(title, "draws=0", sampler=sampler)
        parts = list(statement) if isinstance(statement, list | tuple) else [whole]
        if units is not None:
            try:
                converted = [equation_in_si(part, fields, units) for part in parts]
            except ConstraintError as error:
                raise type(error)(f"rule `{title}`: {error}") from error
            parts, kinds = [part for part, _ in converted], {kind for _, kind in converted}
            unit = unit or (kinds.pop() if len(kinds) == 1 else "")
        return declare_function(
            parts,  # in their order, which `And` does not keep
            fields,
            columns,
            domain=domain,
            draws=draws,
            sampler=sampler,
            nodes=nodes,
            parameters=parameters,
            name=title,
            unit=unit,
            source=source,
        )
    _refuse(title, "outputs", domain=domain, draws=draws, sampler=sampler, nodes=nodes)
    return declare_outputs(
        whole,
        columns=_columns("outputs", outputs),
        sources=_columns("inputs", inputs),
        parameters=parameters or {},
        units=units,
        margin=margin,
        threshold=threshold,
        fallback=fallback,
        name=title,
        unit=unit,
        source=source,
    )


def _whole(statement: Any) -> sympy.Basic:
    """One statement, of one or several."""
    parts: list[Any] = list(statement) if isinstance(statement, list | tuple) else [statement]
    if not parts:
        raise SpecificationError("`declare` needs at least one statement, got none")
    found = [as_statement(part, "`declare`") for part in parts]
    return found[0] if len(found) == 1 else sympy.And(*found, evaluate=False)


def _require_units(title: str, units: Mapping[sympy.Expr, sympy.Expr]) -> None:
    """Refuse units that are no expressions, and what they are of that is no symbol or field."""
    with naming(f"rule `{title}`"):
        for of, unit in units.items():
            if not isinstance(of, AppliedUndef):
                require_symbols([of], "`units`")
            as_expression(unit, f"the unit of {of}")


def _refuse(title: str, beside: str, **arguments: object) -> None:
    """Refuse arguments that have no meaning beside others."""
    given = [name for name, value in arguments.items() if value is not None]
    if given:
        raise SpecificationError(f"rule `{title}` needs arguments that have a meaning beside {beside}, got {given[0]}=")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _columns(what: str, symbols: Symbols) -> dict[sympy.Symbol, int | str]:
    """The column, or else the name, of each symbol."""
    found: dict[sympy.Symbol, int | str] = {}
    if isinstance(symbols, Mapping):
        found.update(symbols)
    else:
        found.update({symbol: getattr(symbol, "name", "") for symbol in symbols})
    for symbol, column in found.items():
        plain = isinstance(column, str) or (isinstance(column, int) and not isinstance(column, bool) and column >= 0)
        if not isinstance(symbol, sympy.Symbol) or not plain:
            raise SpecificationError(f"`declare` needs symbols and columns >= 0 for its {what}, got {symbol}: {column}")
        broken = [kind for kind in UNSUPPORTED if symbol.assumptions0.get(kind)]
        if broken:
            raise SpecificationError(f"`declare` needs real numbers for its {what}, got {symbol}, declared {broken[0]}")
    if len(set(found.values())) < len(found) or (not isinstance(symbols, Mapping) and len(found) < len(symbols)):
        raise SpecificationError(f"`declare` needs distinct {what}, got {list(symbols)}")
    return found
