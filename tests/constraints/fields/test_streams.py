from __future__ import annotations

import math

import pytest
import torch

from constraints.fields import Derivatives, DifferentialOperator, Jet, laplacian, partials
from constraints.fields.program import compile_program
from constraints.fields.streams import plan

DX, DY = partials(2)


@pytest.mark.parametrize(
    "wanted, streams",
    [
        ([DX**0], 1),
        ([DX], 2),
        ([DX**0, DX, DY, DX**2], 4),  # Burgers
        ([DY - 0.1 * DX**2], 3),  # the whole heat equation is one stream
        ([laplacian(2)], 4),
        ([laplacian(2), DX**2, DY**2], 5),
        ([laplacian(50)], 52),
        ([laplacian(2) ** 2], 11),
        ([DX**2 * DY], 6),
        ([DX**2, DX * DY, DY**2], 6),
    ],
)
def test_no_more_streams_than_needed(wanted: list[DifferentialOperator], streams: int) -> None:
    assert len(plan(wanted).streams) == streams


def test_dependent_sums_are_one_stream() -> None:
    found = plan([laplacian(2), -2.0 * laplacian(2), DX**2 + DY**2 + DX])
    assert len(found.streams) == 4
    assert found.sums[1] == tuple((place, -2.0 * c) for place, c in found.sums[0])


def test_chain_rule_counts_all_partitions() -> None:
    """The coefficients of each derivative sum to the number of set partitions, Bell's number, less the one block."""
    for order, bell in enumerate([1, 2, 5, 15], start=1):
        streams = plan([DifferentialOperator({(order,): 1.0})]).streams
        assert sum(streams.chain[-1].values()) == bell - 1


def test_product_rule_counts_all_parts() -> None:
    streams = plan([DX**2 * DY**2]).streams
    assert sum(streams.product[-1].values()) == 2**4 - 2


def test_long_sums_of_squares_are_runs() -> None:
    streams = plan([laplacian(10)]).streams
    (group,) = compile_program(streams, (11,)).groups
    assert [(run.low, run.high) for run in group.runs] == [(1, 11)] and not group.terms


def test_arithmetic_of_jets() -> None:
    derivatives = Derivatives([(0,), (1,), (2,), (3,)])
    t = Jet.of_points(derivatives.streams, torch.tensor([[0.5]], dtype=torch.float64))
    quotient = (2.0 - t) / (1.0 + t)  # 3/(1+t) - 1
    expected = [3 / 1.5 - 1, -3 / 1.5**2, 6 / 1.5**3, -18 / 1.5**4]
    assert torch.allclose(quotient.stack.flatten(), torch.tensor(expected, dtype=torch.float64))
    one = 1.0 / t - t * torch.tensor([2.0]).double() + torch.tensor([[1.0]]).double()
    assert math.isclose(float(one.value), 2.0)
    both = Jet.concatenate([t, t * t])
    assert both[..., [1, 0]].stack[0].flatten().tolist() == [0.25, 1.0, 2.0, 0.0]
