"""A finite penalty has a finite gradient, the limit where there is one; else the step is refused by rule and point."""

import pytest
import torch
from sympy import (
    Abs,
    Eq,
    Function,
    Or,
    Piecewise,
    Rational,
    StrictGreaterThan,
    StrictLessThan,
    acos,
    atan2,
    cbrt,
    log,
    sin,
    sqrt,
    symbols,
)
from torch import nn

from constraints import AugmentedLagrangian, Learnable, NonFiniteError, Soft, declare, join
from constraints.functional.slope_limits import SlopeLimits
from dkmodels import RegressionModule
from dkmodels.optim.normal_equations import normal_equations

X, Y, A, B = symbols("x y a b")
U, V = (Function(n)(X, Y) for n in "UV")
SQUARE = {X: (0, 1), Y: (0, 1)}
GRID = torch.cartesian_prod(torch.linspace(0, 1, 4), torch.linspace(0, 1, 4)).double()


def at_rest(outputs):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, outputs)).double()
    with torch.no_grad():
        network[2].weight.zero_()
        network[2].bias.zero_()
    return network


FRICTION = [
    Eq(U.diff(X, 2) - U * sqrt(U**2 + V**2), -1),
    Eq(V.diff(X, 2) - V * sqrt(U**2 + V**2), 0),
]


@pytest.mark.parametrize("embedding", [Soft, AugmentedLagrangian])
@pytest.mark.parametrize(
    ("equations", "fields"),
    [
        (FRICTION, [U, V]),
        ([Eq(sqrt(Abs(U)) * U + U.diff(X, 2), 1)], [U]),
        ([Eq((U**2) ** Rational(1, 3) * U.diff(X), 1 + U)], [U]),
        ([Eq(Abs(U) ** Rational(3, 2) + U.diff(X), 1 + U)], [U]),
    ],
    ids=str,
)
def test_slopes_at_rest_are_their_limit(embedding, equations, fields):
    network = at_rest(len(fields))
    rule = declare(equations, fields=fields, domain=SQUARE, draws=0)
    embedding(rule).penalty(network, GRID, network(GRID)).backward()
    found = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    assert found and all(bool(g.isfinite().all()) for g in found)
    torch.manual_seed(1)
    with torch.no_grad():  # nearby the gradient is nearly the same
        network[2].bias.add_(1e-9 * torch.randn(len(fields), dtype=torch.float64))
    network.zero_grad()
    embedding(rule).penalty(network, GRID, network(GRID)).backward()
    near = [p.grad for p in network.parameters() if p.grad is not None]
    for one, two in zip(found, near, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


def take_step(optimizer, embedding, network):
    embedding.penalty(network, GRID, network(GRID)).backward()
    optimizer.step()


@pytest.mark.parametrize("embedding", [Soft, AugmentedLagrangian])
@pytest.mark.parametrize(
    "equation",
    [
        Eq(sqrt(U.diff(X) ** 2 + U.diff(Y) ** 2), 1),
        Eq(U.diff(X), sqrt(U)),
        Eq(acos(1 - U) + U.diff(X), 1),
        Eq(atan2(U.diff(Y), U.diff(X)), 1),
    ],
    ids=str,
)
def test_slopes_without_a_limit_are_refused_before_a_weight_is_written(embedding, equation):
    network = at_rest(1)
    rule = declare(equation, fields=[U], domain=SQUARE, draws=0, name="front")
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters())
    with pytest.raises(NonFiniteError, match=r"rule `front` needs finite slopes.*16 of 16 points, the first \{'x': 0"):
        take_step(optimizer, embedding(rule), network)
    assert all(torch.equal(one, two) for one, two in zip(before, network.parameters(), strict=True))


GRADIENT = sqrt(U.diff(X) ** 2 + U.diff(Y) ** 2)


@pytest.mark.parametrize("embedding", [Soft, AugmentedLagrangian])
def test_a_slack_inequality_needs_no_slope(embedding):
    network = at_rest(1)
    rule = declare(GRADIENT <= 1, fields=[U], domain=SQUARE, draws=0)
    penalty = embedding(rule).penalty(network, GRID, network(GRID))
    penalty.backward()
    assert float(penalty) == 0.0 and all(
        p.grad is None or float(p.grad.abs().max()) == 0.0 for p in network.parameters()
    )
    broken = declare(GRADIENT >= 1, fields=[U], domain=SQUARE, draws=0, name="steep")
    with pytest.raises(NonFiniteError, match=r"rule `steep` needs finite slopes.*16 of 16 points"):
        embedding(broken).penalty(network, GRID, network(GRID)).backward()


def test_a_multiplier_that_asks_for_a_slope_of_a_slack_inequality():
    network = at_rest(1)
    rule = declare(GRADIENT <= 1e-3, fields=[U], domain=SQUARE, draws=0, name="flat")
    held = AugmentedLagrangian(rule)
    held.penalty(network, GRID, network(GRID))
    held.multiplier.fill_(10.0)
    with pytest.raises(NonFiniteError, match="rule `flat` needs finite slopes"):
        held.penalty(network, GRID, network(GRID)).backward()


def test_a_field_at_rest_can_be_measured():
    network, rule = at_rest(1), declare(Eq(GRADIENT, 1), fields=[U], domain=SQUARE, draws=0)
    rule.eval()
    assert rule.measure(network, GRID, network(GRID)).flatten().tolist() == [1.0] * len(GRID)
    with pytest.raises(NonFiniteError, match="needs finite slopes"):
        Soft(rule).penalty(network, GRID, network(GRID)).backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [5, 16, 17])
def test_a_learnt_coefficient_beside_a_root(dtype, count):
    """With as many points at rest as directions are tried, the coefficient was mixed with the points."""
    k, points = symbols("k"), torch.rand(count, 2, dtype=dtype)
    network = at_rest(2).to(dtype)
    rule = declare(
        Eq(k * U * sqrt(U**2 + V**2), 1), fields=[U, V], domain=SQUARE, draws=0, parameters={k: Learnable(initial=2.0)}
    )
    Soft(rule).penalty(network, points, network(points)).backward()
    assert float(rule.raw["k"].grad) == 0.0
    limits = SlopeLimits(A * sqrt(B), [A, B])
    several = {A: torch.tensor(2.0, dtype=dtype), B: torch.zeros(count, dtype=dtype)}
    assert limits.missing(several, several[B]).tolist() == [True] * count


def test_a_learnt_coefficient_at_the_end_of_a_root():
    k = symbols("k")
    network = at_rest(1)
    options = {"fields": [U], "domain": SQUARE, "draws": 0, "parameters": {k: Learnable(initial=0.0)}}
    for equation in (Eq(U.diff(X), sqrt(k) + 1), Eq(U.diff(X) + sqrt(k) * (U + 1), 1)):
        rule = declare(equation, name="root", **options)
        with pytest.raises(NonFiniteError, match=r"rule `root` needs finite slopes.*16 of 16"):
            Soft(rule).penalty(network, GRID, network(GRID)).backward()


@pytest.mark.parametrize("equation", [Eq(GRADIENT, 1), Eq(acos(1 - U) + U.diff(X), 1)], ids=str)
def test_a_rule_with_roots_is_not_compiled(equation):
    network, rule = at_rest(1), declare(equation, fields=[U], domain=SQUARE, draws=0, name="front")
    with pytest.warns(UserWarning, match="rule `front` is not compiled, runs eagerly"):
        rule.compile()
    with pytest.raises(NonFiniteError, match="rule `front` needs finite slopes"):
        Soft(rule).penalty(network, GRID, network(GRID)).backward()


def test_newton_steps_from_rest():
    network = at_rest(2)
    soft = Soft(declare(FRICTION, fields=[U, V], domain=SQUARE, draws=0))
    squares = [soft.squares(network, GRID)]
    found = normal_equations(network, list(network.parameters()), squares)
    assert bool(found.matrix.isfinite().all()) and bool(found.vector.isfinite().all())


@pytest.mark.parametrize("statement", [sqrt(A**2 + B**2) >= 1, sqrt(A) >= B + 1], ids=str)
def test_outputs_without_a_slope_are_refused(statement):
    rule = declare(statement, outputs=[A, B], name="root")
    rule.bind(["a", "b"])
    y = torch.tensor([[1.0, 1.0], [0.0, 0.0]], requires_grad=True)
    with pytest.raises(NonFiniteError, match=r"rule `root`.*1 of 2 samples.*the first 1"):
        Soft(rule).penalty(nn.Identity(), y, y).backward()


def test_outputs_whose_slopes_have_a_limit():
    rule = declare(A * sqrt(A**2 + B**2) <= -1, outputs=[A, B])
    rule.bind(["a", "b"])
    y = torch.zeros(3, 2, requires_grad=True)
    Soft(rule).penalty(nn.Identity(), y, y).backward()
    assert y.grad.tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_limits_of_slopes(dtype):
    u, v = symbols("u v", real=True)
    zero = torch.zeros(2, dtype=dtype)
    some = torch.tensor([0.0, 2.0], dtype=dtype)
    cases = {
        sqrt(u): [True, True],
        u * sqrt(u): [False, False],
        sqrt(u**2 + v**2): [True, False],
        u * sqrt(u**2 + v**2): [False, False],
        sqrt(u**2 + v**2) ** 3: [False, False],
        u**2 + 1: [False, False],
        sqrt(u**2): [False, False],  # |u|: a kink, whose slope autograd gives as 0
    }
    for expression, missing in cases.items():
        assert SlopeLimits(expression, [u, v]).missing({u: zero, v: some}, zero).tolist() == missing, expression


@pytest.mark.parametrize(
    "equation",
    [Eq(sqrt(A) + B, 1), Eq(cbrt(A) + B, 1), Eq(atan2(A, B) + B, 1), Eq(sqrt(Abs(A)) + B, 1)],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_curved_sets_refuse_outputs_where_they_have_no_slope(equation, dtype):
    rule = declare(equation, outputs=[A, B], name="curve")
    rule.bind(["a", "b"])
    value = torch.zeros(3, 2, dtype=dtype, requires_grad=True)
    with pytest.raises(NonFiniteError, match=r"rule `curve`.*finite slopes.*3 of 3 samples, the first 0"):
        Soft(rule).penalty(nn.Identity(), value, value)
    smooth = declare(Eq(A * sqrt(A**2 + B**2) + B, 1), outputs=[A, B])
    smooth.bind(["a", "b"])
    Soft(smooth).penalty(nn.Identity(), value, value).backward()
    torch.testing.assert_close(value.grad, torch.tensor([[0.0, -2.0 / 3]], dtype=dtype).expand(3, 2))


ROOT, LINE, HEAT = symbols("root", real=True), symbols("line", real=True), Function("heat")(X)


@pytest.mark.parametrize(
    ("case", "slope"),
    [
        (Piecewise((sqrt(ROOT), ROOT > 0), (0, True)), 0.0),
        (Piecewise((sqrt(ROOT), ROOT > 0), (3 * ROOT, True)), 3.0),
        (Piecewise((0, ROOT <= 0), (sqrt(ROOT), True)), 0.0),
        (Piecewise((sqrt(-ROOT), ROOT < 0), (ROOT**2 + 2 * ROOT, True)), 2.0),
        (Piecewise((ROOT * sqrt(ROOT), ROOT >= 0), (0, True)), 0.0),
        (Piecewise((ROOT, Eq(ROOT, 0)), (sqrt(Abs(ROOT)), True)), 1.0),
    ],
    ids=str,
)
def test_a_guarded_root_has_the_slope_of_the_case_that_is_taken(case, slope):
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.level = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, x):
            return self.level.expand(len(x), 1) + 0.0 * x

    rule = declare(Eq(case.subs(ROOT, HEAT) + HEAT, 1), fields=[HEAT])
    model, x = Constant(), torch.zeros(3, 1, dtype=torch.float64)
    Soft(rule).penalty(model, x, model(x)).backward()
    assert float(model.level.grad) == pytest.approx(-2.0 * (1.0 + slope))  # of (case + level - 1)^2
    statement = Eq(case + LINE, -1)
    strict = {"margin": 0.0} if statement.atoms(StrictGreaterThan, StrictLessThan) else {}
    if strict:
        y = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        Soft(declare(statement, outputs={ROOT: 0, LINE: 1}, **strict)).penalty(nn.Identity(), x[:1], y).backward()
        assert y.grad.tolist() == [[pytest.approx(2.0 * slope), 2.0]]


@pytest.mark.parametrize("case", [Piecewise((sqrt(ROOT), ROOT >= 0), (0, True)), sqrt(Abs(ROOT))], ids=str)
def test_a_root_that_is_taken_at_0_is_refused(case):
    rule = declare(Eq(case.subs(ROOT, HEAT) + HEAT, 1), fields=[HEAT])
    model, x = nn.Linear(1, 1), torch.zeros(2, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    with pytest.raises(NonFiniteError, match="no limit at 2 of 2 points"):
        Soft(rule).penalty(model, x, model(x))


SLACK = [
    (sqrt(A) <= B, (0.0, 5.0)),
    (sqrt(A) <= B, (0.0, 0.0)),
    (-sqrt(A) <= B, (0.0, 5.0)),
    (acos(A) <= 1, (1.0, 0.0)),
    (log(A) <= B, (0.0, 0.0)),
    (Or(sqrt(A) <= B, sin(B) <= -2), (0.0, 5.0)),
    (Or(-sqrt(A) <= B, B <= -2), (0.0, 5.0)),
    (Or(sqrt(A) >= B, sin(A) >= 1), (0.0, -1.0)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("embedding", [Soft, AugmentedLagrangian])
@pytest.mark.parametrize(("statement", "value"), SLACK, ids=str)
def test_slack_conditions_need_no_slope(statement, value, embedding, dtype):
    rule = declare(statement, outputs={A: 0, B: 1})
    y = torch.tensor([value, value], dtype=dtype, requires_grad=True)
    penalty = embedding(rule).penalty(nn.Identity(), y, y)
    penalty.backward()
    assert float(penalty) == 0.0 and y.grad.tolist() == [[0.0, 0.0]] * 2


@pytest.mark.parametrize("embedding", [Soft, AugmentedLagrangian])
def test_a_slack_condition_beside_a_violated_one(embedding):
    """Of alternatives the one that is nearer to hold decides."""
    for statement, value, slope in (
        ([sqrt(A) <= B, sin(B) >= 1], (0.0, 0.5), (0.0, -1.0)),
        (Or(sqrt(A) - 1 <= B, sin(B) <= -1), (0.0, -1.5), (0.0, 1.0)),
    ):
        rule = declare(statement, outputs={A: 0, B: 1})
        y = torch.tensor([value], dtype=torch.float64, requires_grad=True)
        embedding(rule).penalty(nn.Identity(), y, y).backward()
        assert float(y.grad[0, 0]) == slope[0] and float(y.grad[0, 1]) * slope[1] > 0


def test_an_inequality_with_a_multiplier_pulls_while_it_is_slack():
    embedding = AugmentedLagrangian(declare(sqrt(A) <= B, outputs={A: 0, B: 1}))
    y = torch.tensor([[1.0, 1.5]], dtype=torch.float64, requires_grad=True)
    embedding.penalty(nn.Identity(), y, y)
    embedding.multiplier.fill_(2.0)
    (slope,) = torch.autograd.grad(embedding.penalty(nn.Identity(), y, y), y)
    torch.testing.assert_close(slope, torch.tensor([[0.75, -1.5]], dtype=torch.float64))
    at_zero = torch.tensor([[0.0, 0.5]], dtype=torch.float64, requires_grad=True)
    with pytest.raises(NonFiniteError, match="finite slopes"):
        embedding.penalty(nn.Identity(), at_zero, at_zero)


@pytest.mark.parametrize("carry", [RegressionModule, join], ids=["module", "join"])
def test_errors_of_statements_name_the_key(carry):
    for statement, value in ((acos(A) >= B + 2, (1.0, 0.0)), (sqrt(A) <= B - 1, (0.0, 0.0))):
        soft = Soft(declare(statement, outputs={A: 0, B: 1}))
        carry(nn.Identity(), {"key": soft})
        y = torch.tensor([value], requires_grad=True)
        with pytest.raises(NonFiniteError, match=r"rule `key` \("):
            soft.penalty(nn.Identity(), y, y).backward()
    with pytest.raises(NonFiniteError, match=r"rule `key` \("):  # as an optimiser by squares asks, later
        soft.squares(nn.Identity(), y).loss()
