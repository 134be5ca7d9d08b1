"""At a corner second derivatives of a distance are refused, not answered with the size of what guards a root."""

import pytest
import sympy
import torch
from torch import nn

from constraints import NonFiniteError, declare
from constraints.domains import Ball, Cuboid, Domain, Polygon
from constraints.embeddings import Hard, join

X, Y = sympy.symbols("x y")
U = sympy.Function("u")(X, Y)
LINE = Cuboid([0.0], [1.0])
SQUARES = [Cuboid([0.0, 0.0], [1.0, 1.0]), Polygon([[0, 0], [1, 0], [1, 1], [0, 1]]), LINE * LINE]
CORNERS = [[0.0, 0.0], [1.0, 1.0]]
BESIDE = [[0.5, 0.5], [0.5, 0.0], [1e-6, 1e-6]]


def rule_on(domain: Domain, gap: sympy.Expr):
    return declare(sympy.Eq(gap, 0), fields=[U], domain={(X, Y): domain}, draws=0, name="inside")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("domain", SQUARES, ids=lambda one: type(one).__name__)
def test_a_corner_has_no_second_derivative(domain, dtype):
    rim = declare(sympy.Eq(U, 0), fields=[U], domain={(X, Y): domain.boundary()})
    model = join(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype), {"rim": Hard(rim)})
    curved, steep = rule_on(domain, U.diff(X, 2) + U.diff(Y, 2)), rule_on(domain, U.diff(X) + U.diff(Y))
    with pytest.raises(
        NonFiniteError, match=r"`inside` needs finite residuals.*2 of 5 points, the first at \{'x': 0.0"
    ):
        curved.quantity(model, torch.tensor(CORNERS + BESIDE, dtype=dtype))
    assert bool(curved.quantity(model, torch.tensor(BESIDE, dtype=dtype)).isfinite().all())
    assert bool(steep.quantity(model, torch.tensor(CORNERS + BESIDE, dtype=dtype)).isfinite().all())


def test_a_boundary_without_corners_has_all_derivatives():
    disk = Ball([0.0, 0.0], 1.0)
    model = join(nn.Linear(2, 1), {"rim": Hard(declare(sympy.Eq(U, 0), fields=[U], domain={(X, Y): disk.boundary()}))})
    points = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert bool(rule_on(disk, U.diff(X, 2)).quantity(model, points).isfinite().all())
