"""Weights of points, against hand computations; what they refuse; the squares that they weigh."""

import copy
import io
import itertools
import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constraints import (
    Bounds,
    FieldRule,
    Measurements,
    ShapeError,
    Soft,
    SpecificationError,
    UnsupportedError,
    absolute,
    declare,
)
from constraints.embeddings import Causal, Emphasis, ResidualAttention, SelfAdaptive, causal_weights
from constraints.sets import Box
from constraints.testing import check_embedding

DTYPES = [torch.float32, torch.float64]
T = sympy.Symbol("t")
U = sympy.Function("u")(T)
POINTS = torch.tensor([[0.0], [0.1], [0.45], [0.6], [1.0]], dtype=torch.float64)


def decay(**options):
    return declare(sympy.Eq(U.diff(T), -U), fields=[U], domain={T: (0, 1)}, **{"draws": 0, **options})


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).to(dtype)


def residuals(net, points):
    """u' + u by ordinary autograd."""
    points = points.clone().requires_grad_()
    u = net(points)
    return (torch.autograd.grad(u.sum(), points)[0] + u).detach().flatten()


def stepped(emphasis, losses, points, steps=1):
    for _ in range(steps):
        emphasis.advance()
        found = emphasis.weigh(losses, losses.sqrt(), points)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_attention_moves_as_its_paper_says(dtype):
    """Over steps in which the model changes, in numpy beside it."""
    net, points = network(dtype), POINTS.to(dtype)
    soft = Soft(decay(), weight=3.0, emphasis=ResidualAttention(rate=0.1, decay=0.9))
    multiplier = np.zeros(5)
    for _ in range(4):
        soft.advance()
        penalty = soft.penalty(net, points, net(points))
        size = residuals(net, points).abs().double().numpy()
        multiplier = 0.9 * multiplier + 0.1 * size / size.max()
        assert float(penalty) == pytest.approx(3.0 * np.mean((multiplier * size) ** 2), rel=1e-4)
        with torch.no_grad():
            net[0].weight.mul_(1.3)
    torch.testing.assert_close(soft.emphasis.multiplier, torch.from_numpy(multiplier).to(dtype), rtol=1e-4, atol=1e-5)
    assert soft.emphasis.multiplier.dtype == dtype


@given(st.floats(0.001, 1.0), st.floats(0.0, 0.99), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_attention_is_bounded(rate, decay, steps):
    attention = ResidualAttention(rate=rate, decay=decay)
    losses = torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64)
    stepped(attention, losses, torch.zeros(3, 1), steps)
    bound = rate / (1.0 - decay)
    wanted = bound * (1.0 - decay**steps) * torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    torch.testing.assert_close(attention.multiplier, wanted)
    assert float(attention.multiplier.max()) <= bound * (1.0 + 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_self_adaptive_weights_ascend_the_gradient(dtype, power):
    """The slope of the loss by the multipliers, by autograd, times the number of points."""
    emphasis = SelfAdaptive(rate=0.2, power=power, start=0.7)
    multiplier = torch.full((3,), 0.7, dtype=dtype, requires_grad=True)
    for losses in torch.tensor([[1.0, 0.0, 2.0], [0.5, 0.1, 3.0]], dtype=dtype):
        (slope,) = torch.autograd.grad((multiplier**power * losses).mean(), multiplier)
        multiplier = (multiplier + 0.2 * 3 * slope).detach().requires_grad_()
        found = stepped(emphasis, losses, torch.zeros(3, 1))
        torch.testing.assert_close(found, (multiplier**power).detach())


@pytest.mark.parametrize("dtype", DTYPES)
def test_causal_weights_by_hand(dtype):
    losses = torch.tensor([0.2, 0.4, 1.0, 0.5, 2.0], dtype=dtype)
    points = torch.cat([torch.rand(5, 1), POINTS], dim=1).to(dtype)  # windows [0, 0.5) and [0.5, 1]
    causal = Causal(time=1, windows=2, rates=[2.0], threshold=0.5)
    late = math.exp(-2.0 * (0.2 + 0.4 + 1.0) / 3)
    wanted = torch.tensor([1.0, 1.0, 1.0, late, late], dtype=dtype)
    torch.testing.assert_close(causal.weigh(losses, losses, points), wanted)
    # four windows, of which the second (0.25 to 0.5) has one point, and the last one
    four = Causal(time=-1, windows=4, rates=[1.0])
    sums = [0.0, 0.0, 0.3, 1.3, 1.8]
    torch.testing.assert_close(four.weigh(losses, losses, points), torch.tensor(sums, dtype=dtype).neg().exp())


def test_causal_rate_is_annealed_when_the_last_window_counts():
    causal, points = Causal(time=0, windows=2, rates=[0.01, 1.0], threshold=0.9), POINTS
    wrong, right = torch.full((5,), 100.0, dtype=torch.float64), torch.full((5,), 0.5, dtype=torch.float64)
    assert float(stepped(causal, wrong, points)[-1]) == pytest.approx(math.exp(-1.0))
    assert int(causal.stage) == 0
    assert float(stepped(causal, right, points)[-1]) == pytest.approx(math.exp(-0.005))
    assert int(causal.stage) == 1
    assert float(stepped(causal, right, points)[-1]) == pytest.approx(math.exp(-0.5))
    stepped(causal, 0.0 * right, points)
    assert int(causal.stage) == 1, "the last rate stays"


@pytest.mark.parametrize("start", [-3.0, 0.0, 7.0])
@pytest.mark.parametrize("column", [1, -1])
def test_windows_are_parts_of_the_time_that_the_points_span(start, column):
    points = torch.stack([torch.zeros(5), start + torch.tensor([0.0, 0.4, 0.6, 1.5, 2.0])], dim=-1)
    loss = torch.tensor([0.1, 0.3, 0.2, 5.0, 1.0])
    weights = Causal(time=column, windows=4, rates=[1.0]).weigh(loss, loss, points)
    earlier = torch.tensor([0.0, 0.0, 0.2, 0.4, 0.4])  # windows 0, 0, 1, 3, 3: the third is empty
    torch.testing.assert_close(weights, torch.exp(-earlier))


def test_one_time_alone_is_weighed_alike():
    losses = torch.tensor([1.0, 2.0])
    assert Causal(time=0).weigh(losses, losses, torch.ones(2, 1)).tolist() == [1.0, 1.0]
    assert causal_weights(torch.zeros(3), 5.0).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "emphasis",
    [ResidualAttention(start=1.0), SelfAdaptive(), Causal(time=0, windows=3)],
    ids=lambda e: type(e).__name__,
)
def test_weights_are_fixed_within_a_step_and_carry_no_gradient(emphasis):
    net, points = network(), POINTS
    soft = Soft(decay(), emphasis=emphasis)
    seen = []
    for step in range(3):
        soft.advance()
        for ask in range(3):
            penalty = soft.penalty(net, points, net(points))
            seen.append(soft.emphasis.weights.clone())
            size = residuals(net, points)
            assert float(penalty) == pytest.approx(float((seen[-1] * size.square()).mean()))
            with torch.no_grad():
                net[0].weight.mul_(1.0 + 0.1 * (step + ask))
        assert torch.equal(seen[-1], seen[-3])
    assert not torch.equal(seen[0], seen[3]) and not torch.equal(seen[3], seen[6])
    assert not soft.emphasis.weights.requires_grad and not list(emphasis.parameters())


def test_weights_act_in_training_only():
    net, points = network(), POINTS
    plain, soft = Soft(decay()), Soft(decay(), emphasis=ResidualAttention())
    soft.eval()
    other = torch.rand(3, 1, dtype=torch.float64)
    assert float(soft.penalty(net, other, net(other))) == float(plain.penalty(net, other, net(other)))
    assert soft.squares(net, points).rows.shape == (5, 1)
    assert soft.emphasis.multiplier.numel() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_squares_are_the_weighted_penalty(dtype):
    net, points = network(dtype), POINTS.to(dtype)
    for rule, inputs in ((decay(), points), (Bounds(low=0.5), points)):
        soft = Soft(rule, weight=2.0, emphasis=ResidualAttention(start=1.0))
        first = soft.squares(net, inputs)  # moves the weights itself, where nobody has asked for the penalty
        penalty = soft.penalty(net, inputs, net(inputs))
        torch.testing.assert_close(first.loss(), penalty)
        torch.testing.assert_close(soft.squares(net, inputs).loss(), penalty)
        soft.emphasis.multiplier = torch.zeros_like(soft.emphasis.multiplier)
        assert float(soft.squares(net, inputs).loss()) == 0.0
    assert Soft(decay(), measure=absolute, emphasis=SelfAdaptive()).squares(net, points) is None


@pytest.mark.parametrize(
    "make", [ResidualAttention, SelfAdaptive, lambda: Causal(time=0)], ids=["attention", "adaptive", "causal"]
)
def test_laws_and_state(make):
    points = torch.rand(8, 1, generator=torch.Generator().manual_seed(0))
    check_embedding(Soft(Bounds(low=0.5), emphasis=make()), network(torch.float32), points)
    losses = torch.rand(5, dtype=torch.float64) + 0.5
    one = make()
    stepped(one, losses, POINTS, 3)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other = make()
    other.load_state_dict(torch.load(file, weights_only=True))
    copied = copy.deepcopy(one)
    assert torch.equal(stepped(one, losses, POINTS), stepped(other, losses, POINTS))
    assert torch.equal(stepped(copied, losses, POINTS), one.weights)
    with pytest.raises(SpecificationError, match="same points"):
        stepped(other, losses, POINTS.flip(0))


def test_other_points_are_refused():
    emphasis, losses = SelfAdaptive(), torch.ones(5, dtype=torch.float64)
    stepped(emphasis, losses, POINTS)
    with pytest.raises(SpecificationError, match="`SelfAdaptive` needs the same points at each step, got 4 after 5"):
        emphasis.weigh(losses[:4], losses[:4], POINTS[:4])
    with pytest.raises(SpecificationError, match="in the same order, got others"):
        stepped(emphasis, losses, POINTS.flip(0))
    with pytest.raises(ShapeError, match="one point for each value"):
        emphasis.weigh(losses, losses, POINTS[:, None])


class Drawn(FieldRule):
    def __init__(self):
        super().__init__(Box(low=0.0))

    def points(self, x):
        return torch.rand(7, 1)

    def quantity(self, field, points):
        return field(points)


def test_rules_that_draw_are_refused():
    with pytest.raises(SpecificationError, match="`draws=0` for `Causal`, which knows points again, got draws=1"):
        Soft(decay(draws=1), emphasis=Causal(time=0))
    soft, x = Soft(Drawn(), emphasis=ResidualAttention()), torch.zeros(7, 1)
    net = network(torch.float32)
    soft.penalty(net, x, net(x))
    soft.advance()
    with pytest.raises(SpecificationError, match="in the same order, got others"):
        soft.penalty(net, x, net(x))
    seen = Soft(Measurements(POINTS, POINTS), emphasis=SelfAdaptive())
    with pytest.raises(ShapeError, match="one point for each value"):
        seen.penalty(network(), POINTS, POINTS)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(UnsupportedError, match="`SelfAdaptive` needs one process, got 2"):
        stepped(SelfAdaptive(), torch.ones(5), POINTS)


def test_inputs_of_any_shape_are_points():
    y = torch.tensor([[-2.0], [-4.0]])
    for x in (torch.zeros(2), torch.zeros(2, 3), torch.zeros(2, 3, 4)):
        soft = Soft(Bounds(low=0.0), emphasis=SelfAdaptive(rate=0.5))
        assert float(soft.penalty(nn.Identity(), x, y)) == pytest.approx((3 * 4 + 9 * 16) / 2)
        assert soft.emphasis.points.shape == (2, max(1, x[0].numel()))


def test_what_is_not_finite_or_zero_moves_nothing():
    attention, adaptive = ResidualAttention(start=1.0), SelfAdaptive()
    for emphasis, broken in itertools.product((attention, adaptive), (math.nan, math.inf)):
        before = stepped(emphasis, torch.ones(5), POINTS)
        stepped(emphasis, torch.tensor([1.0, 1.0, broken, 1.0, 1.0]), POINTS)
        assert emphasis.weights.isfinite().all() and float(emphasis.weights[2]) == float(before[2])
    still = ResidualAttention(decay=0.5, start=1.0)
    assert stepped(still, torch.zeros(5), POINTS).tolist() == [0.25] * 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResidualAttention(rate=0.0), "rate > 0 and decay in"),
        (lambda: ResidualAttention(decay=1.0), "rate > 0 and decay in"),
        (lambda: ResidualAttention(start=-1.0), "finite start >= 0, got -1"),
        (lambda: SelfAdaptive(rate=math.inf), "finite rate and power > 0"),
        (lambda: SelfAdaptive(power=2.0, start=0.0), "start > 0 where power is not 1"),
        (lambda: Causal(time=0, windows=0), "windows >= 1 and threshold"),
        (lambda: Causal(time=0, threshold=1.0), "windows >= 1 and threshold"),
        (lambda: Causal(time=0, rates=[]), "rates > 0 that increase, got"),
        (lambda: Causal(time=0, rates=[1.0, 1.0]), "rates > 0 that increase, got"),
        (lambda: Causal(time=0, rates=[1.0, math.inf]), "rates > 0 that increase, got"),
        (lambda: stepped(Causal(time=1), torch.ones(5), POINTS), "a column of 1 for time, got time=1"),
        (lambda: Soft(Bounds(low=0.0), emphasis=torch.ones(3)), "an Emphasis or None, got Tensor"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(SpecificationError, match=message):
        make()


def test_settings_name_the_emphasis():
    assert Soft(Bounds(low=0.0)).settings() == {"weight": 1.0, "measure": "squared"}
    assert "rate=0.01" in Soft(Bounds(low=0.0), emphasis=SelfAdaptive()).settings()["emphasis"]
    assert "rates=[0.01" in repr(Causal(time=0)) and isinstance(Causal(time=0), Emphasis)


@pytest.mark.parametrize("start", [math.inf, math.nan, -1.0])
def test_a_start_is_finite_and_not_negative(start):
    with pytest.raises(SpecificationError, match=f"`ResidualAttention` needs a finite start >= 0, got {start}"):
        ResidualAttention(start=start)


@pytest.mark.parametrize(
    "numbers", [{name: value} for name in ("rate", "power") for value in (0.0, math.inf, math.nan)]
)
def test_rates_and_powers_are_finite_and_positive(numbers):
    with pytest.raises(SpecificationError, match="`SelfAdaptive` needs"):
        SelfAdaptive(**numbers)
