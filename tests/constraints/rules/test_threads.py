"""Every rule serves several threads at once: what it measures, enforces and decodes is what one call gives."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sympy
import torch
from torch import nn

from constraints import (
    AllowedClasses,
    Balance,
    Bounds,
    Budget,
    Capacity,
    Census,
    ConvexIn,
    Equivariance,
    FixedSum,
    GroupBalance,
    Hard,
    Hierarchy,
    Implication,
    Invariance,
    LinearEquality,
    LinearInequality,
    LinearSystem,
    LipschitzIn,
    MonotoneIn,
    Ordering,
    OutputRule,
    Polytope,
    RateLimit,
    Rule,
    Soft,
    declare,
    join,
)
from constraints.networks import column_shifts
from constraints.rules import Measurements
from tests.constraints.rules.transitions import Countdown

THREADS = 8
A, B, C, R, T, X, Y = sympy.symbols("a b c r t x y")
U = sympy.Function("u")(X, Y)
SPEAKS = {"outputs": {A: 0, B: 1, C: 2}, "inputs": {R: 0, T: 1}}


class Flow(LinearSystem):
    def __init__(self):
        super().__init__(1, 3)

    def system(self, x):
        return x[..., None, :1].expand(*x.shape[:-1], 1, 3), -torch.ones_like(x[..., :1]), 1.0 + x[..., 1:2]


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, outputs)).double()


INPUTS, VECTORS, CELLS = draw(6, 2, seed=1).abs() + 0.1, draw(6, 3), draw(6, 6, 4)
SEEN = torch.randint(0, 4, (6, 1), generator=torch.Generator().manual_seed(3)).expand(6, 3)
ON_VECTORS = {
    "sum": FixedSum(),
    "bounds": Bounds(low=0.0, high=[0.5, 1.0, 2.0]),
    "equality": LinearEquality([[1.0, 2.0, 3.0]], [1.0]),
    "inequality": LinearInequality([[1.0, 2.0, 3.0], [1.0, -1.0, 0.0]], high=[1.0, 0.2]),
    "system": Flow(),
    "balance": Balance(into=[0, 1], weights=[1.0, 1.0, 2.0]),
    "budget": Budget([1.0, 2.0, 1.0], column=0),
    "capacity": Capacity(columns=[0, 1, 0]),
    "rate": RateLimit(3, 0.5, previous=1),
    "ordering": Ordering(gap=0.1),
    "hierarchy": Hierarchy([(0, 1), (1, 2)]),
    "implication": Implication(Polytope([[1.0, 0.0, 0.0]], low=[0.5]), Polytope([[0.0, 1.0, 0.0]], low=[0.7])),
    "declared sum": declare(sympy.Eq(A + B + C, R), **SPEAKS),
    "declared rows": declare([R * A + B <= T, A - B <= 1], **SPEAKS),
    "declared convex": declare(sympy.exp(A) + B**2 <= R**2 + 2, **SPEAKS),
    "declared surface": declare(sympy.Eq(A**2 + 3 * B**2, R**2 + 1), **SPEAKS),
    "declared union": declare(sympy.Or(A + B <= R, B >= T), **SPEAKS),
    "conjunction": join(
        nn.Identity(),
        {"a": Hard(declare(sympy.Or(A + B <= R, B >= T), **SPEAKS)), "b": Hard(declare(B + C <= R, **SPEAKS))},
        outputs=3,
    ).rules()[0],
    "declared formula": declare(A * B <= R, **SPEAKS),
    "joint": join(
        nn.Identity(), {"a": Hard(Balance(into=[0], weights=[1.0, 1.0, 2.0])), "b": Hard(Flow())}, outputs=3
    ).rules()[0],
    "intersection": join(
        nn.Identity(), {"a": Hard(declare(A**2 + B**2 + C**2 <= 2, **SPEAKS)), "b": Hard(Bounds(low=-0.5))}, outputs=3
    ).rules()[0],
}
CASES = {
    **{name: (rule, nn.Identity(), INPUTS, VECTORS) for name, rule in ON_VECTORS.items()},
    "groups": (GroupBalance("(h a) (w b) -> h w", a=2, b=2), nn.Identity(), draw(6, 2, 2), draw(6, 4, 4)),
    "classes": (AllowedClasses(draw(6, 4, seed=4) > -1.0), nn.Identity(), CELLS, CELLS),
    "census": (Census.exactly_one(of=[1], classes=4), nn.Identity(), CELLS, CELLS),
    "transition": (Countdown(), nn.Identity(), SEEN, draw(6, 3, 4)),
    "monotone": (MonotoneIn([0]), network(), INPUTS, VECTORS),
    "lipschitz": (LipschitzIn(0.2, [0, 1]), network(), INPUTS, VECTORS),
    "invariance": (Invariance(column_shifts(2)), network(), INPUTS, VECTORS),
    "equivariance": (Equivariance(column_shifts(2)), network(2), INPUTS, VECTORS),
    "equation": (declare(sympy.Eq(U.diff(X, 2) + U.diff(Y), U**2), fields=[U]), network(1), INPUTS, VECTORS),
    "condition": (declare(sympy.Eq(U.diff(X).subs(X, 0), 1), fields=[U]), network(1), INPUTS, VECTORS),
}


def answers(rule, model, x, y):
    """What a rule gives for each sample."""
    found = [rule.measure(model, x, y).detach()]
    possible = rule.explain().embeddings
    if isinstance(rule, OutputRule) and rule.enforceable:
        found.append(rule.enforce(y, x).detach())
    if isinstance(rule, OutputRule) and rule.squashable:
        found.append(rule.squash(y, x).detach())
    if isinstance(rule, OutputRule) and "Decode" in possible and not rule.sequential:
        found.append(rule.decode(y, x).detach())
    if y.is_floating_point() and not rule.sequential:
        given = y.clone().requires_grad_()
        Soft(rule).penalty(model, x, given)
    return found


@pytest.mark.parametrize("name", CASES)
def test_threads_give_what_one_call_gives(name):
    rule, model, x, y = CASES[name]
    x, y = (x[:2], y[:2]) if name == "declared surface" else (x, y)  # Newton's method is slow
    alone = answers(rule, model, x, y)

    def call(shift):
        with torch.inference_mode(shift % 2 == 1):
            moved = answers(rule, model, x.roll(shift, dims=0), y.roll(shift, dims=0))
            return [part.roll(-shift, dims=0) for part in moved]

    with ThreadPoolExecutor(THREADS) as pool:
        for together in pool.map(call, range(THREADS + 1)):
            for one, other in zip(together, alone, strict=True):
                torch.testing.assert_close(one.clone(), other)


def test_drawn_chords_and_measurements_serve_threads():
    """Chords are drawn anew each time: those of a plane are its own, whatever is drawn."""
    plane, x = nn.Linear(2, 3).double(), INPUTS
    rules = [ConvexIn([0, 1]), Measurements(torch.zeros(4, 2).double(), torch.ones(4, 3).double())]
    with ThreadPoolExecutor(THREADS) as pool:
        for one in pool.map(lambda i: rules[i % 2].measure(plane, x, VECTORS), range(4 * THREADS)):
            assert bool(one.isfinite().all())
        assert all(
            float(one.detach().max()) == 0.0 for one in pool.map(lambda i: rules[0].measure(plane, x, x), range(16))
        )


def test_every_kind_of_rule_is_here():
    def final(kind):
        return [kind] if not kind.__subclasses__() else [leaf for sub in kind.__subclasses__() for leaf in final(sub)]

    def name(kind):  # a study that reads its modules anew leaves other classes of the same name
        return f"{kind.__module__}.{kind.__qualname__}"

    own = {name(kind) for kind in final(Rule) if kind.__module__.split(".")[0] == "constraints"}
    tried = {name(type(rule)) for rule, *_ in CASES.values()} | {name(ConvexIn), name(Measurements)}
    assert own <= tried, own - tried
