"""Stages alone and under Lightning: transitions, schedules, checkpoints."""

import copy
import gc
import pickle
import weakref
from functools import partial

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR
from torch.utils.data import DataLoader, TensorDataset

from constraints import Box, FieldRule, Soft, SpecificationError
from dkmodels import RegressionModule
from dkmodels.optim import SOAP, LevenbergMarquardt, NystromNewtonCG, QuasiNewton, Stage, StageMonitor, Stages
from tests.dkmodels.optim.problems import closure_of, fitting, parameter, rosenbrock


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01)


def quasi_newton(parameters):
    return QuasiNewton(parameters, max_iter=3)


def newton(parameters):
    return NystromNewtonCG(parameters, rank=4, max_products=10)


def stages(parameters):
    return Stages(
        parameters,
        [Stage(adam, 3, lambda optimizer: ExponentialLR(optimizer, 0.5)), Stage(quasi_newton, 2), Stage(newton)],
    )


def module():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    return RegressionModule(network, optimizer=stages)


def loader():
    x = torch.linspace(-1.0, 1.0, 20, dtype=torch.float64)[:, None]
    return DataLoader(TensorDataset(x, torch.sin(3.0 * x)), batch_size=20)


def fit(tmp_path, epochs, checkpoint=None, **options):
    trained = module()
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False} | options
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", enable_model_summary=False, default_root_dir=tmp_path, **settings
    )
    trainer.fit(trained, loader(), ckpt_path=checkpoint)
    return trained, trainer


def weights(trained):
    return torch.nn.utils.parameters_to_vector(trained.parameters()).detach()


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("make", [QuasiNewton, NystromNewtonCG, SOAP, "stages"])
def test_copies_go_on_alike(make, pickled):
    """With the parameters they are of."""
    if make == "stages":
        make = partial(
            Stages, stages=[Stage(torch.optim.Adam, 2, partial(ExponentialLR, gamma=0.9)), Stage(QuasiNewton)]
        )
    x = parameter([-1.2, 1.0, 0.5])
    optimizer = make([x])
    optimizer.step(closure_of(optimizer, rosenbrock, x))
    x.grad = None
    pair = (x, optimizer)
    y, other = pickle.loads(pickle.dumps(pair)) if pickled else copy.deepcopy(pair)
    for _ in range(3):
        optimizer.step(closure_of(optimizer, rosenbrock, x))
        other.step(closure_of(other, rosenbrock, y))
    assert y is not x and torch.equal(x, y)


def test_each_stage_does_what_its_optimizer_does_alone():
    network, loss = fitting()
    both = stages(network.parameters())
    for _ in range(6):
        both.step(closure_of(both, loss))
    alone, same_loss = fitting()
    first = adam(alone.parameters())
    decay = ExponentialLR(first, 0.5)
    for _ in range(3):
        first.step(closure_of(first, same_loss))
        decay.step()
    for optimizer, steps in ((quasi_newton(alone.parameters()), 2), (newton(alone.parameters()), 1)):
        for _ in range(steps):
            optimizer.step(closure_of(optimizer, same_loss))
    for a, b in zip(network.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_stage_that_is_over_gives_its_memory_back():
    x = parameter([-1.2, 1.0])
    optimizer = stages([x])
    closure = closure_of(optimizer, rosenbrock, x)
    for place in (0, 0, 1, 1, 2, 2, 2):
        optimizer.step(closure)
        assert optimizer.place == place
        assert optimizer.param_groups is optimizer.current.param_groups
        assert not any(before.state for before in optimizer.optimizers[:place])
    assert optimizer.needs_graph
    assert optimizer.taken == 2


def test_a_warm_up_inside_a_stage():
    x = parameter([-1.2, 1.0])
    warm = Stage(adam, 4, lambda optimizer: LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 4)))
    optimizer = Stages([x], [warm, Stage(quasi_newton)])
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step(closure_of(optimizer, rosenbrock, x))
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, 0.01])


def test_groups_of_parameters_reach_each_stage():
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = Stages([{"params": [a], "lr": 0.5}, {"params": [b]}], [Stage(torch.optim.SGD, 1), Stage(adam)])
    closure = closure_of(optimizer, lambda u, v: (u + v).sum(), a, b)
    optimizer.step(closure)
    assert (float(a), float(b)) == pytest.approx((0.5, 0.999))
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.01]


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6])
def test_a_checkpoint_of_lightning_goes_on_bit_for_bit_in_every_stage(tmp_path, after):
    _, trainer = fit(tmp_path, after)
    trainer.save_checkpoint(tmp_path / "stage.ckpt")
    resumed, _ = fit(tmp_path, 8, tmp_path / "stage.ckpt")
    through, _ = fit(tmp_path, 8)
    assert torch.equal(weights(resumed), weights(through))


def test_the_stage_is_logged(tmp_path):
    class Seen(Callback):
        def __init__(self):
            self.rows = []

        def on_train_batch_end(self, trainer, *_):
            self.rows.append({k: float(v) for k, v in trainer.callback_metrics.items()})

    seen = Seen()
    logger = CSVLogger(tmp_path)
    fit(tmp_path, 6, logger=logger, callbacks=[StageMonitor(), LearningRateMonitor("step"), seen], log_every_n_steps=1)
    assert [row["train/stage"] for row in seen.rows] == [0.0, 0.0, 0.0, 1.0, 1.0, 2.0]
    assert [row["train/learning_rate"] for row in seen.rows] == pytest.approx([0.01, 0.005, 0.0025, 1.0, 1.0, 1.0])


def test_trials_that_lightning_refuses_shrink_the_step(tmp_path):
    class Barrier(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([0.01], dtype=torch.float64))

        def forward(self, x):
            return self.scale.log() * x

    trained = RegressionModule(Barrier(), optimizer=lambda p: QuasiNewton(p, lr=100.0))
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    x = torch.linspace(-1.0, 1.0, 10, dtype=torch.float64)[:, None]
    trainer.fit(trained, DataLoader(TensorDataset(x, 2.0 * x), batch_size=10))
    assert float(trained.network.scale) == pytest.approx(torch.e**2, rel=1e-6)


def test_a_stage_that_asks_for_squares_is_told(tmp_path):
    def both(parameters):
        return Stages(parameters, [Stage(adam, 2), Stage(LevenbergMarquardt)])

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    trained = RegressionModule(network, optimizer=both)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=12, accelerator="cpu", enable_model_summary=False, default_root_dir=tmp_path, **quiet)
    trainer.fit(trained, loader())
    x, y = loader().dataset.tensors
    assert trainer.optimizers[0].place == 1
    assert float((network(x) - y).square().mean()) < 1e-4


def test_newton_under_lightning_leaves_no_graph_behind(tmp_path):
    seen = []

    class Rising(FieldRule):
        def __init__(self):
            super().__init__(Box(low=0.0))

        def quantity(self, field, points):
            seen.append(weakref.ref(points))
            return torch.autograd.grad(field(points).sum(), points, create_graph=True)[0]

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    trained = RegressionModule(network, {"rising": Soft(Rising())}, optimizer=newton)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_epochs=4, accelerator="cpu", enable_model_summary=False, default_root_dir=tmp_path, **quiet)
    trainer.fit(trained, loader())
    assert trainer.optimizers[0].memory["products"] > 0
    gc.collect()
    assert len(seen) >= 8
    assert not any(points() is not None for points in seen)


def test_refuses():
    x = parameter([1.0])
    with pytest.raises(SpecificationError, match="at least one stage"):
        Stages([x], [])
    with pytest.raises(SpecificationError, match="none for stage 0"):
        Stages([x], [Stage(adam), Stage(quasi_newton)])
    with pytest.raises(SpecificationError, match="steps and repeat >= 1, got 0 and 1"):
        Stage(adam, 0)
    with pytest.raises(SpecificationError, match="needs the state of 1 stages"):
        Stages([x], [Stage(adam)]).load_state_dict(stages([x]).state_dict())


def test_a_stage_may_repeat_on_a_batch():
    """Twice three steps are six, with their schedule."""

    def decayed(optimizer):
        return ExponentialLR(optimizer, 0.9)

    once, often = parameter([-1.2, 1.0]), parameter([-1.2, 1.0])
    six = Stages([once], [Stage(adam, 6, decayed), Stage(adam)])
    twice = Stages([often], [Stage(adam, 2, decayed, repeat=3), Stage(adam)])
    for _ in range(6):
        six.step(closure_of(six, rosenbrock, once))
    for _ in range(2):
        twice.step(closure_of(twice, rosenbrock, often))
    assert torch.equal(once, often) and (six.place, twice.place) == (1, 1)
    with pytest.raises(SpecificationError, match="steps and repeat >= 1, got 2 and 0"):
        Stage(adam, 2, repeat=0)
