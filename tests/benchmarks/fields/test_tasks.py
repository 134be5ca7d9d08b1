"""Field tasks: every arm is built and holds what it says, cells run from end to end, tables and pictures are drawn."""

import json
from functools import partial

import matplotlib.pyplot as plt
import pytest
import torch
from rich.console import Console

from benchmarks import TASKS
from benchmarks.fields import gallery, heat_inverse
from benchmarks.fields.exhibits import errors_beside_published
from benchmarks.fields.task import FieldTask, WholeBatches, learnt_numbers
from benchmarks.fields.training import (
    LargerLBFGS,
    by_adam,
    by_lbfgs,
    by_levenberg_marquardt,
    by_self_scaled_bfgs,
    by_soap,
    careful,
)
from constraints import FieldEquation, Hard
from dkmodels.study import Store, Study, load_task
from dkmodels.study.cell import build, fit_key, load_fit, run_cell
from dkmodels.study.task import Profile, quiet_trainer

NAMES = [name for name, place in TASKS.items() if place.startswith("benchmarks.fields.")]


@pytest.fixture
def small(monkeypatch):
    """Makes a task small."""

    def make(name):
        task = load_task(TASKS[name], "quick")
        assert isinstance(task, FieldTask)
        monkeypatch.setattr(type(task), "points", 40)
        monkeypatch.setattr(type(task), "hidden", (6, 2))
        task.profile = Profile(seeds=2, epochs=1, rounds=1, cost_seeds=1)
        return task

    return make


@pytest.mark.parametrize("name", NAMES)
def test_every_arm_is_built_and_holds_what_it_says(small, name):
    task = small(name)
    names = {arm.name for arm in task.arms()}
    assert names == set(task.titles) and set(task.shown) <= names
    assert all({contrast.arm, contrast.baseline} <= names for contrast in task.contrasts())
    data = task.data(0)
    x, _ = build(task, task.arms()[0], 0).unpack(next(iter(data.loader(data.train))))
    for arm in task.arms():
        module = build(task, arm, 0)
        assert module(x).shape == (*x.shape[:-1], len(task.names))
        for embedding in module.embeddings().values():
            if isinstance(embedding, Hard) and isinstance(embedding.rule, FieldEquation):
                assert embedding.rule.guaranteed(module.network)
            elif isinstance(embedding, Hard):
                assert float(embedding.measure(module, x, module(x)).max()) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_costs_of_an_arm_can_be_measured(small, name):
    task = small(name)
    module = build(task, task.arms()[-1], 0)
    loads = task.workloads(module, task.data(0))
    done = {phase: load.run() for phase, load in loads.items()}
    assert done["train_step"] == (1 if module.balance is None else module.balance.every)
    assert done["inference_large_batch"] >= min(4 * task.points, len(task.grid()))


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_from_end_to_end(small, name, tmp_path):
    task = small(name)
    arm = task.arms()[-1]
    record = run_cell(task, arm, 0, Store(tmp_path))
    assert record["status"] == "done", record.get("traceback")
    wanted = {metric.name for metric in task.metrics()}
    assert wanted <= set(record["metrics"])
    curves = record["curves"]
    assert len(curves["error"]) == len(curves["seconds"]) == 1 and curves["evaluations"][0][1] >= 1
    table = errors_beside_published(task, [record])
    assert list(task.sought.values()) == table.rows[0][1 : 1 + len(task.sought)]
    budgets, costs = task.exhibits([record], [])[1:3]
    assert budgets.rows[1][0] == costs.rows[1 + list(task.titles).index(arm.name)][0] == task.titles[arm.name]
    assert float(budgets.rows[1][-1]) == pytest.approx(curves["error"][-1][1], rel=0.01)
    assert len(table.rows) == 2 + len(task.published) and task.titles[arm.name] == table.rows[1][0]
    column = table.rows[0].index("relative L2")
    assert [(row[0], row[column]) for row in table.rows[2:]] == list(task.published)


def test_pictures_are_drawn_of_a_study(small, tmp_path, monkeypatch):
    task = small("poisson")
    arms = [arm for arm in task.arms() if arm.name in ("hard", "hard, Adam")]
    monkeypatch.setattr(type(task), "shown", ("hard", "hard, Adam"))
    Study(task, out=tmp_path, seeds=2, arms=arms, reference="poisson", console=Console(quiet=True)).run(costs=False)
    monkeypatch.setattr(gallery, "trained", lambda results, names, seed: (task, _modules(task, names, tmp_path, seed)))
    drawn = gallery.figures(tmp_path)
    assert set(drawn) == {"fields.png", "curves.png"}
    assert len(drawn["curves.png"].axes) == 3 and len(drawn["fields.png"].axes) >= 6
    plt.close("all")


def _modules(task, names, folder, seed):
    store = Store(folder)
    by_name = {arm.name: arm for arm in task.arms()}
    return {n: load_fit(task, by_name[n], seed, store.fit_path(fit_key(task, by_name[n]), seed))[0] for n in names}


def test_learnt_numbers_are_told(small):
    task = small("lorenz_inverse")
    assert learnt_numbers(build(task, task.arms()[0], 0)) == pytest.approx({"sigma": 5.0, "rho": 5.0, "beta": 1.0})
    heat = small("heat_inverse")
    one, other = (json.dumps(heat.rules_of(seed)["sensors"].rule.values.tolist()) for seed in (0, 1))
    assert one != other, "each seed has its own thermometers"


@pytest.mark.parametrize(
    "setup",
    [partial(by_adam, steps=200), by_lbfgs, by_levenberg_marquardt, by_self_scaled_bfgs, partial(by_soap, steps=200)],
)
def test_every_way_to_train_lowers_the_loss(small, setup):
    task = small("poisson")
    module = build(task, task.arms()[1], 0)
    setup(module)
    data = task.data(0)
    trainer = quiet_trainer(max_epochs=4, accelerator="cpu")
    before = _loss(module, data)
    trainer.fit(module, data.loader(data.train))
    assert _loss(module, data) < 0.5 * before


def test_whole_batches_stay_in_order_when_shuffled(small):
    data = small("burgers-emphasis").data(0)
    assert isinstance(data.train, WholeBatches)
    batches = list(data.loader(data.train, seed=1))
    assert len(batches) == 50 and all(torch.equal(batch, data.train.points[None]) for batch in batches)


def test_few_and_noisy_thermometers(small):
    few, noisy, all_of_them = (small(f"heat_inverse{kind}") for kind in ("-few", "-noisy", ""))
    assert [len(task.rules_of(0)["sensors"].rule.values) for task in (few, noisy, all_of_them)] == [60, 600, 600]
    records = [off_by_two(seed) for seed in (0, 1)]
    table = all_of_them.exhibits(records, [])[-1]
    assert table.rows[1] == ["thermometers, equation Soft", "2 (2 to 2)"]


def off_by_two(seed):
    """As if an arm were off by two deviations."""
    least = heat_inverse.least_deviation(heat_inverse.sensors(seed)[0])
    metrics = {"parameter_error": 2.0 * least}
    return {"arm": "equation", "status": "done", "seed": seed, "metrics": metrics, "curves": {}}


def test_learnt_numbers_begin_carefully():
    assert [stage.steps for stage in careful([torch.nn.Parameter(torch.zeros(1))], first=3).stages] == [3, None]


def _loss(module, data):
    terms = module.squares(next(iter(data.loader(data.train))))
    return float(torch.stack([term.loss().detach() for term in terms]).sum())


def test_lbfgs_learns_where_losses_are_small():
    """torch's own drops pairs by an absolute threshold, and creeps; ours takes the steps of a loss of ordinary size."""

    def reached(kind, factor):
        x = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        optimizer = kind([x], max_iter=60, line_search_fn="strong_wolfe", tolerance_grad=0.0, tolerance_change=0.0)

        def closure():
            optimizer.zero_grad()
            loss = factor * ((1.0 - x[0]) ** 2 + 100.0 * (x[1] - x[0] ** 2) ** 2)
            loss.backward()
            return loss

        first = optimizer.step(closure)
        assert float(first) == pytest.approx(24.2 * factor)
        return float((x.detach() - 1.0).norm())

    assert reached(torch.optim.LBFGS, 1e-12) > 0.5
    assert reached(LargerLBFGS, 1e-12) < 1e-6
