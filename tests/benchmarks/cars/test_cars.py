"""The cars: data, splits without leaks, the judge, every arm for a few steps, the peers' rows."""

import pytest
import torch
from torch.utils.data import TensorDataset

from benchmarks.cars import exhibits
from benchmarks.cars.exhibits import beside_peers
from benchmarks.cars.problem import FALLING, FEATURES, judge, split, sweeps
from benchmarks.cars.task import Cars, Cars20
from constraints.testing import check_rule
from dkmodels.study.cell import build
from dkmodels.study.task import Profile


def test_the_cars_are_the_published_ones():
    cars = split(0, None)
    x = torch.cat([part[0] for part in (cars.train, cars.val, cars.test)])
    y = torch.cat([part[1] for part in (cars.train, cars.val, cars.test)]) * cars.scale + cars.centre
    assert x.shape == (392, 9)
    assert float(y.min()) == pytest.approx(9.0, abs=1e-4) and float(y.max()) == pytest.approx(46.6, abs=1e-4)
    assert float(y.mean()) == pytest.approx(23.446, abs=1e-3)
    assert x[:, 6:].sum(dim=0).tolist() == [245.0, 68.0, 79.0]
    assert (x[:, 6:].sum(dim=1) == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_parts_do_not_overlap_and_nothing_but_training_cars_sets_the_scale(seed):
    whole, few = split(seed, None), split(seed, 20)
    for cars, sizes in ((whole, (254, 60, 78)), (few, (20, 10, 78))):
        parts = (cars.train, cars.val, cars.test)
        assert tuple(len(x) for x, _ in parts) == sizes
        rows = torch.cat([torch.cat(part, dim=1) for part in parts])
        assert len(rows.unique(dim=0)) == len(rows)
        x, y = cars.train
        torch.testing.assert_close(x[:, :6].mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)
        torch.testing.assert_close(x[:, :6].std(dim=0, unbiased=False), torch.ones(6), atol=1e-5, rtol=0)
        assert abs(float(y.mean())) < 1e-5
    mileage = [c.test[1] * c.scale + c.centre for c in (whole, few)]
    torch.testing.assert_close(*mileage)  # the same test cars
    assert not torch.equal(split(seed, None).test[1], split(seed + 1, None).test[1])


def test_the_judge_knows_right_from_wrong():
    cars = split(0, 20)
    assert judge(lambda x: -x[:, :4].sum(dim=1, keepdim=True), cars)["wrong_curves"] == (0, 312)
    wrong = judge(lambda x: x[:, 3:4], cars)
    assert wrong["wrong_curves"] == (78, 312)
    span = cars.scale * float(cars.high[3] - cars.low[3])
    assert wrong["wrong_way_max"] == pytest.approx(span, rel=1e-5)
    assert wrong["wrong_way"] == pytest.approx(span / 4, rel=1e-5)
    middle = judge(lambda x: torch.zeros(len(x), 1), cars)
    assert middle["rmse"] == pytest.approx(float((cars.scale * cars.test[1].double()).square().mean().sqrt()))
    curves = sweeps(cars, "weight")
    assert (curves[:, 1:] - curves[:, :-1]).abs().amax(dim=(0, 1)).nonzero().flatten().tolist() == [0]


def test_the_rule_obeys_the_laws():
    task = Cars("quick")
    module = build(task, task.arms()[0], 0)
    x = task.data(0).test.tensors[0]
    check_rule(task.rule(), module.network, x, module(x))
    assert {FEATURES[i] for i in task.rule().scope.columns} == set(FALLING)


def test_every_arm_trains_and_architectures_obey(run_arms):
    _, store = run_arms(Cars20, Profile(seeds=2, epochs=4, rounds=1))
    cells = {cell["arm"]: cell["metrics"] for cell in store.cells()}
    for arm in ("wrap", "shaped"):
        assert cells[arm]["wrong_curves"] == 0.0
        assert cells[arm]["wrong_way_max"] < 1e-4
    assert cells["none"]["wrong_curves"] > 0.0
    table = beside_peers(store.cells(), [], "cars-20")
    assert [row[0] for row in table.rows[1:6]] == list(exhibits.ARMS.values())


def test_the_best_weights_are_kept():
    from pytorch_lightning import seed_everything

    from benchmarks.cars.module import FuelModule, KeepBest
    from dkmodels.study.task import quiet_trainer

    seed_everything(0, verbose=False)
    x = torch.randn(32, 2)
    data = TensorDataset(x, x[:, :1])
    module = FuelModule(torch.nn.Linear(2, 1), {}, learning_rate=0.5)  # far too fast: the loss goes up and down
    trainer = quiet_trainer(max_epochs=12)
    trainer.fit(
        module, torch.utils.data.DataLoader(data, batch_size=8), torch.utils.data.DataLoader(data, batch_size=32)
    )
    (keeper,) = [c for c in trainer.callbacks if isinstance(c, KeepBest)]
    with torch.no_grad():
        assert float(module.task_loss(module(x), x[:, :1])) == pytest.approx(keeper.least, rel=1e-5)


def test_rows_of_peers_are_read(tmp_path, monkeypatch):
    file = tmp_path / "peers.csv"
    file.write_text(
        "task,peer,seed,rmse,mae,wrong_way,wrong_way_max,wrong_curves\n"
        "cars,a lattice,0,2.0,1.5,0.0,0.0,0.0\ncars,a lattice,1,4.0,1.5,0.5,0.0,0.5\n"
        "cars-20,trees,0,3.0,2.0,0.0,0.0,0.0\n"
    )
    monkeypatch.setattr(exhibits, "PEERS", file)
    assert beside_peers([], [], "cars").rows[1:] == [
        ["peer: a lattice", "3 (1.4)", "10", "0.25 (0.35)", "25 %", "-"],
    ]
    monkeypatch.setattr(exhibits, "PEERS", tmp_path / "none.csv")
    assert len(beside_peers([], [], "cars").rows) == 1
