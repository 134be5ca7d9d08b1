"""Genes in a hierarchy: the set is what it says, the score is the published one, every arm trains."""

import numpy as np
import pytest
import torch

from benchmarks.hierarchy.exhibits import arms_table, level_table
from benchmarks.hierarchy.genes import FEATURES, LEVELS, generate, levels_of
from benchmarks.hierarchy.scores import area_under_average_precision
from benchmarks.hierarchy.task import GenesProfile, HierarchyTask


def test_the_set_is_a_hierarchy_with_many_rare_labels():
    genes = generate(800, seed=3)
    again = generate(800, seed=3)
    np.testing.assert_array_equal(genes.features, again.features)
    assert genes.edges == again.edges and genes.features.shape == (800, FEATURES)
    children, parents = np.array(genes.edges).T
    assert (genes.labels[:, children] <= genes.labels[:, parents]).all()
    assert (levels_of()[children] > levels_of()[parents]).all()
    assert set(children) == set(range(LEVELS[0], sum(LEVELS)))  # all but the top have parents
    assert len(genes.edges) > len(set(children))  # some have two
    assert genes.labels.sum(axis=1).min() >= 1 and 3 < genes.labels.sum(axis=1).mean() < 8
    assert np.median(genes.labels.mean(axis=0)) < 0.03


def test_the_features_tell_of_the_labels():
    genes = generate(2000, seed=3)
    x = np.c_[genes.features, np.ones(2000)]
    weights = np.linalg.lstsq(x[:1000], genes.labels[:1000], rcond=None)[0]
    target = torch.from_numpy(genes.labels[1000:])
    found = area_under_average_precision(torch.from_numpy(x[1000:] @ weights), target)
    base = float(target.mean())
    assert found > 3 * base


def naive_average_precision(scores, target):
    """A threshold at a time."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [t for s, t in zip(scores, target, strict=True) if s >= threshold]
        recall = sum(taken) / sum(target)
        total += (recall - before) * sum(taken) / len(taken)
        before = recall
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_that_of_all_labels_pooled(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(20, 7, generator=generator).mul(2).round()  # ties
    target = (torch.rand(20, 7, generator=generator) < 0.3).float()
    expected = naive_average_precision(scores.flatten().tolist(), target.flatten().tolist())
    assert abs(area_under_average_precision(scores, target) - expected) < 1e-6


def test_every_arm_trains_and_the_maps_are_coherent(run_arms):
    task, store = run_arms(HierarchyTask, GenesProfile(seeds=2, epochs=1, rounds=1, train=96, test=60))
    cells = {cell["arm"]: cell["metrics"] for cell in store.cells()}
    for arm in ("hard", "mcloss", "decode", "decode_lower", "decode_nearest", "soft + decode"):
        assert cells[arm]["incoherent"] == 0.0
    for arm in ("none", "soft", "lagrangian"):
        assert cells[arm]["incoherent"] > 0.5
    assert len(arms_table(store.cells(), []).rows) == len(level_table(store.cells()).rows) == 10
    one, two = task.data(0), task.data(1)
    assert one.train[0][0].shape == (FEATURES,)
    assert not torch.equal(one.test.tensors[0], two.test.tensors[0])


def test_the_loss_that_knows_of_the_map_sees_the_scores_before_it(monkeypatch):
    monkeypatch.setattr(HierarchyTask, "profiles", {"quick": GenesProfile(train=96, test=60)})
    task = HierarchyTask("quick")
    torch.manual_seed(0)
    module = task.module(task.network(0), {"mcloss": task.rules()["mcloss"]}).eval()
    x, target = task.data(0).test.tensors
    coherent = module(x)
    module.train()
    torch.nn.Module.eval(module.network)  # no dropout, to compare
    free = module(x)
    rule = task.hierarchy()
    torch.testing.assert_close(rule.enforce(free), coherent)
    torch.testing.assert_close(module.task_loss(free, target), rule.loss(free, target).mean())
    assert bool((rule.measure(module, x, free) > 0).any())
