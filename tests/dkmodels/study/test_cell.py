"""A cell: each stream of random numbers is the seed's own, and what is kept of a training is what happened."""

import json
from dataclasses import replace

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers import CSVLogger
from torch import nn

from constraints import Bounds, FixedSum, Hard, Monitor, Soft
from dkmodels.random import seed_streams
from dkmodels.study import Arm, Store, StoreError, UsageError
from dkmodels.study.cell import build, fit_digest, fit_key, load_fit, run_cell


class Listener(Callback):
    """What the generator was seeded with, and the batches, as training saw them."""

    def __init__(self):
        self.seeds, self.batches, self.draws = [], [], []
        self.curves = {"mine": [[1, 2.0]]}

    def on_train_start(self, trainer, pl_module):
        self.seeds.append(torch.initial_seed())
        self.draws.append(torch.rand(3).tolist())

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batches.append(batch[0].sum(-1).tolist())


@pytest.fixture
def listening(tiny):
    """A task, and what each of its trainings and evaluations saw."""
    task, heard = tiny(), []
    evaluate = task.evaluate

    def callbacks(data):
        heard.append(Listener())
        return [heard[-1]]

    def evaluated(module, data, seed):
        heard[-1].seeds.append(torch.initial_seed())
        return evaluate(module, data, seed)

    task.callbacks, task.evaluate = callbacks, evaluated
    return task, heard


def test_every_stream_is_the_seeds_own(listening, tmp_path):
    task, heard = listening
    for seed in (0, 3):
        run_cell(task, Arm("none"), seed, Store(tmp_path))
        assert heard[-1].seeds == [seed_streams(seed)["batches"], seed_streams(seed)["rules"]]
    first, second = heard
    assert first.draws != second.draws and first.batches != second.batches
    run_cell(task, Arm("positive", ("positive",)), 0, Store(tmp_path))
    assert heard[-1].batches == first.batches and heard[-1].draws == first.draws, "the same for every arm"


def test_random_layers_draw_anew_at_each_seed(tiny, tmp_path):
    """Dropout is the same in no two seeds, though data and weights were the same."""
    task = tiny()
    data = task.data(0)
    task.data = lambda seed: data

    def network(seed):
        torch.manual_seed(5)
        return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))

    task.network = network
    task.trainer_options = lambda: {"limit_train_batches": 1}
    order = torch.utils.data.DataLoader(data.train, batch_size=16)
    type(data).loader_before = type(data).loader
    try:
        type(data).loader = lambda self, dataset, *, seed=None: (
            order if seed is not None else self.loader_before(dataset)
        )
        losses = [run_cell(task, Arm("none"), s, Store(tmp_path))["curves"]["train/loss"] for s in (0, 1)]
    finally:
        type(data).loader = type(data).loader_before
        del type(data).loader_before
    assert losses[0] != losses[1]


def test_weights_are_drawn_from_a_stream_of_their_own(tiny):
    task = tiny()
    torch.manual_seed(seed_streams(4)["weights"])
    expected = task.network(4).state_dict()
    torch.manual_seed(99)
    found = build(task, Arm("none"), 4).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_rules_begin_at_the_seeds_own_stream(tiny):
    module = build(tiny(), Arm("none"), 4)
    assert module._streams.seed == seed_streams(4)["rules"]


def test_an_arm_of_unknown_rules_is_refused(tiny):
    with pytest.raises(UsageError, match=r"arm `x` names rules \['nobody'\], expected some of \['shares', 'positive'"):
        build(tiny(), Arm("x", ("nobody",)), 0)


def test_a_setup_acts_on_the_module(tiny):
    assert build(tiny(), Arm("x", (), faster), 0).learning_rate == 7.0


def faster(module):
    module.learning_rate = 7.0


def test_rules_that_do_not_train_share_a_fit(tiny):
    task = tiny()
    rules = task.rules()
    task.rules = lambda: {**rules, "seen": Monitor(FixedSum())}
    none = fit_key(task, Arm("none"))
    assert fit_key(task, Arm("late", ("late",))) == none == fit_key(task, Arm("seen", ("seen",)))
    assert fit_key(task, Arm("a", ("shares",))) != none
    assert none.startswith("none-") and fit_key(task, Arm("a", ("shares", "positive"))).startswith(
        "shares-and-positive-"
    )
    assert fit_digest(task, Arm("late", ("late",)), 0) == fit_digest(task, Arm("none"), 0)


@pytest.mark.parametrize(
    "change", [Hard(Bounds(low=0.0)), Soft(Bounds(low=0.1)), Soft(Bounds(low=0.0), weight=2.0), Soft(FixedSum())]
)
def test_the_digest_of_a_fit_tells_rules_apart(tiny, change):
    task, arm = tiny(), Arm("a", ("positive",))
    before = fit_digest(task, arm, 0)
    rules = task.rules()
    task.rules = lambda: {**rules, "positive": change}
    assert fit_digest(task, arm, 0) != before


def test_a_record_is_what_happened(listening, tmp_path):
    task, _ = listening
    store = Store(tmp_path)
    record = run_cell(task, Arm("both", ("shares", "late")), 1, store, command="typed")
    assert record == json.loads(json.dumps(record)) and record == store.cell("both", 1)
    assert (record["status"], record["arm"], record["seed"], record["command"]) == ("done", "both", 1, "typed")
    assert (record["task"], record["profile"], record["format"], record["setup"]) == ("tiny", "quick", 2, "")
    assert list(record["rules"]) == ["shares", "late"]
    assert record["rules"]["shares"]["embedding"] == "Hard"
    assert record["system"]["steps"] == 4 * 2 and 1e6 > record["system"]["rss_mib"] > 10
    assert [epoch for epoch, _ in record["curves"]["train/loss"]] == [1, 2] and record["curves"]["mine"] == [[1, 2.0]]
    assert {"fit", "fit_cpu", "evaluate", "cell"} <= record["seconds"].keys()
    assert 0 < record["seconds"]["fit"] < record["seconds"]["cell"] and record["seconds"]["evaluate"] > 0
    assert record["trained_here"] and record["traceback"] is None
    assert (tmp_path / "fits" / record["fit"]).exists()
    again = run_cell(task, Arm("shares alone", ("shares",)), 1, store)
    assert not again["trained_here"] and again["fit"] == record["fit"]


def test_a_failure_is_a_record(tiny, tmp_path):
    task = tiny()

    def broken(module, data, seed):
        raise ZeroDivisionError("on purpose")

    task.evaluate = broken
    record = run_cell(task, Arm("none"), 0, Store(tmp_path))
    assert record == Store(tmp_path).cell("none", 0)
    assert (record["status"], record["error"]) == ("failed", "ZeroDivisionError: on purpose")
    assert "in broken" in record["traceback"] and record["metrics"] == {} and record["seconds"]["cell"] > 0


def test_what_the_user_stops_is_no_failure(tiny, tmp_path):
    task = tiny()

    def stopped(module, data, seed):
        raise KeyboardInterrupt

    task.evaluate = stopped
    with pytest.raises(KeyboardInterrupt):
        run_cell(task, Arm("none"), 0, Store(tmp_path))
    assert Store(tmp_path).cell("none", 0) is None


def test_a_fit_is_loaded_as_it_was_trained(tiny, tmp_path):
    task, store, arm = tiny(), Store(tmp_path), Arm("none")
    run_cell(task, arm, 0, store)
    path = store.fit_path(fit_key(task, arm), 0)
    module, record = load_fit(task, arm, 0, path)
    assert not module.training and record["arm"] == "none"
    fresh = build(task, arm, 0)
    assert not torch.equal(module.network[0].weight, fresh.network[0].weight), "trained"
    with pytest.raises(StoreError, match="was trained with other code or settings"):
        load_fit(task, arm, 1, path)
    with pytest.raises(StoreError, match="is not there: run the study first"):
        load_fit(task, arm, 0, path.with_name("other.ckpt"))


def test_counts_become_rates(tiny, tmp_path):
    task = tiny()
    task.evaluate = lambda module, data, seed: {"rmse": 0.5, "wrong": (3, 8)}
    record = run_cell(task, Arm("none"), 0, Store(tmp_path))
    assert record["metrics"] == {"rmse": 0.5, "wrong": 0.375} and record["counts"] == {"wrong": [3, 8]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, None])
def test_a_headline_needs_a_value_that_counts(tiny, tmp_path, value):
    task = tiny()
    task.evaluate = lambda module, data, seed: {} if value is None else {"rmse": value}
    record = run_cell(task, Arm("none"), 0, Store(tmp_path))
    assert record["status"] == "failed"
    assert "metric `rmse` needs a finite value of at most 1e+150, got" in record["error"]
    task.metrics = lambda: [m for m in type(task).metrics(task) if not m.primary]
    assert run_cell(task, Arm("none"), 0, Store(tmp_path))["status"] == "done", (
        "what is no headline is left out of pairs"
    )


def test_a_logger_has_a_folder_of_its_own(tiny, tmp_path):
    folders = []

    def logger(folder):
        folders.append(folder)
        return CSVLogger(str(folder), name="", version="")

    record = run_cell(tiny(), Arm("none"), 0, Store(tmp_path), logger=logger)
    assert folders == [tmp_path / "logs" / record["fit"].removesuffix(".ckpt")]
    assert list(folders[0].glob("**/metrics.csv"))


def test_validation_data_are_validated_on(tiny, tmp_path):
    task = tiny()
    data = task.data
    task.data = lambda seed: replace(data(seed), val=data(seed).test)
    curves = run_cell(task, Arm("none"), 0, Store(tmp_path))["curves"]
    assert [epoch for epoch, _ in curves["val/loss"]] == [1, 2]
    assert "val/loss" not in run_cell(tiny(), Arm("none"), 0, Store(tmp_path / "other"))["curves"]


def test_a_fit_is_rebuilt_at_its_own_seed_and_only_there(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task, seeds = tiny(), []
    network = task.network
    monkeypatch.setattr(type(task), "network", lambda self, seed: seeds.append(seed) or network(seed))
    record = run_cell(task, Arm("none"), 3, Store(tmp_path / "r"))
    assert seeds == [3, 3], "built to train, and to load what was trained"
    assert 0 < record["seconds"]["fit_cpu"] < record["seconds"]["fit"] * 64
    assert {path.name for path in tmp_path.iterdir()} == {"r"}, "no logger writes beside the results"
    _, training = load_fit(task, Arm("none"), 3, tmp_path / "r" / "fits" / record["fit"])
    assert training.keys() == {"arm", "digest", "data", "files", "curves", "seconds", "steps", "rss"}
    assert training["data"] == record["data"] and training["steps"] == record["system"]["steps"]


def test_the_loss_of_the_test_is_logged(tiny, tmp_path):
    assert run_cell(tiny(), Arm("none"), 0, Store(tmp_path))["metrics"]["loss"] > 0


def test_rules_of_a_seed_are_asked_for_that_seed(tiny):
    task, seeds = tiny(), []
    rules = task.rules
    task.rules_of = lambda seed: seeds.append(seed) or rules()
    build(task, Arm("shares", ("shares",)), 5)
    assert seeds == [5]
    assert fit_key(task, Arm("a", ("shares",)))[-6:] != fit_key(task, Arm("a", ("positive",)))[-6:]


def test_losses_of_uneven_batches_are_means_over_samples(tiny, tmp_path):
    """32 test samples in batches of 20 and 12, or all at once: one loss."""
    losses = []
    for size in (20, 32):
        task = tiny()
        data = task.data
        task.data = lambda seed, data=data, size=size: replace(data(seed), batch_size=size)
        task.trainer_options = lambda: {"limit_train_batches": 0}
        losses.append(run_cell(task, Arm("none"), 0, Store(tmp_path / str(size)))["metrics"]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
