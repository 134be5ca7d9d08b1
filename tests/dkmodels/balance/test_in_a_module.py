"""Balances and emphases in a KnowledgeModule under a Trainer: logged, fixed in a step, respected by squares."""

import math
from functools import partial
from itertools import pairwise

import pytest
import sympy
import torch
from pytorch_lightning import Callback, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from constraints import AugmentedLagrangian, Bounds, Monitor, Soft, SpecificationError, UnsupportedError, declare
from constraints.embeddings import Causal, ResidualAttention, SelfAdaptive
from dkmodels import FieldModule, RegressionModule
from dkmodels.balance import GradientNorm, LearningRateAnnealing, NeuralTangentKernel, ReLoBRaLo, SoftAdapt
from dkmodels.optim import LevenbergMarquardt, QuasiNewton, Stage, Stages

T = sympy.Symbol("t")
NAME = sympy.Function("u")
U = NAME(T)
POINTS = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]


def decay(emphasis=None, draws=0, **options):
    """u' = -u from 1, both Soft."""
    told = {"fields": [U], "domain": {T: (0, 1)}, "draws": draws}
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    rules = {
        "equation": Soft(declare(sympy.Eq(U.diff(T), -U), **told), emphasis=emphasis),
        "start": Soft(declare(sympy.Eq(NAME(0), 1), **told), weight=2.0),
        "watched": Monitor(declare(sympy.Eq(U.diff(T), -U), **told)),
    }
    return FieldModule(network, rules, **options)


def trainer(epochs, **options):
    return Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        **options,
    )


def loader(batch_size=9):
    return DataLoader(TensorDataset(POINTS), batch_size=batch_size)


def newton(parameters):
    return QuasiNewton(parameters, max_iter=3)


SCHEMES = [
    lambda: GradientNorm(every=2),
    lambda: LearningRateAnnealing("equation", every=2),
    lambda: NeuralTangentKernel(every=2),
    lambda: ReLoBRaLo(every=2),
    lambda: SoftAdapt(every=2),
]
EMPHASES = [lambda: ResidualAttention(start=1.0), SelfAdaptive, lambda: Causal(time=0, windows=3)]


class Watch(Callback):
    """Weights and total at each evaluation, by step."""

    def __init__(self, module):
        self.seen = {}
        ask = module.training_step

        def asked(batch, batch_idx):
            total = ask(batch, batch_idx)
            emphasis = module.rules["equation"].emphasis
            weights = module.balance.weights if module.balance else emphasis.weights
            squares = torch.stack([one.loss() for one in module.squares(batch)]).sum()
            torch.testing.assert_close(squares.detach(), total.detach())
            self.seen.setdefault(module.trainer.global_step, []).append(weights.clone())
            return total

        module.training_step = asked


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_of_terms_move_every_second_step_and_hold_in_a_line_search(scheme):
    module = decay(balance=scheme(), optimizer=newton)
    watch, t = Watch(module), trainer(5)
    t.fit(module, loader())
    assert list(watch.seen) == [0, 1, 2, 3, 4] and all(len(asked) > 3 for asked in watch.seen.values())
    assert all(torch.equal(one, asked[0]) for asked in watch.seen.values() for one in asked)
    first = [asked[0] for asked in watch.seen.values()]
    assert torch.equal(first[0], first[1]) and torch.equal(first[2], first[3])
    assert not torch.equal(first[1], first[2]) and not torch.equal(first[3], first[4])
    assert module.balance.names == ("task", "equation", "start")
    logged = {name: float(t.callback_metrics[f"train/balance/{name}"]) for name in module.balance.names}
    assert {name for name in t.callback_metrics if "balance" in name} == {f"train/balance/{name}" for name in logged}
    assert logged["task"] == 1.0, "there is no task here: 0, without a gradient"
    assert list(logged.values()) == pytest.approx(module.balance.weights.tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("emphasis", "optimizer"),
    zip(EMPHASES * 2, [newton] * 3 + [LevenbergMarquardt] * 2 + [torch.optim.Adam], strict=True),
)
def test_weights_of_points_move_once_a_step(emphasis, optimizer):
    module = decay(emphasis(), optimizer=optimizer)
    watch = Watch(module)
    trainer(4).fit(module, loader())
    first = [asked[0] for asked in watch.seen.values()]
    assert all(torch.equal(one, asked[0]) for asked in watch.seen.values() for one in asked)
    assert all(not torch.equal(a, b) for a, b in pairwise(first))


def test_what_is_logged_is_the_loss_before_a_step_and_not_that_of_trials():
    module = decay(optimizer=newton)
    before = module.training_step([POINTS], 0)
    fit = trainer(1)
    fit.fit(module, loader())
    assert float(fit.callback_metrics["train/loss"]) == pytest.approx(float(before), rel=1e-6)
    penalties = [float(fit.callback_metrics[f"train/penalty/{name}"]) for name in ("equation", "start")]
    assert sum(penalties) == pytest.approx(float(before), rel=1e-6)


def test_a_balance_that_is_set_later_is_as_one_given():
    given, later = decay(balance=GradientNorm(every=2)), decay()
    later.set_balance(GradientNorm(every=2))
    for module in (given, later):
        torch.manual_seed(1)
        trainer(3).fit(module, loader())
    assert torch.equal(given.balance.weights, later.balance.weights)
    assert given.state_dict().keys() == later.state_dict().keys()
    with pytest.raises(SpecificationError, match="needs a Balance, got Linear"):
        later.set_balance(nn.Linear(1, 1))
    with pytest.raises(SpecificationError, match="make one for each module"):
        FieldModule(nn.Linear(1, 1), {"start": Soft(Bounds(low=0.0))}).set_balance(given.balance)
    assert isinstance(later.balance, GradientNorm)


def test_balances_and_emphases_train_together():
    module = decay(SelfAdaptive(), balance=GradientNorm(every=5), optimizer=LevenbergMarquardt)
    trainer(15).fit(module, loader())
    with torch.no_grad():
        torch.testing.assert_close(module(POINTS), torch.exp(-POINTS), atol=1e-3, rtol=0)


def test_weights_hold_while_gradients_are_accumulated():
    module = decay(balance=SoftAdapt())
    watch = Watch(module)
    trainer(2, accumulate_grad_batches=3).fit(module, loader(3))
    assert [len(asked) for asked in watch.seen.values()] == [3, 3]
    assert all(torch.equal(one, asked[0]) for asked in watch.seen.values() for one in asked)


@pytest.mark.parametrize("optimizer", [newton, LevenbergMarquardt, torch.optim.LBFGS, "stages"])
def test_gradients_that_are_not_the_losss_are_refused(optimizer):
    """Trials would add up over accumulated batches, and clipped gradients are no slopes."""
    if optimizer == "stages":
        optimizer = partial(Stages, stages=[Stage(torch.optim.Adam, 1), Stage(newton)])
    with pytest.raises(UnsupportedError, match="needs accumulate_grad_batches=1, got 3"):
        trainer(1, accumulate_grad_batches=3).fit(decay(optimizer=optimizer), loader(3))
    with pytest.raises(UnsupportedError, match="needs gradients as they are"):
        trainer(1, gradient_clip_val=1.0).fit(decay(optimizer=optimizer), loader())


def test_steps_that_repeat_a_batch_may_be_clipped_but_not_accumulated():
    repeated = partial(Stages, stages=[Stage(torch.optim.Adam, repeat=2)])
    trainer(1, gradient_clip_val=1.0).fit(decay(optimizer=repeated), loader())
    with pytest.raises(UnsupportedError, match=r"`Stage\(repeat=2\)` asks"):
        trainer(1, accumulate_grad_batches=3).fit(decay(optimizer=repeated), loader(3))


def test_weights_move_in_each_of_several_fits():
    """Each trainer counts its steps from 0."""
    module = decay(SelfAdaptive(), balance=SoftAdapt())
    seen = []
    for _ in range(3):
        trainer(1).fit(module, loader())
        seen.append(module.rules["equation"].emphasis.multiplier.clone())
    assert all(bool((after > before).all()) for before, after in pairwise(seen))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_module_may_be_cast(scheme):
    module = decay(balance=scheme()).float()
    assert module.balance.weights.dtype == torch.float32
    x = POINTS.float()
    loss = module.training_step((x,), 0)
    assert loss.dtype == torch.float32 and module.balance.weights.dtype == torch.float64


def test_multipliers_count_samples_once_under_a_line_search():
    """The first state of each step, not the trials of its line search."""
    lagrangian = AugmentedLagrangian(Bounds(low=2.0), growth=1.0)
    module = RegressionModule(nn.Linear(1, 1).double(), {"a": lagrangian}, optimizer=newton)
    data = DataLoader(TensorDataset(POINTS, POINTS), batch_size=9)
    with torch.no_grad():
        wanted = (2.0 - module(POINTS)).clamp(min=0.0).mean()
    trainer(1).fit(module, data)
    torch.testing.assert_close(lagrangian.multiplier, wanted[None], rtol=1e-12, atol=0.0)


def test_hooks_may_be_overridden():
    class Silent(RegressionModule):
        def on_train_batch_end(self, *_):
            pass

        def on_train_batch_start(self, *_):
            pass

    module = Silent(nn.Linear(1, 1).double(), {"low": Soft(Bounds(low=5.0))}, balance=SoftAdapt())
    seen = []
    renew = module.balance.renew
    module.balance.renew = lambda values: seen.append(module.trainer.global_step) or renew(values)
    trainer(3).fit(module, DataLoader(TensorDataset(POINTS, POINTS), batch_size=9))
    assert seen == [0, 1, 2]


def test_the_total_is_that_of_weighted_terms():
    module = decay(balance=GradientNorm(decay=0.0))
    total = module.training_step((POINTS,), 0)
    total.backward()
    penalties = [module.rules[name].penalty(module.network, POINTS, module(POINTS)) for name in ("equation", "start")]
    parameters = list(module.network.parameters())
    lengths = [
        torch.cat([g.flatten() for g in torch.autograd.grad(one, parameters, retain_graph=True, allow_unused=True)
                   if g is not None]).norm()
        for one in penalties
    ]  # fmt: skip
    weights = [float(sum(lengths) / length) for length in lengths]
    assert float(total.detach()) == pytest.approx(sum(w * float(p) for w, p in zip(weights, penalties, strict=True)))
    expected = torch.autograd.grad(sum(w * p for w, p in zip(weights, penalties, strict=True)), parameters)
    for parameter, gradient in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_without_a_trainer_each_call_is_a_step():
    module = decay(balance=SoftAdapt(every=2, decay=0.0, beta=5.0), emphasis=SelfAdaptive())
    weights, points = [], []
    for _ in range(5):
        module.training_step((POINTS,), 0)
        weights.append(module.balance.weights)
        points.append(module.rules["equation"].emphasis.multiplier)
        with torch.no_grad():
            module.network[0].weight.mul_(1.5)
    assert [a is b for a, b in pairwise(weights)] == [True, False, True, False]
    assert all(not torch.equal(a, b) for a, b in pairwise(points))


def test_a_shuffled_batch_is_refused():
    module = decay(ResidualAttention())
    torch.manual_seed(0)
    shuffled = DataLoader(TensorDataset(POINTS), batch_size=9, shuffle=True)
    with pytest.raises(SpecificationError, match="same points at each step, in the same order"):
        trainer(3).fit(module, shuffled)
    with pytest.raises(SpecificationError, match="got 4 after 5"):
        trainer(1).fit(decay(ResidualAttention()), loader(5))


def test_what_is_refused():
    rules = {"task": Soft(Bounds(low=0.0))}
    assert math.isfinite(float(RegressionModule(nn.Linear(1, 1), rules).training_step((torch.ones(2, 1),) * 2, 0)))
    with pytest.raises(SpecificationError, match="another name than 'task'"):
        RegressionModule(nn.Linear(1, 1), rules, balance=SoftAdapt())
    with pytest.raises(SpecificationError, match="needs a Balance, got float"):
        RegressionModule(nn.Linear(1, 1), balance=0.5)
    balance = SoftAdapt()
    RegressionModule(nn.Linear(1, 1), balance=balance)
    with pytest.raises(SpecificationError, match="make one for each module"):
        decay(balance=balance)
    al = RegressionModule(nn.Linear(1, 1), {"a": AugmentedLagrangian(Bounds(low=0.0))}, balance=NeuralTangentKernel())
    with pytest.raises(
        UnsupportedError, match=r"rule `a` needs to be a sum of squares.*; got AugmentedLagrangian of Bounds"
    ):
        al.training_step((torch.ones(2, 1), torch.ones(2, 1)), 0)
