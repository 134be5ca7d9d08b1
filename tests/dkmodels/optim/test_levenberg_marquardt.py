"""Normal equations against whole Jacobians, Levenberg and Marquardt's method against scipy's, and in a Trainer."""

import copy
from itertools import count, pairwise

import numpy as np
import pytest
import scipy.optimize
import sympy
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from constraints import (
    AugmentedLagrangian,
    Bounds,
    Hard,
    Learnable,
    Measurements,
    NonFiniteError,
    Soft,
    SpecificationError,
    Squares,
    UnsupportedError,
    absolute,
    declare,
)
from dkmodels import FieldModule, KnowledgeModule, RegressionModule
from dkmodels.optim import LevenbergMarquardt, normal_equations
from tests.dkmodels.optim.problems import closure_of

X, T, NU = sympy.symbols("x t nu")
NAME = sympy.Function("u")
U = NAME(X, T)
BOX = {X: (-1, 1), T: (0, 1)}


def network(inputs, outputs=1, width=6, dtype=torch.float64):
    torch.manual_seed(0)
    layers = [nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)]
    return nn.Sequential(*layers).to(dtype)


def burgers(dtype=torch.float64, **settings):
    """With a learnt viscosity, hard conditions, and sensors."""
    told = {"fields": [U], "domain": BOX}
    equation = declare(
        sympy.Eq(U.diff(T) + U * U.diff(X), NU * U.diff(X, 2)),
        parameters={NU: Learnable(initial=0.1, low=0)},
        draws=0,
        **told,
    )
    equation.raw["nu"] = nn.Parameter(equation.raw["nu"].to(dtype))  # else its slopes are those of float32
    walls = declare([sympy.Eq(NAME(-1, T), 0), sympy.Eq(NAME(1, T), 0)], **told)
    torch.manual_seed(1)
    points = torch.rand(7, 2, dtype=dtype)
    seen = Measurements(points[:5], torch.sin(points[:5, :1]), deviation=0.5)
    rules = {"equation": Soft(equation, weight=0.3), "walls": Hard(walls), "seen": Soft(seen, weight=0.2)}
    return FieldModule(network(2, dtype=dtype), rules, **settings), points


def assembled(module, terms):
    """All residuals, weighted, and their Jacobian, by ordinary autograd."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    residual = torch.cat([term.weight**0.5 * term.residual(term.rows).flatten() for term in terms])
    rows = [torch.autograd.grad(r, parameters, retain_graph=True, allow_unused=True) for r in residual]
    filled = [
        torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, row, strict=True)])
        for row in rows
    ]
    return residual.detach(), torch.stack(filled)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("chunk", [3, 100])
def test_normal_equations_are_those_of_the_whole_jacobian(dtype, chunk):
    """Through jets and hard conditions, with a learnt coefficient, of several terms."""
    module, points = burgers(dtype)
    terms = module.squares(points)
    residual, jacobian = assembled(module, terms)
    parameters = [p for p in module.parameters() if p.requires_grad]
    found = normal_equations(module, parameters, terms, chunk=chunk)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(found.matrix, jacobian.mT @ jacobian, **tolerance)
    torch.testing.assert_close(found.vector, jacobian.mT @ residual, **tolerance)
    torch.testing.assert_close(found.loss, residual.square().sum(), **tolerance)
    assert not found.matrix.requires_grad and found.matrix.dtype == dtype


def test_squares_are_the_loss_that_is_trained():
    module, points = burgers()
    loss = module.training_step(points, 0)
    torch.testing.assert_close(torch.stack([term.loss() for term in module.squares(points)]).sum(), loss)
    x, y = torch.rand(9, 3), torch.rand(9, 2)
    model = RegressionModule(nn.Linear(3, 2), {"low": Soft(Bounds(low=0.5), weight=2.0)})
    found = torch.stack([term.loss() for term in model.squares((x, y))]).sum()
    torch.testing.assert_close(found, model.training_step((x, y), 0))


def test_finds_scipys_minimum():
    """A curve through noisy numbers, two shapes of which are not linear: the same least squares as MINPACK's."""
    torch.manual_seed(0)
    t = torch.linspace(0, 3, 40, dtype=torch.float64)[:, None]
    y = 2.0 * torch.exp(-1.3 * t) + 0.5 + 0.05 * torch.randn_like(t)

    class Decay(nn.Module):
        def __init__(self):
            super().__init__()
            self.numbers = nn.Parameter(torch.tensor([1.0, 0.3, 0.0], dtype=torch.float64))

        def forward(self, t):
            a, k, c = self.numbers
            return a * torch.exp(-k * t) + c

    model = Decay()
    fit = Squares(lambda z: model(z[:, :1]) - z[:, 1:], torch.cat([t, y], dim=1), 1.0)
    optimizer = LevenbergMarquardt(model.parameters(), module=model, terms=lambda: [fit])

    def closure():
        optimizer.zero_grad()
        loss = fit.loss()
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(30)]
    assert all(later <= before for before, later in pairwise(losses))
    t, y = t.numpy()[:, 0], y.numpy()[:, 0]
    theirs = scipy.optimize.least_squares(
        lambda n: n[0] * np.exp(-n[1] * t) + n[2] - y, [1.0, 0.3, 0.0], method="lm", xtol=1e-14, ftol=1e-14
    )
    torch.testing.assert_close(model.numbers.detach(), torch.from_numpy(theirs.x), rtol=1e-6, atol=1e-8)
    assert losses[-1] == pytest.approx(2.0 * theirs.cost, rel=1e-12)


def trained(steps, checkpoint=None, folder=None):
    module, points = burgers(optimizer=LevenbergMarquardt)
    trainer = Trainer(
        max_epochs=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(module, DataLoader(TensorDataset(points), batch_size=7), ckpt_path=checkpoint)
    if folder is not None:
        trainer.save_checkpoint(folder / "state.ckpt")
    return module, trainer


def test_trains_in_a_trainer_and_resumes_to_the_same_result(tmp_path):
    """More parameters than residuals: the loss falls to rounding."""
    whole, trainer = trained(25)
    assert float(trainer.callback_metrics["train/loss"]) < 1e-12
    trained(10, folder=tmp_path)
    resumed, _ = trained(25, checkpoint=tmp_path / "state.ckpt")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert whole._batch is None


def test_state_goes_on():
    x = torch.rand(8, 1, dtype=torch.float64)

    def made():
        model = network(1)
        fit = Squares(lambda z: model(z) - z.exp(), x, 1.0)
        optimizer = LevenbergMarquardt(model.parameters(), module=model, terms=lambda: [fit])

        def closure():
            optimizer.zero_grad()
            loss = fit.loss()
            loss.backward()
            return loss

        return model, optimizer, closure

    model, optimizer, closure = made()
    for _ in range(4):
        optimizer.step(closure)
    other, resumed, again = made()
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        assert float(optimizer.step(closure)) == float(resumed.step(again))
    assert optimizer.memory["iterations"] == 7


class Plain(KnowledgeModule):
    def task_loss(self, y, target):
        return (y - target).square().mean()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: Plain(nn.Linear(1, 1)), "`Plain` needs `task_squares`"),
        (lambda: RegressionModule(nn.Linear(1, 1), {"a": AugmentedLagrangian(Bounds(low=0.0))}), "`a`.*Augmented"),
        (lambda: RegressionModule(nn.Linear(1, 1), {"a": Soft(Bounds(low=0.0), measure=absolute)}), "`a`.*squared"),
    ],
)
def test_losses_that_are_no_squares_are_refused(module, message):
    with pytest.raises(UnsupportedError, match=message):
        module().squares((torch.rand(2, 1), torch.rand(2, 1)))


def test_what_is_refused():
    model = network(1)
    with pytest.raises(SpecificationError, match="damping > 0"):
        LevenbergMarquardt(model.parameters(), damping=0.0)
    with pytest.raises(SpecificationError, match="needs the loss as squares"):
        LevenbergMarquardt(model.parameters()).step(lambda: model(torch.zeros(1, 1)))
    branch = Squares(lambda z: z if float(model(z).sum()) > 0 else -z, torch.ones(2, 1, dtype=torch.float64), 1.0)
    with pytest.raises(UnsupportedError, match=r"`torch.func` can transform, row by row"):
        normal_equations(model, list(model.parameters()), [branch])
    with pytest.raises(UnsupportedError, match=r"parameters of the module, got others at \[0\]"):
        normal_equations(model, [nn.Parameter(torch.zeros(1))], [])


def test_slopes_that_are_not_finite_leave_the_parameters():
    model = nn.Linear(1, 1).double()
    before = copy.deepcopy(model.state_dict())
    root = Squares(lambda z: (0.0 * model(z)).abs().sqrt(), torch.ones(2, 1, dtype=torch.float64), 1.0)
    optimizer = LevenbergMarquardt(model.parameters(), module=model, terms=lambda: [root])

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(1, 1, dtype=torch.float64)).square().sum()
        loss.backward()
        return loss

    with pytest.raises(NonFiniteError, match="finite residuals and slopes"):
        optimizer.step(closure)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("error", [NonFiniteError("no number"), KeyboardInterrupt()])
def test_an_error_in_a_trial_leaves_the_parameters(error):
    """What refuses to be no number is no fall; another error goes on to the user."""
    model, rows = network(1), torch.rand(8, 1, dtype=torch.float64)
    calls = count()

    def residual(z):
        if next(calls) == 1:  # after the Jacobian
            raise error
        return model(z) - z.exp()

    fit = Squares(residual, rows, 1.0)
    optimizer = LevenbergMarquardt(model.parameters(), module=model, terms=lambda: [fit])
    before = copy.deepcopy(model.state_dict())
    closure = closure_of(optimizer, lambda: (model(rows) - rows.exp()).square().sum())
    if isinstance(error, NonFiniteError):
        first = float(optimizer.step(closure))
        assert float(closure().detach()) < first and optimizer.memory["evaluations"] >= 3
    else:
        with pytest.raises(KeyboardInterrupt):
            optimizer.step(closure)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_frozen_parameters_stay():
    model, rows = network(1), torch.rand(8, 1, dtype=torch.float64)
    fit = Squares(lambda z: model(z) - z.exp(), rows, 1.0)
    optimizer = LevenbergMarquardt(model.parameters(), module=model, terms=lambda: [fit])
    model[0].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    closure = closure_of(optimizer, fit.loss)

    losses = [float(optimizer.step(closure)) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert all(torch.equal(value, before[name]) == name.startswith("0") for name, value in model.state_dict().items())


def test_a_copy_is_told_its_squares_anew():
    """Those of the original speak of the original's network, of which no step would move the copy."""
    model, rows = network(1), torch.rand(8, 1, dtype=torch.float64)
    fit = Squares(lambda z: model(z) - z.exp(), rows, 1.0)
    optimizer = LevenbergMarquardt(model.parameters(), module=model, terms=lambda: [fit])
    other, again = copy.deepcopy((model, optimizer))
    with pytest.raises(SpecificationError, match="needs the loss as squares"):
        again.step(lambda: other(rows).sum())
    own = Squares(lambda z: other(z) - z.exp(), rows, 1.0)
    again.bind_squares(other, lambda: [own])
    closure = closure_of(again, own.loss)

    assert float(again.step(closure)) > float(closure().detach())
