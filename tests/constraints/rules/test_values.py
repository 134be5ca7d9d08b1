"""What every rule refuses, and names: numbers that are none, inputs without a point, samples that are not there."""

import pytest
import sympy
import torch
from torch import nn

from constraints import (
    Bounds,
    FixedSum,
    Hierarchy,
    InfeasibleError,
    LinearEquality,
    NonFiniteError,
    Soft,
    SpecificationError,
    declare,
)

A, B, R = sympy.symbols("a b r")


def bound(rule):
    rule.bind(["a", "b", "c"])
    return rule


def declared(statement, outputs, inputs=()):
    rule = declare(statement, outputs=outputs, **({"inputs": list(inputs)} if inputs else {}))
    rule.bind([str(symbol) for symbol in outputs])
    if inputs:
        rule.bind_inputs([str(symbol) for symbol in inputs])
    return rule


RULES = {
    "bounds": lambda: Bounds(low=0.0),
    "sum": lambda: FixedSum(1.0),
    "equality": lambda: LinearEquality([[1.0, 1.0, 1.0]], [1.0]),
    "hierarchy": lambda: bound(Hierarchy({"b": "a", "c": "a"})),
    "circle": lambda: declared(sympy.Eq(A**2 + B**2, 1), [A, B]),
    "disjunction": lambda: declared(sympy.Or(A <= 1, B <= 1), [A, B]),
}


@pytest.mark.parametrize("name", RULES)
def test_only_floating_point_values_that_are_numbers(name):
    rule = RULES[name]()
    width = 2 if name in ("circle", "disjunction") else 3
    for dtype in (torch.int64, torch.bool, torch.complex64):
        for call in (rule.enforce, lambda y: rule.measure(nn.Identity(), y, y)):
            with pytest.raises(SpecificationError, match=str(dtype)):
                call(torch.ones(2, width).to(dtype))
    values = torch.ones(4, width)
    values[2, 1] = torch.nan
    with pytest.raises(NonFiniteError, match=r"rule `.*not finite, the first at sample 2"):
        rule.enforce(values)


@pytest.mark.parametrize("name", RULES)
def test_no_samples_have_no_penalty(name):
    rule = RULES[name]()
    width = 2 if name in ("circle", "disjunction") else 3
    none = torch.zeros(0, width, requires_grad=True)
    assert rule.enforce(none).shape == none.shape
    assert rule.measure(nn.Identity(), none, none).shape == (0,)
    penalty = Soft(rule).penalty(nn.Identity(), none, none)
    assert float(penalty) == 0.0 and penalty.requires_grad


def test_a_number_of_the_input_that_is_not_defined_is_named():
    rule = declared(sympy.sqrt(R) >= A, [A], [R])
    with pytest.raises(
        NonFiniteError, match=r"rule `.*finite numbers from the input, got 1 of 3 samples .* the first is sample 1"
    ):
        rule.enforce(torch.ones(3, 1), torch.tensor([[4.0], [-1.0], [1.0]]))


def test_an_input_that_leaves_no_point_is_proved_empty():
    rule = declared(R * A <= -1, [A], [R])
    with pytest.raises(InfeasibleError, match=r"1 empty ones: 1 of 3 samples \(first: \[1\]\)"):
        rule.enforce(torch.ones(3, 1), torch.tensor([[4.0], [0.0], [1.0]]))
