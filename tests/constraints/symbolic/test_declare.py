"""The front door: which set a statement is found to be, how it is bound, and what is refused."""

import pickle
from itertools import pairwise

import pytest
import sympy
import torch
from sympy import ITE, And, Eq, Implies, Max, Not, Or, Piecewise, Xor, exp, log, sqrt
from sympy.physics.units import meter, second

from constraints import (
    AugmentedLagrangian,
    BestEffort,
    Decode,
    Guarantee,
    Hard,
    InfeasibleError,
    Learnable,
    Monitor,
    Raise,
    Soft,
    SpecificationError,
    UnsupportedError,
    declare,
    join,
)
from constraints.testing import check_embedding, check_rule, check_set

A, B, C, D = sympy.symbols("a b c d")
X, Z = sympy.symbols("x z")
OUT, IN = {A: 0, B: 1, C: 2, D: 3}, {X: 0, Z: 1}

FOUND = [
    ([A >= 0, B <= 3], "box", "Box"),
    (Max(A, B) <= 3, "box", "Box"),
    (log(A) <= 2, "box", "Box"),
    (A**3 <= 8, "box", "Box"),
    (A**2 - A - 2 <= 0, "box", "Box"),
    ((A - 1) ** 2 + (B - 2) ** 2 <= 0, "box", "Box"),
    (Eq(A + B, X), "sum", "Affine"),
    (Eq(A + 2 * B + 3 * C, 6), "affine", "Affine"),
    (Eq(A, Piecewise((X, X > 0), (2 * X, True))), "affine", "Affine"),
    (Eq(A * X + B, 2), "polytope", "VaryingPolytope"),
    ([A >= 0, B >= 0, C >= 0, Eq(A + B + C, 1)], "simplex", "Simplex"),
    ([A >= 0, B >= 0, Eq(2 * A + 2 * B, X**2)], "simplex", "Simplex"),
    ([A >= 0, B <= 2, Eq(A + B, 1)], "affine in a box", "BoxEquality"),
    ([A <= B, B <= C], "order", "OrderedCone"),
    ([C + 1 <= A, A + 1 <= B, A <= 9, B <= 9, C <= 9], "order", "OrderedCone"),
    (A + B <= X, "half-space", "HalfSpace"),
    (exp(A + B) <= 5, "half-space", "HalfSpace"),
    (B + sympy.Abs(A) <= X, "polytope", "Polytope"),
    (Implies(X > 100, A <= 5), "polytope", "Polytope"),
    (ITE(X > 0, A <= 1, A >= 2), "polytope", "Polytope"),
    (A * X + B <= 2, "polytope", "VaryingPolytope"),
    (A**2 + B**2 <= 4, "ball", "L2Ball"),
    (sqrt(A**2 + (B - 1) ** 2) <= X, "ball", "L2Ball"),
    (sympy.Abs(A) + sympy.Abs(B - 1) <= 2, "ball of the sum norm", "L1Ball"),
    (sqrt(A**2 + B**2) <= C, "second-order cone", "SecondOrderCone"),
    (A**2 + 4 * B**2 <= 4, "quadratic", "Convex"),
    (exp(A) + B**2 <= X, "convex", "Convex"),
    (Eq(A**2 + B**2, 1), "polynomial equality", "NonlinearEquality"),
    (Eq(exp(A) + B, 1), "nonlinear equality", "NonlinearEquality"),
    (Or(A <= 0, B <= 1), "disjunction", "Disjunction"),
    (Implies(A > 80, B >= 40), "disjunction", "Disjunction"),
    ([A >= 0, B >= 0, Eq(A * B, 0)], "disjunction", "Disjunction"),
    (Eq(Max(A, B), C), "disjunction", "Disjunction"),
    (Or(And(X > 1, Eq(A, 1)), And(X <= 1, Eq(A, 0))), "disjunction", "Disjunction"),
    (A**3 - A <= 0, "disjunction", "Disjunction"),
    (A * B >= 1, "unknown", "Formula"),
    (sympy.sin(A) <= B, "unknown", "Formula"),
    (Eq(A, sqrt(B)) & (A <= 4), "unknown", "Formula"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "kind", "kind_of_set"), FOUND, ids=str)
def test_the_most_specific_set_is_found(statement, kind, kind_of_set):
    rule = declare(statement, outputs=OUT, inputs=IN)
    assert (rule.found.kind, type(rule.constraint).__name__) == (kind, kind_of_set)
    told = rule.explain()
    assert told.why and told.cost
    assert ("Hard" in told.embeddings) == (kind != "unknown")
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        y = torch.randn(6, 4, generator=generator, dtype=torch.float64).to(dtype) * 2
        x = torch.rand(6, 2, generator=generator, dtype=torch.float64).to(dtype) * 3 + 1.5
        check_rule(rule, torch.nn.Identity(), x, y)


@pytest.mark.parametrize("statement", [Or(A <= X, B <= X), Implies(And(X > 1, A > 2), B >= 1), A * X + B <= Z], ids=str)
def test_sets_that_read_the_input_pass_the_laws(statement):
    rule = declare(statement, outputs=[A, B], inputs=[X, Z])
    rule.bind(["a", "b"])
    rule.bind_inputs(["x", "z"])
    generator = torch.Generator().manual_seed(1)
    y = torch.randn(5, 2, generator=generator, dtype=torch.float64) * 2
    x = torch.rand(5, 2, generator=generator, dtype=torch.float64) + 0.5
    if rule.found.shape == (rule.context_width,):
        check_set(rule.constraint, y, rule.context(x), second_order=False)
    given = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: rule.enforce(y, v), [given])


def test_columns_are_bound_by_name():
    rule = declare(Eq(A + B, X), outputs=[B, A], inputs=[Z, X])
    with pytest.raises(SpecificationError, match="call `bind"):
        rule.enforce(torch.zeros(1, 3), torch.zeros(1, 2))
    rule.bind(["c", "a", "b"])
    with pytest.raises(SpecificationError, match="call `bind_inputs"):
        rule.enforce(torch.zeros(1, 3), torch.zeros(1, 2))
    rule.bind_inputs(["x", "z"])
    assert rule.enforce(torch.zeros(1, 3), torch.tensor([[4.0, 9.0]])).tolist() == [[0.0, 2.0, 2.0]]
    with pytest.raises(SpecificationError, match=r"inputs \['x'\], expected some of \['z'\]"):
        rule.bind_inputs(["z"])
    with pytest.raises(SpecificationError, match="does not name its inputs"):
        declare(Eq(A, X), outputs=[A], inputs=[X]).bind_inputs(None)
    with pytest.raises(SpecificationError, match="got x=None"):
        declare(Eq(A, X), outputs=OUT, inputs=IN).enforce(torch.zeros(1, 4))


def test_learnt_numbers_move_inside_their_bounds():
    rule = declare(A + B <= C * 0 + D, outputs={A: 0, B: 1}, parameters={D: Learnable(initial=0.5, low=0.0, high=1.0)})
    network = torch.nn.Linear(2, 2)
    network = join(network, {"cap": Hard(rule)}, outputs=2)
    assert {"enforced.0.raw.d"} <= {name for name, _ in network.named_parameters()}
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        (network(torch.rand(16, 2)) - 3.0).square().mean().backward()
        optimiser.step()
    assert 0.9 < float(rule.learnt["d"]) < 1.0
    assert "learnt: d" in rule.explain().why
    for wrong in ({"initial": 2.0, "high": 1.0}, {"initial": 0.0, "low": 0.0}, {"initial": float("nan")}):
        with pytest.raises(SpecificationError, match="low < initial < high"):
            Learnable(**wrong)


@pytest.mark.parametrize("bounds", [{}, {"low": -1.0}, {"high": 3.0}, {"low": 0.0, "high": 2.0}])
def test_learnt_numbers_begin_where_they_are_told(bounds):
    one = Learnable(initial=0.7, **bounds)
    assert float(one.value(one.start())) == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_learnt_numbers_come_back_from_beside_a_bound(dtype):
    one = Learnable(initial=5.0, low=0.0, high=30.0)
    raw = torch.tensor([-1e3, -40.0, -1.0, 0.0, 1.0, 40.0, 1e3], dtype=dtype, requires_grad=True)
    value = one.value(raw)
    exact = 15.0 * (1.0 + raw.detach().double() / torch.sqrt(1.0 + raw.detach().double() ** 2))
    assert torch.allclose(value.double(), exact, rtol=1e-6, atol=0.0)
    (slope,) = torch.autograd.grad(value.sum(), raw)
    assert torch.allclose(slope.double(), 15.0 * (1.0 + raw.detach().double() ** 2) ** -1.5, rtol=1e-5)
    assert float(slope.min()) > 1e-8 and float(value.min()) > 0.0


def test_unknown_is_never_hard():
    rule = declare(sympy.sin(A) + B**3 <= 1, outputs=OUT)
    for embedding in (Hard, Decode):
        with pytest.raises(UnsupportedError):
            embedding(rule)
    assert rule.explain().guarantee is Guarantee.SOFT
    network = torch.nn.Linear(2, 4)
    for embedding in (Soft(rule), AugmentedLagrangian(rule), Monitor(rule)):
        check_embedding(embedding, network, torch.randn(8, 2))


def test_outside_a_domain_the_violation_is_how_far():
    rule = declare(log(A) + sympy.sin(B) <= 1, outputs=OUT)
    y = torch.tensor([[-2.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]], requires_grad=True)
    violation = rule.measure(torch.nn.Identity(), y, y)
    assert violation.tolist() == [2.0, 0.0]
    (slope,) = torch.autograd.grad(violation.sum(), y)
    assert slope[0].tolist() == [-1.0, 0.0, 0.0, 0.0]


def test_signs_of_outputs_are_conditions_too():
    q = sympy.Symbol("q", nonnegative=True)
    r = sympy.Symbol("r", negative=True)
    rule = declare(q + r <= 3, outputs={q: 0, r: 1})
    assert rule.enforce(torch.tensor([[-1.0, 2.0]])).tolist() == [[0.0, 0.0]]
    with pytest.raises(SpecificationError, match="declared integer"):
        declare(Eq(sympy.Symbol("n", integer=True), 1), outputs=[sympy.Symbol("n", integer=True)])


def test_labels_are_scores_against_a_threshold():
    cat, dog, animal = sympy.symbols("cat dog animal")
    rule = declare(Not(And(cat, dog)), outputs={cat: 0, dog: 1, animal: 2}, threshold=0.6)
    held = rule.enforce(torch.tensor([[0.9, 0.7, 0.0], [0.5, 0.9, 0.0]]))
    torch.testing.assert_close(held, torch.tensor([[0.9, 0.5999, 0.0], [0.5, 0.9, 0.0]]))
    both = declare(sympy.Equivalent(cat, dog), outputs={cat: 0, dog: 1})
    assert both.measure(torch.nn.Identity(), torch.zeros(1), torch.tensor([[0.9, 0.1]])).item() == pytest.approx(0.4)


def test_strict_conditions_need_a_margin():
    for statement in (A < 1, A > B, Implies(A >= 1, B >= 1), sympy.Ne(A, B), Xor(A <= 1, B <= 1), Not(A <= 1)):
        with pytest.raises(SpecificationError, match="boundary"):
            declare(statement, outputs=OUT)
    assert declare(A < 1, outputs=OUT, margin=0.25).enforce(torch.ones(1, 4))[0, 0] == 0.75
    assert "boundary" in declare(A < 1, outputs=OUT, margin=0.0).explain().why
    apart = declare(sympy.Ne(A, B), outputs=OUT, margin=1.0).enforce(torch.zeros(1, 4))[0]
    assert abs(float(apart[0] - apart[1])) == 1.0
    with pytest.raises(SpecificationError, match="margin > 0"):
        declare(sympy.Ne(A, B), outputs=OUT, margin=0.0)
    declare(Implies(X >= 1, A <= 1), outputs=OUT, inputs=IN)  # of inputs they may be strict
    with pytest.raises(SpecificationError, match="finite margin >= 0"):
        declare(A < 1, outputs=OUT, margin=-1.0)


@pytest.mark.parametrize(
    "statement",
    [
        And(A <= 0, A >= 1),
        [A + B <= 1, A >= 1, B >= 1],
        Eq(A**2 + B**2, -1),
        A**2 + B**2 <= -1,
        sympy.Abs(A) <= -1,
        exp(A) <= -2,
        sqrt(A) <= -1,
        [A**2 + B**2 <= 1, A + B >= 3],
        Or(And(A <= 0, A >= 1), And(B <= 0, B >= 1)),
        [A <= B, B <= C, C + 1 <= A],
        [A <= B, A >= 0, A <= 1, B >= 0, B <= 1, B + 2 <= A],
        [A >= B + 1, A <= B, C <= X],
        Eq(A * B, 1) & Eq(A, 0),
        A**4 + 1 <= 0,
    ],
    ids=str,
)
def test_contradictions_are_refused_by_name(statement):
    with pytest.raises(InfeasibleError, match="rule `mine`"):
        declare(statement, outputs=OUT, inputs=IN, name="mine")


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (A + sympy.Symbol("q") <= 1, "got q"),
        (sympy.Symbol("a", positive=True) <= 1, "other assumptions"),
        (X <= 1, "speak of an output"),
        (sympy.true, "says nothing"),
        (A + B == C, r"got False \(bool\): `==` of Python .* write Eq"),
        ([A <= 1, A + B == C], "write Eq"),
        (A <= A, "says nothing"),
        (exp(A) >= -1, "says nothing"),
        (A**2 >= 0, "says nothing"),
        (A + B, "statements of sympy"),
        ("a <= 1", "statements of sympy"),
        ([], "at least one"),
        (sympy.Function("f")(A) <= 1, "fields="),
        (sympy.zeta(A) <= 1, "a function needs to be one of"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(statement, told):
    with pytest.raises(SpecificationError, match=told):
        declare(statement, outputs=OUT, inputs=IN)


def test_names_mean_one_thing():
    with pytest.raises(SpecificationError, match="x more than once"):
        declare(A <= X, outputs=[A, X], inputs=[X])
    with pytest.raises(SpecificationError, match="distinct outputs"):
        declare(A <= 1, outputs=[A, A])
    with pytest.raises(SpecificationError, match="columns >= 0"):
        declare(A <= 1, outputs={A: -1})
    for column in (1.5, True):
        with pytest.raises(SpecificationError, match="columns >= 0"):
            declare(A <= 1, outputs={A: column})


def test_decimals_that_cancel_on_paper_cancel():
    rule = declare((0.1 * A + 0.3) ** 2 - 0.01 * A**2 - 0.06 * A - 0.09 + B <= 0, outputs=OUT)
    assert (rule.found.kind, rule.outputs) == ("box", (0, 1))
    assert rule.constraint.high.tolist() == [float("inf"), 0.0]


def test_samples_that_nothing_satisfies_obey_the_fallback():
    rule = declare([Eq(A + B, X), A >= 0, B >= 0, A <= 1, B <= 1], outputs=OUT, inputs=IN, fallback=BestEffort())
    held = rule.enforce(torch.zeros(2, 4), torch.tensor([[1.0, 0.0], [5.0, 0.0]]))
    assert held[1, :2].tolist() == [1.0, 1.0]


def test_an_order_among_alternatives_keeps_its_columns():
    rule = declare(Or(And(B <= A, C <= B), And(A >= 5, B >= 5, C >= 5)), outputs=OUT)
    held = rule.enforce(torch.tensor([[1.0, 2.0, 0.0, 0.0], [3.0, 1.0, 0.0, 0.0]]))
    torch.testing.assert_close(held, torch.tensor([[1.5, 1.5, 0.0, 0.0], [3.0, 1.0, 0.0, 0.0]]))


def test_guards_of_branches_follow_the_input():
    rule = declare(Or(And(X > 1, Eq(A, 1)), And(X <= 1, Eq(A, 0))), outputs=OUT, inputs=IN)
    held = rule.enforce(torch.full((2, 4), 0.4), torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    assert held[:, 0].tolist() == [1.0, 0.0]


def test_copies_keep_the_statement():
    rule = declare(Or(A <= X, B <= 1), outputs=OUT, inputs=IN, name="either")
    again = pickle.loads(pickle.dumps(rule))
    assert str(again.explain()) == str(rule.explain()) and again.statement == rule.statement
    y, x = torch.randn(3, 4), torch.randn(3, 2)
    torch.testing.assert_close(again.enforce(y, x), rule.enforce(y, x))


def test_a_mix_of_strengths_on_one_model():
    rules = {
        "sum": Hard(declare(Eq(A + B + C, X), outputs=[A, B, C], inputs=[X])),
        "cap": Hard(declare(A <= 2 * X, outputs=[A, B, C], inputs=[X])),
    }
    for embedding in rules.values():
        embedding.rule.bind(["a", "b", "c"])
        embedding.rule.bind_inputs(["x"])
    network = join(torch.nn.Linear(1, 3), rules, outputs=3)
    x = torch.rand(7, 1)
    y = network(x)
    torch.testing.assert_close(y.sum(-1), x[:, 0])
    assert bool((y[:, 0] <= 2 * x[:, 0] + 1e-6).all())


def test_explain_tells_how_rare_failures_of_a_surface_are():
    rule = declare(Eq(A**2 + 100 * B**2, 1), outputs=OUT)
    assert "of 64 random values, up to 100 times its size away, 64 were brought onto it" in rule.explain().why


LABELS = {A: 0, B: 1, C: 2}
GIVEN = sympy.Symbol("given")
LEARNT = {sympy.Symbol("k"): Learnable(initial=1.0)}
ROWS = [A + B <= 1, A - B <= 1, A >= 0, 2 * A - B <= 3]


@pytest.mark.parametrize(
    ("statement", "told", "expected"),
    [
        (A + B <= 1, {"threshold": 0.3}, "threshold=0.3: no label is in"),
        (Implies(GIVEN > 1, A <= 1), {"threshold": 0.3}, "threshold=0.3: no label"),
        (A + B <= 1, {"margin": 0.3}, "margin=0.3: no strict condition"),
        (Eq(A + B, 1), {"margin": 0.0}, "margin=0.0: no strict condition"),
        (Implies(GIVEN > 1, A <= 1), {"margin": 0.3}, "margin=0.3: no strict condition"),
        (Or(A, B), {"margin": 0.3}, "margin=0.3: no strict condition on outputs, and no label that must not hold"),
        (Implies(A, B), {"fallback": Raise()}, "fallback=Raise: it is a hierarchy"),
        (Implies(A, B), {"units": {A: meter}}, "units={a: meter}: it is a hierarchy"),
        (Implies(A, B), {"parameters": LEARNT}, "`parameters` that have a use, got k"),
        (A <= 1, {"fallback": Raise()}, "fallback=Raise: every sample has a point"),
        (Eq(A + B, 1), {"fallback": BestEffort()}, "fallback=BestEffort: every sample has a point"),
        (A * B <= 1, {"fallback": Raise()}, "fallback=Raise: no map onto the rule is known"),
        (A + B <= 1, {"parameters": LEARNT}, "`parameters` that have a use, got k, of which the statement"),
        (A + B <= 1, {"units": {A: meter, B: meter, sympy.Symbol("w"): meter}}, "`units` that have a use, got w"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else str(one),
)
def test_arguments_without_a_use_are_refused(statement, told, expected):
    with pytest.raises(SpecificationError, match=expected):
        declare(statement, outputs=LABELS, inputs={GIVEN: 0}, **told)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (A + B < 1, {"margin": 0.3}),
        (Or(A, B), {"threshold": 0.3}),
        (Not(A), {"margin": 0.3, "threshold": 0.7}),
        (A + B <= GIVEN, {"fallback": Raise()}),
        (ROWS, {"fallback": Raise()}),
        (Or(And(*ROWS), A >= 4), {"fallback": Raise()}),
        (A**4 + B**2 <= 3, {"fallback": Raise()}),
        (Eq(A**2, B), {"fallback": Raise()}),
        (A <= B, {"units": {A: meter, B: meter, C: second}}),  # one account of units for all outputs
        (Implies(A, B), {"units": {}}),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else str(one),
)
def test_arguments_with_a_use_are_taken(statement, told):
    declare(statement, outputs=LABELS, inputs={GIVEN: 0}, **told)


def test_a_threshold_or_a_margin_makes_labels_of_a_hierarchy():
    rule = declare(Implies(A, B), outputs=LABELS, threshold=0.7)
    assert rule.explain().kind.startswith("disjunction")
    y = torch.tensor([[0.6, 0.1, 0.0], [0.9, 0.6, 0.0]])
    answer = rule.enforce(y)
    assert torch.equal(answer[0], y[0]) and (answer[1, 0] < 0.7 or answer[1, 1] >= 0.7)
    low = declare(Implies(A, B), outputs=LABELS, margin=0.2).enforce(torch.tensor([[0.55, -9.0, 0.0]]))
    assert float(low[0, 0]) == pytest.approx(0.3)
    many = sympy.symbols("l:14")
    with pytest.raises(SpecificationError, match="needs no threshold and no margin: as a hierarchy"):
        declare([Implies(one, other) for one, other in pairwise(many)], outputs=many, threshold=0.7)
