"""KnowledgeModule under Trainer, CLI, checkpoints, and in two processes."""

import os
import sys

import pytest
import sympy
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningCLI
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanAbsoluteError

from constraints import (
    AugmentedLagrangian,
    Bounds,
    Box,
    Census,
    CountLimit,
    Decode,
    FieldRule,
    FixedSum,
    Hard,
    InfeasibleError,
    LinearEquality,
    Monitor,
    NonFiniteError,
    ShapeError,
    Soft,
    SpecificationError,
    declare,
)
from constraints.sampling import ResidualAdaptive
from dkmodels import ClassificationModule, FieldModule, KnowledgeModule, RegressionModule, RuleMonitor
from tests.constraints.rules.transitions import Stays


class Shares(KnowledgeModule):
    def task_loss(self, y, target):
        return nn.functional.mse_loss(y, target)


class Rising(FieldRule):
    def __init__(self):
        super().__init__(Box(low=0.0))

    def quantity(self, field, points):
        return torch.autograd.grad(field(points).sum(), points, create_graph=True)[0]


class Sampled(FieldRule):
    """Draws its own points: random numbers that must not disturb the batches."""

    def __init__(self):
        super().__init__(Box(low=0.0))

    def points(self, x):
        return torch.rand(7, x.shape[-1])

    def quantity(self, field, points):
        return field(points)


def net(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs))


def loader(outputs=3, n=32):
    g = torch.Generator().manual_seed(0)
    y = torch.rand(n, outputs, generator=g)
    return DataLoader(TensorDataset(torch.rand(n, 4, generator=g), y / y.sum(-1, keepdim=True)), batch_size=8)


def trainer(tmp_path, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "max_epochs": 2}
    return Trainer(default_root_dir=tmp_path, **{**quiet, "logger": False, "enable_checkpointing": False, **options})


@pytest.mark.parametrize("embed", [Hard, Soft, AugmentedLagrangian, Decode, Monitor])
def test_every_embedding_trains_and_is_measured(tmp_path, embed):
    module = Shares(net(), rules={"shares": embed(FixedSum())})
    t = trainer(tmp_path)
    t.fit(module, loader(), loader())
    logged = t.callback_metrics
    assert {"val/loss", "val/violation/shares/mean", "val/violation/shares/max", "val/satisfaction/shares"} <= set(
        logged
    )
    assert ("train/penalty/shares" in logged) == embed(FixedSum()).penalises
    if embed in (Hard, Decode):
        assert float(logged["val/violation/shares/max"]) < 1e-5
        assert float(logged["val/satisfaction/shares"]) == 1.0
    else:
        assert float(logged["val/violation/shares/max"]) > 1e-3
        assert float(logged["val/satisfaction/shares"]) < 1.0
    if embed is AugmentedLagrangian:
        assert float(logged["train/multiplier/shares"]) != 0.0


def test_field_rules_work_in_inference_mode(tmp_path):
    module = RegressionModule(net(1), rules={"rising": Soft(Rising()), "watched": Monitor(Rising())})
    t = trainer(tmp_path, inference_mode=True)
    t.fit(module, loader(1), loader(1))
    (logged,) = t.test(module, loader(1), verbose=False)
    assert logged["test/violation/rising/max"] >= 0.0
    assert logged["test/violation/rising/mean"] == pytest.approx(logged["test/violation/watched/mean"])
    assert {"test/rmse", "test/mae"} <= set(logged)


def test_a_rule_that_draws_numbers_does_not_disturb_the_batches(tmp_path):
    def weights(rules):
        torch.manual_seed(1)
        module = RegressionModule(nn.Sequential(net(3), nn.Dropout(0.5)), rules)
        torch.manual_seed(2)
        shuffled = DataLoader(loader().dataset, batch_size=8, shuffle=True)
        seen = []
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        trainer(tmp_path).fit(module, shuffled)
        return torch.cat(seen)

    torch.testing.assert_close(weights({}), weights({"points": Soft(Sampled(), weight=1e-9)}))


def test_checkpoints_load_with_weights_only(tmp_path):
    def build():
        return Shares(net(), rules={"al": AugmentedLagrangian(Bounds(low=0.3)), "shares": Hard(FixedSum())})

    module = build()
    t = trainer(tmp_path)
    t.fit(module, loader())
    path = tmp_path / "model.ckpt"
    t.save_checkpoint(path)
    assert torch.load(path, weights_only=True)["state_dict"]
    restored = Shares.load_from_checkpoint(
        path,
        network=net(),
        rules={"al": AugmentedLagrangian(Bounds(low=0.3)), "shares": Hard(FixedSum())},
        weights_only=True,
    )
    x = torch.rand(3, 4)
    torch.testing.assert_close(restored(x), module(x))
    multipliers = [m.rules["al"].multiplier for m in (restored, module)]
    torch.testing.assert_close(*multipliers)
    t = trainer(tmp_path, max_epochs=4)
    t.fit(build(), loader(), ckpt_path=path, weights_only=True)
    assert t.current_epoch == 4


def test_any_logger(tmp_path):
    module = Shares(net(), rules={"shares": Soft(FixedSum())})
    logger = CSVLogger(tmp_path)
    trainer(tmp_path, logger=logger, log_every_n_steps=1, callbacks=[RuleMonitor(2)]).fit(module, loader(), loader())
    text = (next(tmp_path.glob("**/metrics.csv"))).read_text()
    assert "train/violation/shares" in text
    assert "val/violation/shares/max" in text


def test_monitor_callback_keeps_a_history(tmp_path):
    monitor = RuleMonitor(every_n_steps=3)
    module = Shares(nn.Sequential(net(), nn.BatchNorm1d(3)), rules={"shares": Monitor(FixedSum())})
    trainer(tmp_path, callbacks=[monitor]).fit(module, loader())
    assert [row["step"] for row in monitor.history] == [1.0, 4.0, 7.0]
    assert all(row["shares"] >= 0 for row in monitor.history)
    fresh = RuleMonitor()
    fresh.load_state_dict(monitor.state_dict())
    assert fresh.history == monitor.history
    with pytest.raises(SpecificationError, match="every_n_steps >= 1, got 0"):
        RuleMonitor(0)


def test_predictions_are_decoded(tmp_path):
    module = Shares(net(), rules={"shares": Decode(FixedSum())})
    predicted = torch.cat(trainer(tmp_path).predict(module, loader()))
    torch.testing.assert_close(predicted.sum(-1), torch.ones(32))


def test_cells_are_classified_and_counted(tmp_path):
    census = Census([CountLimit((1,), 1, 1)], classes=3)
    module = ClassificationModule(
        nn.Sequential(net(15), nn.Unflatten(-1, (5, 3))), {"one": Decode(census), "soft": Soft(census)}, classes=3
    )
    data = TensorDataset(torch.rand(16, 4), torch.randint(0, 3, (16, 5)))
    t = trainer(tmp_path)
    t.fit(module, DataLoader(data, batch_size=4), DataLoader(data, batch_size=4))
    assert float(t.callback_metrics["val/violation/one/max"]) == 0.0
    assert 0.0 <= float(t.callback_metrics["val/accuracy"]) <= 1.0


def test_nan_says_where(tmp_path):
    data = loader().dataset.tensors
    broken = data[1].clone()
    broken[3, 1] = torch.nan
    with pytest.raises(NonFiniteError, match="not finite: target"):
        trainer(tmp_path).fit(Shares(net()), DataLoader(TensorDataset(data[0], broken), batch_size=8))


def test_refuses_what_makes_no_sense():
    with pytest.raises(InfeasibleError, match="`up`, `down`"):
        Shares(net(), rules={"up": Hard(Bounds(low=1.0)), "down": Hard(Bounds(high=0.0))})
    with pytest.raises(SpecificationError, match=r"\['d'\], expected some of \['a', 'b', 'c'\]"):
        Shares(net(), rules={"r": Soft(Bounds(low=0.0, outputs=["d"]))}, outputs=["a", "b", "c"])
    with pytest.raises(SpecificationError, match="needs an embedding, such as Soft"):
        Shares(net(), rules={"r": FixedSum()})
    with pytest.raises(SpecificationError, match="without dots"):
        Shares(net(), rules={"a.b": Soft(FixedSum())})
    with pytest.raises(SpecificationError, match="learning_rate > 0, got 0"):
        Shares(net(), learning_rate=0)
    with pytest.raises(SpecificationError, match="classes >= 2, got 1"):
        ClassificationModule(net(), classes=1)


def test_named_outputs_reach_hard_rules():
    module = Shares(
        net(),
        rules={"ab": Hard(LinearEquality([[1.0, 1.0]], [1.0], outputs=["a", "c"])), "cap": Hard(Bounds(high=0.6))},
        outputs=["a", "b", "c"],
    )
    y = module(torch.rand(5, 4))
    torch.testing.assert_close(y[:, 0] + y[:, 2], torch.ones(5))
    assert float(y.detach().max()) <= 0.6 + 1e-6


class Configured(Shares):
    """As a LightningCLI user writes it: plain settings."""

    def __init__(self, width: int = 8, weight: float = 1.0):
        super().__init__(
            nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3)),
            rules={"shares": Soft(FixedSum(), weight=weight)},
        )
        self.save_hyperparameters()

    def train_dataloader(self):
        return loader()


def test_lightning_cli(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cli"])
    words = ["fit", "--model.width=5", "--model.weight=2.0", "--trainer.max_epochs=1", "--trainer.accelerator=cpu",
             "--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={tmp_path}", "--optimizer=SGD",
             "--optimizer.lr=0.1"]  # fmt: skip
    cli = LightningCLI(Configured, args=words, save_config_kwargs={"overwrite": True})
    assert isinstance(cli.trainer.optimizers[0], torch.optim.SGD)
    assert cli.model.network[0].out_features == 5
    path = next(tmp_path.glob("**/*.ckpt"))
    again = Configured.load_from_checkpoint(path, weights_only=True)
    assert again.rules["shares"].weight == 2.0


def _in_process(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    al = AugmentedLagrangian(Bounds(low=0.0))
    module = Shares(net(), rules={"al": al})
    ddp = nn.parallel.DistributedDataParallel(module)  # refuses unused parameters at the second step
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(rank))
    y = torch.full((6, 3), -1.0 - rank)
    for _ in range(2):
        (module.task_loss(ddp(x), y) + al.penalty(module.network, x, ddp(x) * 0 + y)).backward()
    al.update()
    metric = module.meters.violations["al"]
    metric.update(al.measure(module.network, x, y))
    torch.save({"multiplier": al.multiplier, **metric.compute()}, f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    os._exit(0)  # gloo's own end may wait for a peer that has left


def test_two_processes_agree(tmp_path):
    """Multipliers and metrics are those of all samples: 1 and 2 violated, so 1.5 on the mean and 2 at most."""
    spawn = torch.multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_in_process, args=(rank, str(tmp_path))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode is not None, "a process hangs"
    seen = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for got in seen:
        torch.testing.assert_close(got["multiplier"], torch.full((3,), 1.5))
        assert float(got["mean"]) == pytest.approx(1.5)
        assert float(got["max"]) == 2.0


class Noise(FieldRule):
    """A violation that is a random number: only its stream matters."""

    def __init__(self):
        super().__init__(Box(high=0.0))

    def quantity(self, field, points):
        return torch.rand(len(points), 1) + 0.0 * field(points)[..., :1]


def test_rules_do_not_shift_each_others_random_numbers(tmp_path):
    def measured(names):
        module = Shares(net(), {name: Monitor(Noise()) for name in names})
        module.seed_rules(3)
        t = trainer(tmp_path)
        (one,) = t.test(module, loader(), verbose=False)
        (two,) = t.test(module, loader(), verbose=False)
        assert one == two, "measured twice with the same numbers"
        return one["test/violation/a/mean"]

    assert measured(["a"]) == measured(["b", "a"])


@pytest.mark.parametrize("evaluations", [1, 3])
def test_each_step_draws_points_of_its_own_and_each_rule_too(tmp_path, evaluations):
    """However often the optimiser asks; those of a rule are the same whatever rules are beside it."""

    class Several(torch.optim.SGD):
        def step(self, closure):
            for _ in range(evaluations - 1):
                closure()
            return super().step(closure)

    class Recorded(Sampled):
        def __init__(self):
            super().__init__()
            self.drawn = []

        def points(self, x):
            self.drawn.append(super().points(x))
            return self.drawn[-1]

    def drawn(names):
        rules = {name: Soft(Recorded()) for name in names}
        module = Shares(net(), rules, optimizer=lambda p: Several(p, lr=0.1))
        module.seed_rules(3)
        trainer(tmp_path, max_epochs=1).fit(module, loader())
        return {name: torch.stack(embedding.rule.drawn).flatten(1) for name, embedding in rules.items()}

    both, alone = drawn(["b", "a"]), drawn(["a"])
    assert torch.equal(both["a"], alone["a"])
    steps = [points.unflatten(0, (4, evaluations)) for points in both.values()]
    assert all(torch.equal(points, points[:, :1].expand_as(points)) for points in steps)
    firsts = torch.cat([points[:, 0] for points in steps])
    assert len(firsts.unique(dim=0)) == 8, "two rules, four steps"


def test_satisfaction_is_judged_by_each_sample(tmp_path):
    class Given(nn.Module):
        def forward(self, x):
            return x

    x = torch.tensor([[1e6, 1.0]] + [[5.0, -1.0]] * 31)
    module = Shares(Given(), {"positive": Monitor(Bounds(low=0.0))})
    (logged,) = trainer(tmp_path).test(module, DataLoader(TensorDataset(x, x), batch_size=32), verbose=False)
    assert logged["test/satisfaction/positive"] == pytest.approx(1 / 32)


def test_names_that_a_module_dict_cannot_hold():
    with pytest.raises(SpecificationError, match="'values'"):
        Shares(net(), {"values": Soft(FixedSum())})


def test_inputs_are_named_too():
    a, b, t = sympy.symbols("a b t")
    f = sympy.Function("f")(t)
    rules = {
        "sum": Hard(declare(sympy.Eq(a + b, t), outputs=[a, b], inputs=[t])),
        "rises": Monitor(declare(f.diff(t) >= 0, fields=[f])),
    }
    module = RegressionModule(nn.Linear(2, 2), rules, outputs=["a", "b"], inputs=["x", "t"])
    x = torch.rand(5, 2)
    torch.testing.assert_close(module(x).sum(-1), x[:, 1])
    assert set(module.measure(x, module(x))) == {"sum", "rises"}
    with pytest.raises(SpecificationError, match="names inputs"):
        RegressionModule(nn.Linear(2, 2), rules, outputs=["a", "b"], inputs=["x", "y"])
    fresh = {"sum": Hard(declare(sympy.Eq(a + b, t), outputs=[a, b], inputs=[t]))}
    with pytest.raises(SpecificationError, match="does not name its inputs"):
        RegressionModule(nn.Linear(2, 2), fresh, outputs=["a", "b"])


def test_rules_that_contradict_each_other_are_refused_also_where_they_are_soft():
    rules = {"low": Soft(Bounds(high=0.0, outputs=[0])), "high": Soft(Bounds(low=1.0, outputs=[0]))}
    with pytest.raises(InfeasibleError, match="`low`, `high`"):
        RegressionModule(nn.Linear(1, 2), rules)
    RegressionModule(nn.Linear(1, 2), {"low": rules["low"], "high": Monitor(rules["high"].rule)})  # measuring may


@pytest.mark.parametrize("adaptive", [False, True])
def test_points_stay_while_an_optimiser_asks_again(adaptive):
    """Drawn anew at each step, not at each evaluation of a line search; samplers learn once a step."""
    t = sympy.Symbol("t")
    u = sympy.Function("u")(t)
    sampler = ResidualAdaptive(every=1, candidates=50) if adaptive else None
    rule = declare(sympy.Eq(u.diff(t), -u), fields=[u], domain={t: (0, 1)}, draws=2, sampler=sampler)
    seen = []

    class Watched(FieldModule):
        def training_step(self, batch, batch_idx):
            loss = super().training_step(batch, batch_idx)
            seen.append((self.trainer.global_step, rule._seen[0].clone() if adaptive else float(loss)))
            return loss

    class Twice(torch.optim.SGD):
        def step(self, closure):
            closure()
            return super().step(closure)

    network = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
    module = Watched(network, {"decay": Soft(rule)}, optimizer=lambda p: Twice(p, lr=0.1))
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=3, enable_model_summary=False, **options)
    trainer.fit(module, DataLoader(TensorDataset(torch.zeros(4, 1)), batch_size=4))
    assert [step for step, _ in seen] == [0, 0, 1, 1, 2, 2]
    pairs = [(seen[i][1], seen[i + 1][1]) for i in (0, 2, 4)]
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)
    assert len({float(torch.as_tensor(a).sum()) for a, _ in pairs}) == 3


def test_what_is_logged_has_the_names_that_are_documented(tmp_path):
    rules = {"soft": Soft(FixedSum()), "al": AugmentedLagrangian(Bounds(low=0.3)), "seen": Monitor(FixedSum())}
    t = trainer(tmp_path)
    module = Shares(net(), rules=rules, metrics={"mae": MeanAbsoluteError()})
    t.fit(module, loader(), loader())
    per_rule = [f"val/{kind}" for name in rules for kind in (f"violation/{name}/mean", f"violation/{name}/max")]
    per_rule += [f"val/satisfaction/{name}" for name in rules]
    trained = ["train/loss", "train/penalty/soft", "train/penalty/al", "train/multiplier/al"]
    assert set(t.callback_metrics) == {*trained, "val/loss", "val/mae", *per_rule}
    (tested,) = t.test(module, loader(), verbose=False)
    assert set(tested) == {name.replace("val/", "test/") for name in ("val/loss", "val/mae", *per_rule)}


def test_losses_of_an_epoch_are_those_before_each_step(tmp_path):
    """The mean over its steps, weighed by samples, of the task's loss and the penalty, whatever the optimiser asks."""

    class Twice(torch.optim.SGD):
        def step(self, closure):
            closure()
            return super().step(closure)

    seen = []

    class Watched(Shares):
        def training_step(self, batch, batch_idx):
            with torch.no_grad():
                x, y = batch
                answer = self.network(x)
                parts = self.task_loss(answer, y), 3.0 * (answer.sum(-1) - 1.0).square().mean()
            seen.append((self.trainer.global_step, len(x), *map(float, parts)))
            return super().training_step(batch, batch_idx)

    rules = {"shares": Soft(LinearEquality([[1.0, 1.0, 1.0]], [1.0]), weight=3.0)}
    module = Watched(net(), rules=rules, optimizer=lambda p: Twice(p, lr=0.1))
    t = trainer(tmp_path, max_epochs=1)
    uneven = DataLoader(TensorDataset(*loader().dataset.tensors), batch_size=12)
    t.fit(module, uneven)
    first = {step: parts for step, *parts in reversed(seen)}.values()  # of each step the first evaluation
    assert [n for n, *_ in first][::-1] == [12, 12, 8] and len(seen) == 6
    task, penalty = (sum(n * parts[k] for n, *parts in first) / 32 for k in (0, 1))
    assert float(t.callback_metrics["train/loss"]) == pytest.approx(task + penalty, rel=1e-5)
    assert float(t.callback_metrics["train/penalty/shares"]) == pytest.approx(penalty, rel=1e-5)


def test_a_loss_that_is_not_finite_is_told_at_its_own_step(tmp_path):
    x, y = (tensor.clone() for tensor in loader().dataset.tensors)
    y[29, 1] = torch.nan
    module = Shares(net())
    with pytest.raises(NonFiniteError, match="`Shares` needs a finite loss, got nan; not finite: target"):
        trainer(tmp_path).fit(module, DataLoader(TensorDataset(x, y), batch_size=8))
    assert all(parameter.isfinite().all() for parameter in module.parameters())


def test_names_must_be_those_of_columns():
    rules = {"low": Soft(Bounds(low=0.0, outputs=["a"]))}
    module = Shares(net(), rules, outputs=["a", "b"], inputs=["p", "q", "r", "s"])
    with pytest.raises(ShapeError, match=r"`Shares` needs the 2 outputs \['a', 'b'\] along the last .*shape \(5, 3\)"):
        module(torch.rand(5, 4))
    module = Shares(nn.Identity(), rules, outputs=["a", "b"], inputs=["p", "q", "r"])
    with pytest.raises(
        ShapeError, match=r"`Shares` needs the 3 inputs \['p', 'q', 'r'\] along the last .*shape \(3, 2\)"
    ):
        module(torch.rand(3, 2))
    both = Shares(nn.Identity(), rules, outputs=["a", "b"], inputs=["p", "q"])
    assert both(torch.rand(7, 2)).shape == (7, 2)


def test_batches_that_are_the_input_alone_are_predicted():
    module, x = Shares(net(), rules={"shares": Decode(FixedSum())}), torch.rand(5, 4)
    expected = module.decode(module(x), x)
    for batch in (x, (x, x), [x]):
        torch.testing.assert_close(module.predict_step(batch), expected)


def test_tolerances_and_targets_follow_the_input(tmp_path):
    """A sum of a million is right to rounding in float32; the same miss of a sum of 1 is a violation."""

    class Total(LinearEquality):
        def __init__(self):
            super().__init__([[1.0, 1.0]])

        def target(self, x):
            return x[..., :1]

    x = torch.tensor([[1e6, 0.0]] * 8 + [[1.0, 0.0]] * 8)
    y = torch.tensor([[0.0, 1e6 + 0.0625]] * 8 + [[0.5, 0.5625]] * 8)

    class Given(nn.Module):
        def forward(self, _):
            return y

    module = Shares(Given(), {"total": Monitor(Total())})
    (logged,) = trainer(tmp_path).test(module, DataLoader(TensorDataset(x, y), batch_size=16), verbose=False)
    assert logged["test/satisfaction/total"] == 0.5
    assert logged["test/violation/total/mean"] == pytest.approx(0.0625)


def test_losses_of_evaluation_are_brought_together_across_processes(monkeypatch):
    module, seen = Shares(net()), {}
    monkeypatch.setattr(module, "log", lambda name, value, **options: seen.setdefault(name, options))
    module.validation_step((torch.rand(5, 4), torch.rand(5, 3)), 0)
    module.test_step((torch.rand(5, 4), torch.rand(5, 3)), 0)
    options = {"on_step": False, "on_epoch": True, "sync_dist": True, "batch_size": 5}
    assert seen == {"val/loss": options, "test/loss": options}


def test_rules_are_measured_in_float32_beside_autocast(tmp_path):
    module = Shares(net(), rules={"shares": Hard(FixedSum())})
    (logged,) = trainer(tmp_path, precision="bf16-mixed").test(module, loader(), verbose=False)
    assert logged["test/violation/shares/max"] < 1e-5 and logged["test/satisfaction/shares"] == 1.0


def test_a_balance_is_one():
    with pytest.raises(SpecificationError, match="`Shares` needs a Balance, got float"):
        Shares(net()).set_balance(1.0)


def test_rules_after_one_on_sequences_are_measured():
    rules = {"stays": Monitor(Stays(cells=1, classes=3)), "sum": Monitor(FixedSum()), "low": Monitor(Bounds(low=0.0))}
    module, x = Shares(net(), rules), torch.rand(5, 4)
    assert set(module.measure(x, module(x))) == {"sum", "low"}
