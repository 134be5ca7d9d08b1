"""Measurements: residuals in deviations, an inverse problem with an equation beside them, what is refused."""

import pickle

import pytest
import sympy
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from constraints import Learnable, Measurements, NonFiniteError, ShapeError, Soft, SpecificationError, declare
from constraints.testing import check_embedding, check_rule
from dkmodels import KnowledgeModule


def seen(dtype=torch.float64, **kwargs):
    points = torch.linspace(0.0, 1.0, 6, dtype=dtype)[:, None]
    return Measurements(points, torch.exp(-2.0 * points), **kwargs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_laws(dtype):
    torch.manual_seed(0)
    model, x = nn.Linear(1, 1, dtype=dtype), torch.rand(4, 1, dtype=dtype)
    rule = seen(dtype)
    check_rule(rule, model, x, model(x))
    check_embedding(Soft(rule), model, x)
    assert rule.quantity(model, rule.points(x)).dtype == dtype and rule.measure(model, x, x).shape == (4,)
    assert pickle.loads(pickle.dumps(rule)).values.equal(rule.values)
    assert not rule.state_dict()


def test_penalty_is_the_sum_of_squares_in_deviations():
    model, x = nn.Linear(1, 2).double(), torch.zeros(3, 1, dtype=torch.float64)
    rule = seen(outputs=[1], deviation=0.5)
    expected = ((model(rule.at)[:, 1:] - rule.values) / 0.5).square().sum()
    torch.testing.assert_close(Soft(rule).penalty(model, x, model(x)), expected)
    own = seen(outputs=[1], deviation=torch.full((6, 1), 0.5, dtype=torch.float64))
    torch.testing.assert_close(own.quantity(model, own.points(x)), rule.quantity(model, rule.points(x)))


class Decay(KnowledgeModule):
    def unpack(self, batch):
        return batch[0], batch[0]

    def task_loss(self, y, target):
        return y.new_zeros(())


def test_a_rate_is_found_from_an_equation_and_measurements():
    """u' = -k u, measured at six places: k = 2, in a module whose batches hold no data."""
    from pytorch_lightning import Trainer

    t, k = sympy.symbols("t k")
    u = sympy.Function("u")(t)
    decay = declare(
        sympy.Eq(u.diff(t), -k * u), fields=[u], parameters={k: Learnable(initial=0.5, low=0.0)}, name="decay"
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 10), nn.Tanh(), nn.Linear(10, 1)).double()
    rules = {"decay": Soft(decay), "seen": Soft(seen(), weight=1 / 6)}

    def optimizer(parameters):
        return torch.optim.LBFGS(parameters, max_iter=300, line_search_fn="strong_wolfe", tolerance_change=0.0)

    module = Decay(network, rules, optimizer=optimizer).double()
    data = DataLoader(TensorDataset(torch.linspace(0.0, 1.0, 20, dtype=torch.float64)[:, None]), batch_size=20)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=2, enable_model_summary=False, **options)
    trainer.fit(module, data)
    assert abs(float(decay.learnt["k"]) - 2.0) < 0.02
    (result,) = trainer.validate(module, data, verbose=False)
    assert result["val/violation/seen/max"] < 0.01


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda p, v: Measurements(p[:, 0], v), ShapeError, r"points \(n, d\) and values \(n, k\), got \(6,\)"),
        (lambda p, v: Measurements(p[:3], v), ShapeError, r"got \(3, 1\) and \(6, 1\)"),
        (lambda p, v: Measurements(p[:0], v[:0]), SpecificationError, "at least one measurement"),
        (
            lambda p, v: Measurements(p, v / 0.0),
            NonFiniteError,
            r"finite values, got numbers that are not finite in rows 0, 1, 2, 3, 4, ...",
        ),
        (lambda p, v: Measurements(p, v, outputs=[0, 1]), ShapeError, r"outputs=\[0, 1\] for 1"),
        (lambda p, v: Measurements(p, v, outputs=[-1]), SpecificationError, "distinct outputs >= 0"),
        (lambda p, v: Measurements(p, v, deviation=0.0), SpecificationError, "deviation > 0, finite, got 0.0"),
        (
            lambda p, v: Measurements(p, v, deviation=p[:2]),
            ShapeError,
            r"deviation \(\) or \(6, 1\), got shape \(2, 1\)",
        ),
    ],
)
def test_what_is_refused(build, error, message):
    rule = seen()
    with pytest.raises(error, match=message):
        build(rule.at, rule.values)


def test_models_without_the_outputs_are_refused():
    with pytest.raises(ShapeError, match=r"speaks of outputs \[2\], but the model has 1"):
        seen(outputs=[2]).measure(nn.Linear(1, 1).double(), torch.zeros(1, 1), torch.zeros(1, 1))
    with pytest.raises(ShapeError, match="speaks of 1 outputs, but the model has 2"):
        seen().measure(nn.Linear(1, 2).double(), torch.zeros(1, 1), torch.zeros(1, 1))
    with pytest.raises(ShapeError, match=r"its own points \(\*batch, 6, 1\), got shape \(2, 1\)"):
        seen().quantity(nn.Identity(), torch.zeros(2, 1))
