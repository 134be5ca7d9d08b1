"""Each scheme moves as its paper says, against hand computations; what is 0, and what is refused."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import Bounds, Soft, SpecificationError, UnsupportedError
from dkmodels import RegressionModule
from dkmodels.balance import (
    GradientNorm,
    LearningRateAnnealing,
    NeuralTangentKernel,
    ReLoBRaLo,
    SoftAdapt,
    Term,
    equal_shares,
    relative_weights,
    soft_weights,
)
from dkmodels.optim import kernel_trace, normal_equations
from tests.dkmodels.balance.terms import Linear

DTYPES = [torch.float32, torch.float64]
SCHEMES = {
    "norm": GradientNorm,
    "annealing": lambda: LearningRateAnnealing("equation"),
    "kernel": NeuralTangentKernel,
    "relobralo": ReLoBRaLo,
    "soft": SoftAdapt,
}


def close(found, wanted, dtype):
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(found, torch.as_tensor(wanted, dtype=torch.float64), **tolerance)


def moved(balance, problem, steps, check):
    """Weights after each of some steps, beside what a hand computation gives."""
    for _ in range(steps):
        balance.advance(0)
        found = balance.weigh(problem.terms(), problem.layer)
        assert all(w.dtype == problem.layer.weight.dtype and not w.requires_grad for w in found.values())
        close(balance.weights, check(), problem.layer.weight.dtype)
        problem.descend()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_norms(dtype):
    problem, weights = Linear(dtype), np.ones(3)

    def check():
        nonlocal weights
        norms = problem.gradients().norm(dim=1).numpy()
        weights = 0.7 * weights + 0.3 * norms.sum() / norms
        return weights

    moved(GradientNorm(decay=0.7), problem, 4, check)


def test_weighted_gradients_are_equally_long():
    problem, balance = Linear(), GradientNorm(decay=0.0)
    balance.weigh(problem.terms(), problem.layer)
    lengths = balance.weights * problem.gradients().norm(dim=1)
    torch.testing.assert_close(lengths, lengths[0].expand(3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_learning_rate_annealing(dtype):
    problem, weights = Linear(dtype), np.ones(3)

    def check():
        nonlocal weights
        sizes = problem.gradients().abs().numpy()
        wanted = sizes[1].max() / sizes.mean(axis=1)
        weights = np.where([True, False, True], 0.6 * weights + 0.4 * wanted, 1.0)
        return weights

    moved(LearningRateAnnealing("equation", decay=0.6), problem, 4, check)


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernel_traces_of_a_linear_model(dtype):
    """The kernel of `A w - b` is `A A'`."""
    problem, weights = Linear(dtype), np.ones(3)

    def check():
        nonlocal weights
        traces = np.array([float((a.double() @ a.double().mT).trace()) / len(a) for a, _ in problem.parts])
        weights = 0.5 * weights + 0.5 * traces.sum() / traces
        return weights

    moved(NeuralTangentKernel(decay=0.5, chunk=4), problem, 3, check)


@pytest.mark.parametrize("dtype", DTYPES)
def test_kernel_traces_of_a_network_in_a_module(dtype):
    """By torch.autograd.functional.jacobian of task and rule; weights of embeddings count."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    x, target = torch.rand(7, 2, dtype=dtype), torch.rand(7, 2, dtype=dtype)
    balance = NeuralTangentKernel(decay=0.0)
    module = RegressionModule(network, {"low": Soft(Bounds(low=0.9), weight=2.0)}, balance=balance)
    names, values = zip(*network.named_parameters(), strict=True)

    def residuals(*parameters):
        y = torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), x)
        return (y - target).flatten() / 14**0.5, (0.9 - y).clamp(min=0.0).flatten() * (2.0 / 7) ** 0.5

    jacobians = torch.autograd.functional.jacobian(residuals, values)
    traces = torch.stack([torch.cat([j.flatten(1) for j in one], dim=1).double().square().sum() for one in jacobians])
    module.training_step((x, target), 0)
    close(balance.weights, traces.sum() / traces, dtype)
    parameters = list(network.parameters())
    terms = module.squares((x, target))
    torch.testing.assert_close(
        kernel_trace(module, parameters, terms, chunk=3), normal_equations(module, parameters, terms).matrix.trace()
    )


def soft(exponents):
    shifted = np.exp(exponents - exponents.max())
    return len(exponents) * shifted / shifted.sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lookback", [0.0, 0.5, 1.0])
def test_relobralo(dtype, lookback):
    problem, weights, seen = Linear(dtype), np.ones(3), []
    torch.manual_seed(5)
    keeps = [float(torch.rand(())) < lookback for _ in range(6)]
    torch.manual_seed(5)

    def check():
        nonlocal weights
        seen.append(problem.losses().numpy())
        since = soft(seen[-1] / (0.5 * seen[0]))
        step = soft(seen[-1] / (0.5 * seen[max(len(seen) - 2, 0)]))
        old = weights if keeps[len(seen) - 1] else since
        weights = 0.8 * old + 0.2 * step
        return weights

    moved(ReLoBRaLo(decay=0.8, temperature=0.5, lookback=lookback), problem, 6, check)
    assert lookback != 0.5 or len(set(keeps)) == 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_soft_adapt(dtype, normalised, weighted):
    problem, weights, seen = Linear(dtype), np.ones(3), []

    def check():
        nonlocal weights
        seen.append(problem.losses().numpy())
        rates = seen[-1] - seen[max(len(seen) - 2, 0)]
        if normalised and np.abs(rates).sum() > 0:
            rates = rates / np.abs(rates).sum()
        wanted = np.exp(2.0 * rates) * (seen[-1] if weighted else 1.0)
        weights = 0.3 * weights + 0.7 * 3 * wanted / wanted.sum()
        return weights

    moved(SoftAdapt(decay=0.3, beta=2.0, normalised=normalised, weighted=weighted), problem, 4, check)


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=5), st.integers(0, 4))
@settings(max_examples=50, deadline=None)
def test_formulas_give_finite_weights_of_positive_sizes(sizes, dead):
    """Over all of float64; one that is 0 keeps what it had, or takes no part."""
    sizes = torch.tensor(sizes, dtype=torch.float64)
    shares = relative_weights(sizes, sizes.flip(0), 0.1)
    assert float(shares.sum()) == pytest.approx(len(sizes))
    rates = soft_weights(sizes, sizes - sizes.flip(0), 0.1, normalised=True, weighted=True)
    assert float(rates.sum()) == pytest.approx(len(sizes))
    sizes = sizes.clamp(1e-100, 1e100)
    even = equal_shares(sizes, torch.ones_like(sizes)) * sizes
    torch.testing.assert_close(even, sizes.sum().expand_as(sizes))
    sizes[dead % len(sizes)] = 0.0
    assert float(equal_shares(sizes, torch.full_like(sizes, 7.0))[dead % len(sizes)]) == 7.0
    assert relative_weights(sizes, sizes, 0.1)[dead % len(sizes)] == math.inf


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
@pytest.mark.parametrize("dtype", DTYPES)
def test_terms_that_are_zero_keep_their_weight(scheme, dtype):
    """Without a graph; with one, but gradient 0; all of them. Others move on."""
    problem, balance = Linear(dtype), scheme()
    zero = torch.zeros((), dtype=dtype)
    flat = 0.0 * problem.layer.weight.sum()
    for step in range(4):
        balance.advance(0)
        terms = {**problem.terms(), "none": Term(zero, list), "flat": Term(flat, list)}
        found = balance.weigh(terms, problem.layer)
        assert all(math.isfinite(float(w)) for w in found.values())
        assert float(found["none"]) == float(found["flat"]) == 1.0
        problem.descend()
        assert step == 0 or float(found["walls"]) != 1.0
    empty = scheme()
    names = ("task", "equation")
    for _ in range(2):
        empty.advance(0)
        empty.weigh({name: Term(zero, list) for name in names}, problem.layer)
    assert empty.weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
def test_losses_that_are_not_finite_move_no_weight(scheme):
    problem, balance = Linear(), scheme()
    for step in range(3):
        balance.advance(0)
        terms = problem.terms()
        if step == 2:
            before = balance.weights
            terms["walls"] = Term(terms["walls"].loss * math.nan, list)
        balance.weigh(terms, problem.layer)
        problem.descend()
    assert balance.weights.isfinite().all() and balance.weights[2] == before[2]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
def test_state_goes_on(scheme):
    problem, balance, restored = Linear(), scheme(), scheme()
    for _ in range(3):
        balance.advance(0)
        balance.weigh(problem.terms(), problem.layer)
        problem.descend()
    file = io.BytesIO()
    torch.save(balance.state_dict(), file)
    file.seek(0)
    restored.bind(balance.names)
    restored.load_state_dict(torch.load(file, weights_only=True))
    copied = copy.deepcopy(balance)
    for one in (balance, restored, copied):
        torch.manual_seed(1)
        one.advance(0)
        one.weigh(problem.terms(), problem.layer)
    assert torch.equal(balance.weights, restored.weights) and torch.equal(balance.weights, copied.weights)
    assert f"every={balance.every}" in repr(balance)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=list(SCHEMES))
def test_weights_move_every_so_many_steps_and_once_a_step(scheme):
    problem, balance = Linear(), scheme()
    balance.every = 3
    changes = []
    for step in range(8):
        balance.advance(step)
        before = balance.weights
        for _ in range(3):
            balance.weigh(problem.terms(), problem.layer)
            problem.descend()
            if len(changes) < step + 1:
                changes.append(balance.weights is not before)
                after = balance.weights
        assert balance.weights is after
    assert changes == [True, False, False, True, False, False, True, False]


def test_processes_average_what_they_see(monkeypatch):
    """As if another one had seen nothing: half of each norm, the same weights; half of each loss."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor: tensor)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    problem, norms, losses = Linear(), GradientNorm(decay=0.0), ReLoBRaLo()
    norms.weigh(problem.terms(), problem.layer)
    sizes = problem.gradients().norm(dim=1)
    torch.testing.assert_close(norms.weights, sizes.sum() / sizes)
    losses.weigh(problem.terms(), problem.layer)
    torch.testing.assert_close(losses.previous, problem.losses() / 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientNorm(every=0), "`GradientNorm` needs every >= 1, got 0"),
        (lambda: GradientNorm(decay=1.0), r"decay in \[0, 1\), got 1.0"),
        (lambda: LearningRateAnnealing("equation", decay=-0.1), "`LearningRateAnnealing` needs decay"),
        (lambda: LearningRateAnnealing("heat").bind(["task", "walls"]), r"among the terms \['task', 'walls'\], got 'h"),
        (lambda: NeuralTangentKernel(chunk=0), "chunk >= 1, got 0"),
        (lambda: ReLoBRaLo(temperature=0.0), "temperature > 0 and lookback"),
        (lambda: ReLoBRaLo(lookback=1.5), "temperature > 0 and lookback"),
        (lambda: SoftAdapt(beta=math.inf), "finite beta, got inf"),
        (lambda: SoftAdapt().bind([]), "distinct terms, at least one"),
        (lambda: SoftAdapt().bind(["a", "a"]), "distinct terms, at least one"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(SpecificationError, match=message):
        make()


def test_other_terms_and_terms_without_squares_are_refused():
    problem, balance = Linear(), GradientNorm()
    balance.weigh(problem.terms(), problem.layer)
    with pytest.raises(SpecificationError, match=r"weighs \['task', 'equation', 'walls'\], got \['task'\]"):
        balance.weigh({"task": problem.terms()["task"]}, problem.layer)
    with pytest.raises(UnsupportedError, match="term `task` as sums of squares"):
        NeuralTangentKernel().weigh({"task": Term(problem.terms()["task"].loss)}, problem.layer)
