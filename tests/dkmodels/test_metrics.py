"""How much, and how often, rules are violated, against means, maxima and shares taken at once."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from dkmodels import RuleViolation, SatisfactionRate
from dkmodels.metrics import RuleMeters

BATCHES = st.lists(st.lists(st.floats(0, 1e6, width=32), max_size=5).map(torch.tensor), min_size=1, max_size=4).filter(
    lambda batches: any(len(batch) for batch in batches)
)


@given(BATCHES)
def test_batches_add_up(batches):
    violation, satisfaction = RuleViolation(), SatisfactionRate()
    for batch in batches:
        violation.update(batch)
        satisfaction.update(batch, atol=1.0)
    every = torch.cat(batches).double()
    assert_close(violation.compute()["mean"], every.mean())
    assert violation.compute()["max"] == every.max()
    assert_close(satisfaction.compute(), (every <= 1.0).float().mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_dtype_is_summed_in_float64(dtype):
    metric = RuleViolation()
    metric.update(torch.full((100_000,), 0.1, dtype=dtype))
    assert_close(metric.compute()["mean"], torch.tensor(0.1, dtype=dtype).double(), rtol=1e-9, atol=0.0)


def test_tolerances_of_each_sample():
    metric = SatisfactionRate()
    metric.update(torch.tensor([1.0, 1.0]), atol=torch.tensor([0.5, 2.0]))
    assert float(metric.compute()) == 0.5


def test_nan_stays_visible_and_is_never_satisfied():
    violation, satisfaction = RuleViolation(), SatisfactionRate()
    for batch in (torch.tensor([1.0, torch.nan]), torch.tensor([3.0])):
        violation.update(batch)
        satisfaction.update(batch, atol=5.0)
    assert all(value.isnan() for value in violation.compute().values())
    assert_close(satisfaction.compute(), torch.tensor(2 / 3))


def test_nothing_measured_is_no_figure():
    meters = RuleMeters()
    meters.add("some")
    assert all(value.isnan() for value in meters.flush().values())


def test_meters_keep_rules_apart_and_begin_anew():
    meters = RuleMeters()
    for name in ("first", "second"):
        meters.add(name)
    meters.update("first", torch.tensor([1.0, 3.0]))
    meters.update("second", torch.tensor([0.0]))
    copies = [copy.deepcopy(meters), pickle.loads(pickle.dumps(meters)), meters]
    expected = {"violation/first/mean": 2.0, "violation/first/max": 3.0, "satisfaction/first": 0.0}
    expected |= {"violation/second/mean": 0.0, "violation/second/max": 0.0, "satisfaction/second": 1.0}
    for each in copies:
        assert {key: float(value) for key, value in each.flush().items()} == expected
    meters.update("first", torch.tensor([5.0]))
    assert float(meters.flush()["violation/first/mean"]) == 5.0
    with pytest.raises(KeyError):
        meters.update("third", torch.tensor([0.0]))


def test_meters_are_no_state_of_a_model():
    meters = RuleMeters()
    meters.add("some")
    assert not meters.state_dict()


def test_no_tolerance_by_default_and_a_violation_of_the_tolerance_is_within():
    metric = SatisfactionRate()
    metric.update(torch.tensor([0.0, 1e-12, 0.5]))
    assert_close(metric.compute(), torch.tensor(1 / 3))
    metric.update(torch.tensor([0.5, 0.5 + 1e-6]), atol=0.5)
    assert_close(metric.compute(), torch.tensor(2 / 5))
    meters = RuleMeters()
    meters.add("some")
    meters.update("some", torch.tensor([0.0, 1e-12]))
    assert float(meters.flush()["satisfaction/some"]) == 0.5


def test_metrics_of_several_processes_are_those_of_all_samples():
    """As torchmetrics brings them together: a sum of sums, the largest of the largest."""
    batches = [torch.tensor([1.0, 5.0, 0.0]), torch.tensor([2.0])]
    for kind in (RuleViolation, SatisfactionRate):
        parts, whole = [kind(), kind()], kind()
        for part, batch in zip(parts, batches, strict=True):
            part.update(batch)
            whole.update(batch)
        parts[1].merge_state(parts[0])
        merged, expected = parts[1].compute(), whole.compute()
        assert_close(merged, expected)
