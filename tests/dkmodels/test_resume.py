"""Training that was interrupted goes on bit for bit as if it had not been."""

import pytest
import sympy
import torch
from pytorch_lightning import Callback, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from constraints import AugmentedLagrangian, Soft, declare
from constraints.embeddings import Causal, ResidualAttention, SelfAdaptive
from constraints.sampling import ResidualAdaptive
from dkmodels import FieldModule, KnowledgeModule
from dkmodels.balance import GradientNorm, LearningRateAnnealing, NeuralTangentKernel, ReLoBRaLo, SoftAdapt
from dkmodels.optim import LevenbergMarquardt, QuasiNewton

T = sympy.Symbol("t")
NAME = sympy.Function("u")
U = NAME(T)


class Forgetful(KnowledgeModule):
    """A user's module whose hooks call nobody else's."""

    def unpack(self, batch):
        return batch[0], batch[0]

    def task_loss(self, y, target):
        return y.new_zeros(())

    def task_squares(self, x, target):
        return []

    def on_save_checkpoint(self, checkpoint):
        checkpoint["mine"] = 1

    def on_load_checkpoint(self, checkpoint):
        assert checkpoint["mine"] == 1

    def on_train_batch_end(self, *_):
        pass

    def on_fit_start(self):
        pass


def build(seed, make=FieldModule, emphasis=None, draws=2, sampler=None, embed=Soft, **options):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    torch.manual_seed(seed)  # what the streams begin from
    told = {"fields": [U], "domain": {T: (0, 1)}}
    settings = {"emphasis": emphasis()} if emphasis else {}
    options |= {"balance": options["balance"]()} if "balance" in options else {}
    sampler = sampler and sampler()
    rules = {
        "equation": Soft(declare(sympy.Eq(U.diff(T), -U), draws=draws, sampler=sampler, **told), **settings),
        "start": embed(declare(sympy.Eq(NAME(0), 1), **told)),
    }
    return make(network, rules, **options)


def fit(module, epochs, checkpoint=None, validate=False, callbacks=()):
    trainer = Trainer(
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        callbacks=list(callbacks),
    )
    points = torch.linspace(0, 1, 7, dtype=torch.float64)[:, None]
    data = DataLoader(TensorDataset(points, points), batch_size=7)
    trainer.fit(module, data, data if validate else None, ckpt_path=checkpoint, weights_only=True)
    return trainer


def resumed_alike(folder, validate=False, **options):
    whole = build(1, **options)
    fit(whole, 7, validate=validate)
    fit(build(1, **options), 4, validate=validate).save_checkpoint(folder / "state.ckpt")
    other = build(2, **options)
    fit(other, 7, folder / "state.ckpt", validate=validate)
    ours, theirs = dict(whole.state_dict()), dict(other.state_dict())
    assert ours.keys() == theirs.keys()
    streams, again = ours.pop("_streams._extra_state"), theirs.pop("_streams._extra_state")
    assert streams["seed"] == again["seed"]
    assert all(torch.equal(state["cpu"], again["states"][key]["cpu"]) for key, state in streams["states"].items())
    tensors = [key for key, value in ours.items() if isinstance(value, torch.Tensor)]
    return all(torch.equal(ours[key], theirs[key]) for key in tensors)


OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "newton": lambda parameters: QuasiNewton(parameters, max_iter=1, max_line_search=5),
    "marquardt": LevenbergMarquardt,
}


@pytest.mark.parametrize("make", [FieldModule, Forgetful])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_points_that_are_drawn(tmp_path, optimizer, make):
    assert resumed_alike(tmp_path, make=make, optimizer=optimizer)


@pytest.mark.parametrize(
    ("emphasis", "optimizer"),
    [
        (ResidualAttention, "newton"),
        (SelfAdaptive, "marquardt"),
        (lambda: Causal(time=0, windows=3), "adam"),
        (lambda: Causal(time=0, windows=3), "marquardt"),
    ],
)
def test_weights_of_points(tmp_path, emphasis, optimizer):
    assert resumed_alike(tmp_path, emphasis=emphasis, draws=0, optimizer=OPTIMIZERS[optimizer])


@pytest.mark.parametrize(
    ("balance", "optimizer"),
    [
        (lambda: GradientNorm(every=3), "newton"),
        (lambda: LearningRateAnnealing("equation", every=3), "adam"),
        (lambda: NeuralTangentKernel(every=3), "adam"),
        (lambda: ReLoBRaLo(lookback=0.5), "marquardt"),
        (SoftAdapt, "adam"),
    ],
)
def test_weights_of_terms(tmp_path, balance, optimizer):
    assert resumed_alike(tmp_path, make=Forgetful, balance=balance, optimizer=OPTIMIZERS[optimizer])


def test_samplers_multipliers_and_validation_between(tmp_path):
    """Validation draws, too, but from streams of its own."""
    assert resumed_alike(
        tmp_path, validate=True, sampler=lambda: ResidualAdaptive(every=2, candidates=30), embed=AugmentedLagrangian
    )


class Within(Callback):
    """A checkpoint within an epoch, as `ModelCheckpoint` writes it after a validation."""

    def __init__(self, path):
        self.path = path

    def on_validation_end(self, trainer, *_):
        if trainer.global_step == 3:
            trainer.save_checkpoint(self.path)


def test_multipliers_within_an_epoch(tmp_path):
    """What the epoch has shown before the checkpoint counts."""
    whole = build(1, embed=AugmentedLagrangian)
    fit(whole, 7, callbacks=[Within(tmp_path / "state.ckpt")], validate=True)
    other = build(2, embed=AugmentedLagrangian)
    fit(other, 7, tmp_path / "state.ckpt", validate=True)
    ours, theirs = (dict([*module.named_buffers(), *module.named_parameters()]) for module in (whole, other))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_without_its_streams_a_resumed_run_draws_other_points(tmp_path):
    """What the streams in the state dict are for; state dicts of before load."""
    fit(build(1), 4).save_checkpoint(tmp_path / "state.ckpt")
    saved = torch.load(tmp_path / "state.ckpt", weights_only=True)
    del saved["state_dict"]["_streams._extra_state"]
    torch.save(saved, tmp_path / "old.ckpt")
    weights = []
    for name, seed in (("state", 2), ("old", 2), ("old", 3)):
        module = build(seed)
        fit(module, 9, tmp_path / f"{name}.ckpt")
        weights.append(module.network[0].weight)
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
