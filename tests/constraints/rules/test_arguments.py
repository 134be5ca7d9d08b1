"""What every rule does with its arguments: it keeps them, refuses numbers by name, offers what can be built."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from constraints import (
    AllowedClasses,
    AugmentedLagrangian,
    Balance,
    Bounds,
    Box,
    Budget,
    Capacity,
    Census,
    ConvexIn,
    CountLimit,
    Decode,
    Equivariance,
    FixedSum,
    GroupBalance,
    Hard,
    Implication,
    Invariance,
    LinearEquality,
    LinearInequality,
    LinearSystem,
    LipschitzIn,
    Measurements,
    Monitor,
    MonotoneIn,
    NonFiniteError,
    Ordering,
    Polytope,
    RateLimit,
    ShapeError,
    Soft,
    SpecificationError,
    UnsupportedError,
)
from constraints.networks import column_shifts
from constraints.rules.linear_program import maximise
from constraints.rules.linear_rows import LinearRows
from constraints.rules.scores import EagerScores

INF, NAN = math.inf, math.nan
EMBEDDINGS = {e.__name__: e for e in (Hard, Decode, Soft, AugmentedLagrangian, Monitor)}
EMBEDDINGS["Hard(smooth=True)"] = lambda rule: Hard(rule, smooth=True)


class Slopes(LinearSystem):
    def system(self, x):
        return x[..., None, :2], x[..., :1], x[..., :1]


VECTORS = {
    "equality": lambda **o: LinearEquality([[1.0, 1.0]], [1.0], **o),
    "inequality": lambda **o: LinearInequality([[1.0, 1.0]], high=1.0, **o),
    "system": lambda **o: Slopes(rows=1, size=2, **o),
    "balance": lambda **o: Balance(into=[0], weights=[1.0, 1.0], **o),
    "bounds": lambda **o: Bounds(low=0.0, **o),
    "sum": lambda **o: FixedSum(**o),
    "budget": lambda **o: Budget([1.0, 2.0], total=1.0, **o),
    "budget of the input": lambda **o: Budget([1.0, 2.0], column=0, **o),
    "capacity": lambda **o: Capacity([1.0, 2.0], **o),
    "rate": lambda **o: RateLimit(2, 1.0, **o),
    "ordering": lambda **o: Ordering(**o),
    "implication": lambda **o: Implication(Polytope([[1.0, 0.0]], low=[1.0]), Box(low=0.0), **o),
}
FIELDS = {
    "monotone": lambda **o: MonotoneIn([0], **o),
    "convex": lambda **o: ConvexIn([0], **o),
    "limited": lambda **o: LipschitzIn(1.0, [0], **o),
}
OTHERS = {
    "group balance": lambda **o: GroupBalance("(g m) -> g", m=2, **o),
    "measurements": lambda **o: Measurements(torch.zeros(2, 1), torch.zeros(2, 1), **o),
}
SYMMETRIES = {
    "invariance": lambda **o: Invariance(column_shifts(4), **o),
    "equivariance": lambda **o: Equivariance(column_shifts(4), **o),
}
CELLS = {
    "census": lambda **o: Census([CountLimit((1,), 1, 1)], classes=3, **o),
    "classes": lambda **o: AllowedClasses([[True, False]] * 2, **o),
}
EVERY = VECTORS | FIELDS | OTHERS | SYMMETRIES | CELLS


@pytest.mark.parametrize("kind", EVERY)
def test_names_units_and_sources_are_kept(kind):
    said = {"name": "a name", "source": "a book"} | ({} if kind in CELLS else {"unit": "kg"})
    rule = EVERY[kind](**said)
    assert {key: getattr(rule, key) for key in said} == said
    assert rule.explain().rule == "a name"
    plain = EVERY[kind]()
    assert plain.name and (plain.unit, plain.source) == ("", "") if kind not in CELLS else plain.source == ""


@pytest.mark.parametrize("kind", VECTORS)
def test_outputs_are_kept(kind):
    assert VECTORS[kind](outputs=[3, 1]).index.tolist() == [3, 1]
    named = VECTORS[kind](outputs=["d", "b"])
    named.bind(["a", "b", "c", "d"])
    assert named.index.tolist() == [3, 1] and named.index.dtype == torch.int64


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_offered_can_be_built_and_nothing_else(kind):
    rule = EVERY[kind]()
    offered = rule.explain().embeddings
    assert set(offered) <= set(EMBEDDINGS) and len(set(offered)) == len(offered)
    for name, embed in EMBEDDINGS.items():
        if name in offered:
            embed(rule)
        else:
            with pytest.raises(UnsupportedError):
                embed(rule)
    assert not rule.state_dict(), "numbers of a rule are no state of a model"


@pytest.mark.parametrize(
    ("kind", "cost"), [("bounds", "closed-form projection"), ("inequality", "active-set projection")]
)
def test_the_cost_of_a_projection_is_said(kind, cost):
    assert VECTORS[kind]().explain().cost == cost


@pytest.mark.parametrize("number", [INF, NAN])
@pytest.mark.parametrize(
    ("build", "owner", "what"),
    [
        (lambda v: RateLimit(3, v), "RateLimit", "rise"),
        (lambda v: RateLimit(3, 1.0, v), "RateLimit", "fall"),
        (lambda v: Capacity([1.0, v]), "Capacity", "capacity"),
        (lambda v: ConvexIn([0], reach=v), "ConvexIn", "reach"),
        (lambda v: Balance(into=[0], weights=[1.0], into_weights=[v]), "Balance", "into_weights"),
    ],
)
def test_numbers_that_are_none_are_refused_by_name(build, owner, what, number):
    with pytest.raises((NonFiniteError, SpecificationError), match=f"`{owner}` needs .*{what}"):
        build(number)


def test_no_least_capacity():
    rule = Capacity([1.0, 2.0], low=-INF)
    assert rule.enforce(torch.tensor([[5.0, -1e9]])).tolist() == [[1.0, -1e9]]
    with pytest.raises(NonFiniteError, match="`Capacity` needs numbers that are not NaN for low"):
        Capacity([1.0, 2.0], low=NAN)
    far = Capacity(columns=[0, 1], low=-INF)
    assert far.enforce(torch.tensor([[5.0, -1e9]]), torch.tensor([[1.0, 2.0]])).tolist() == [[1.0, -1e9]]


@pytest.mark.parametrize("kind", FIELDS)
def test_one_further_point_a_sample_by_default(kind):
    x, region = torch.zeros(4, 2), Box(low=[1.0, 2.0], high=[1.5, 3.0])
    assert FIELDS[kind]().points(x) is x
    points = FIELDS[kind](region=region).points(x)
    assert points.shape == (4, 2, 2) and bool((points[:, 0] == 0).all())
    assert bool((points[:, 1] >= region.low).all()) and bool((points[:, 1] <= region.high).all())
    assert FIELDS[kind](region=region, draws=3).points(x).shape == (4, 4, 2)


def test_what_an_architecture_cannot_hold_is_named():
    rule = LipschitzIn(0.5, [0, 1], name="gentle")
    network = LipschitzIn(2.0, [0]).wrap(nn.Linear(2, 1))
    with pytest.raises(UnsupportedError, match="rule `gentle` cannot be guaranteed by `NormalisedNetwork` of another"):
        rule.wrap(network)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_of_measurements_are_their_residuals(dtype):
    points, values = torch.rand(5, 2, dtype=dtype), torch.rand(5, 1, dtype=dtype)
    model, x = nn.Linear(2, 3).to(dtype), torch.zeros(4, 2, dtype=dtype)
    for deviation in (0.1, torch.rand(5, 1, dtype=dtype) + 0.1):
        rule = Measurements(points, values, outputs=[2], deviation=deviation)
        assert rule.deviation.dtype == dtype
        expected = (model(points)[:, 2:] - values) / deviation
        squares = rule.squares(model, x)
        torch.testing.assert_close(squares.residual(squares.rows), expected)
        torch.testing.assert_close(rule.quantity(model, rule.points(x)), expected.flatten().expand(4, -1))
        torch.testing.assert_close(rule.measure(model, x, x), expected.abs().amax().expand(4))


def rows(matrix, low, high, floor=(-INF, -INF), ceiling=(INF, INF)):
    none, nothing = np.zeros(0), np.zeros((0, 2))
    numbers = [np.asarray(part, dtype=float) for part in (low, high, floor, ceiling)]
    return LinearRows(nothing, none, np.asarray(matrix, dtype=float), *numbers)


@pytest.mark.parametrize(
    ("system", "direction", "expected"),
    [
        (rows([[1.0, 1.0]], [-INF], [2.0], (0.0, 0.0)), [3.0, 1.0], ("optimal", 6.0)),
        (rows([[1.0, 0.0]], [0.0], [1.0]), [0.0, 1.0], ("unbounded", INF)),
        (rows([[1.0, 1.0], [1.0, 1.0]], [1.0, -INF], [INF, 0.0]), [1.0, 0.0], ("empty", NAN)),
        (rows([[1.0, 1.0], [1.0, 1.0]], [1.0, -INF], [INF, 0.0]), None, ("empty", NAN)),
        (rows([[1.0, 1.0]], [NAN], [1.0]), [1.0, 0.0], ("empty", NAN)),
        (rows([[1.0, 1.0]], [INF], [INF]), [1.0, 0.0], ("empty", NAN)),
        (rows([[1.0, 1.0]], [-INF], [-INF]), [1.0, 0.0], ("empty", NAN)),
        (rows([[1.0, 1.0]], [-INF], [1.0], (1.0, 0.0), (0.0, 1.0)), [1.0, 0.0], ("empty", NAN)),
    ],
)
def test_the_most_of_a_direction(system, direction, expected):
    kind, value = maximise(system, None if direction is None else np.asarray(direction))
    assert kind == expected[0]
    np.testing.assert_allclose(value, expected[1])


def test_what_was_measured_where_is_finite():
    points, values = torch.zeros(3, 1), torch.zeros(3, 2)
    for what, broken in (("points", points), ("values", values)):
        numbers = {"points": points, "values": values, what: torch.where(torch.arange(3)[:, None] == 1, NAN, broken)}
        with pytest.raises(
            NonFiniteError, match=f"`Measurements` needs finite {what}, got numbers that are not finite in row 1$"
        ):
            Measurements(**numbers)
    with pytest.raises(ShapeError, match=r"its own points \(\*batch, 3, 1\), got shape \(3,\)"):
        Measurements(points, values).quantity(nn.Linear(1, 2), torch.zeros(3))


def test_scores_and_counts_keep_what_they_are_given():
    change = np.array([0.5, 0.0])
    assert EagerScores(torch.zeros(2, 3), change=change).change is change
    assert Census.exactly_one(of=[1], classes=3, name="kings").name == "kings"


def test_limits_are_fixed_or_of_the_input():
    class Own(LinearInequality):
        def limits(self, x):
            return x, x

    with pytest.raises(SpecificationError, match=r"`LinearInequality` needs either fixed limits .* got neither"):
        LinearInequality([[1.0]])
    with pytest.raises(SpecificationError, match=r"`Own` needs either fixed limits .* got both"):
        Own([[1.0]], high=1.0)


def test_bounds_without_a_bound_are_refused():
    with pytest.raises(SpecificationError, match="`Bounds` needs a finite bound, got low=-inf, high=inf"):
        Bounds()
    assert Bounds(low=[0.0, -math.inf]).enforceable
