"""What holds of every shipped task: it loads, its questions are about its arms, its examples run."""

import doctest
import importlib

import pytest

from benchmarks import TASKS
from constraints import FieldRule
from dkmodels.study import load_task

ON_FUNCTIONS = ["rotations", "rotations-69"]  # rules on the function: no map of outputs, so nothing to decode
SEVERAL_RULES = ["burgers", "chess"]
FIELDS = [name for name, place in TASKS.items() if place.startswith("benchmarks.fields.")]  # rules alone: no baseline
WITH_STRENGTHS = [name for name in TASKS if name not in (*SEVERAL_RULES, *ON_FUNCTIONS, *FIELDS)]
DOCUMENTED = [
    "benchmarks.strengths",
    "benchmarks.burgers.problem",
    "benchmarks.cars.problem",
    "benchmarks.dispatch.case14",
    "benchmarks.dispatch.market",
    "benchmarks.dispatch.rules",
    "benchmarks.downscaling.field",
    "benchmarks.downscaling.network",
    "benchmarks.fields.exhibits",
    "benchmarks.fields.kept",
    "benchmarks.fields.trace",
    "benchmarks.fields.training",
    "benchmarks.hierarchy.genes",
    "benchmarks.hierarchy.scores",
    "benchmarks.pwc.problem",
    "benchmarks.qp.problem",
    "benchmarks.rotations.digits",
    "benchmarks.rotations.module",
]


@pytest.mark.parametrize("name", TASKS)
def test_it_loads_with_its_profiles_and_its_questions(name):
    task = load_task(TASKS[name], "quick")
    assert task.title() == name
    assert {"quick", "standard", "full"} == set(task.profiles)
    assert task.profiles["quick"].seeds == 3
    assert any(metric.primary for metric in task.metrics())
    arms = {arm.name for arm in task.arms()}
    assert name in FIELDS or "none" in arms
    assert all({c.arm, c.baseline} <= arms for c in task.contrasts())
    assert all(len(exhibit.rows) >= 1 for exhibit in task.exhibits([], []))


@pytest.mark.parametrize("name", WITH_STRENGTHS)
def test_one_rule_has_every_embedding_and_the_layer_is_held_against_the_others(name):
    task = load_task(TASKS[name], "quick")
    kinds = {type(embedding).__name__ for embedding in task.rules().values()}
    against = {c.baseline for c in task.contrasts() if c.family == "against another embedding"}
    if all(isinstance(embedding.rule, FieldRule) for embedding in task.rules().values()):
        assert kinds == {"Soft", "AugmentedLagrangian", "Hard"}  # of the function, not of an answer: nothing to decode
        assert "soft" in against
    else:
        assert kinds == {"Soft", "AugmentedLagrangian", "Decode", "Hard"}
        assert {"decode", "soft", "soft + decode"} <= against


@pytest.mark.parametrize("name", ON_FUNCTIONS)
def test_an_architecture_is_held_against_the_loss_and_the_usual_alternative(name):
    task = load_task(TASKS[name], "quick")
    kinds = {type(embedding).__name__ for embedding in task.rules().values()}
    assert {"Soft", "Hard"} <= kinds and "Decode" not in kinds
    against = {c.baseline for c in task.contrasts() if c.family == "against another embedding"}
    assert {"augmentation", "soft"} <= against


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_in_the_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
