"""The balance between resolutions as a rule, in every form and under every embedding."""

import pytest
import torch
from torch import nn

from constraints import (
    Additive,
    AugmentedLagrangian,
    Decode,
    GroupBalance,
    Hard,
    Monitor,
    Multiplicative,
    ScaledAdditive,
    Soft,
    Softmax,
    SpecificationError,
)
from constraints.testing import check_embedding, check_rule

FORMS = [Additive(), ScaledAdditive(), Multiplicative(), Softmax()]


class Upsample(nn.Module):
    """Every coarse cell as a 2 x 2 block, through a layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.layer(x.unsqueeze(-3)), 2).squeeze(-3)


def coarse(seed=0, dtype=torch.float64):
    return torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_laws(form):
    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        network = Upsample().to(dtype)
        rule = GroupBalance("(h a) (w b) -> h w", form, a=2, b=2, unit="kg/m^2")
        x = coarse(dtype=dtype)
        check_rule(rule, network, x, network(x))
        for embedding in (Hard(rule), Decode(rule), Soft(rule), AugmentedLagrangian(rule), Monitor(rule)):
            check_embedding(embedding, network, x)


def test_laws_with_a_bound():
    torch.manual_seed(0)
    network, rule = Upsample().double(), GroupBalance("(h a) (w b) -> h w", low=0.0, a=2, b=2)
    x = coarse()
    check_rule(rule, network, x, network(x))
    for embedding in (Hard(rule), Decode(rule), Soft(rule), AugmentedLagrangian(rule)):
        check_embedding(embedding, network, x)
    assert bool((rule.enforce(network(x), x) >= 0).all())


def test_multipliers_of_groups_are_learnt():
    rule = GroupBalance("(h a) (w b) -> h w", a=2, b=2)
    lagrangian = AugmentedLagrangian(rule, rho=2.0)
    y, x = torch.zeros(5, 4, 4), torch.ones(5, 2, 2)
    lagrangian.penalty(nn.Identity(), x, y)
    lagrangian.update()
    assert lagrangian.multiplier.tolist() == [-2.0] * 4


def test_coarse_values_may_be_a_part_of_the_input():
    class Water(GroupBalance):
        def coarse(self, x):
            return x[:, 0]

    rule = Water("(h a) (w b) -> h w", Softmax(), a=2, b=2)
    x = torch.rand(3, 5, 2, 2)
    y = rule.enforce(torch.randn(3, 4, 4), x)
    torch.testing.assert_close(nn.functional.avg_pool2d(y, 2), x[:, 0])


def test_refuses_what_makes_no_sense():
    with pytest.raises(SpecificationError, match=r"low=0.0 needs the additive form, not Softmax"):
        GroupBalance("(t k) -> t", Softmax(), low=0.0, k=2)
    with pytest.raises(SpecificationError, match="needs a BalanceForm, got str"):
        GroupBalance("(t k) -> t", "softmax", k=2)
    with pytest.raises(SpecificationError, match="x=None"):
        GroupBalance("(t k) -> t", k=2).enforce(torch.zeros(4))
