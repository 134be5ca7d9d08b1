"""Laws of rules of fields that are embedded as Hard; shipped, so that your own architectures can be held to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from constraints.embeddings import Hard, join
from constraints.fields import Derivatives
from constraints.symbolic.field_equation import FieldEquation

__all__ = ["check_reach", "obeying_fields"]

TOLERANCE = 1e-6


class Polynomials(nn.Module):
    """Fields of Chebyshev polynomials of all coordinates, `(*batch, d)` to `(*batch, n)`.

    Args:
        degree: the highest along each coordinate.
        low: of the box over which they are of size 1, `(d,)`.
        high: its other corner, `(d,)`.
        outputs: how many fields.

    Example:
        >>> Polynomials(2, torch.zeros(1), torch.ones(1), 1)(torch.zeros(5, 1)).shape
        torch.Size([5, 1])
    """

    def __init__(self, degree: int, low: Tensor, high: Tensor, outputs: int) -> None:
        super().__init__()
        self.in_features = len(low)
        self.low, self.high, self.degree = low.double(), high.double(), degree
        self.exponents = torch.tensor(list(itertools.product(range(degree + 1), repeat=len(low))))
        self.coefficients = nn.Parameter(torch.zeros(outputs, len(self.exponents), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """The values of the fields."""
        z = (2.0 * x - self.low - self.high) / (self.high - self.low)
        along = [torch.ones_like(z), z]
        for _ in range(self.degree - 1):
            along.append(2.0 * z * along[-1] - along[-2])
        table = torch.stack(along[: self.degree + 1], dim=-1)
        basis = torch.ones_like(table[..., 0, self.exponents[:, 0]])
        for axis in range(x.shape[-1]):
            basis = basis * table[..., axis, self.exponents[:, axis]]
        return basis @ self.coefficients.mT


def obeying_fields(
    rules: Sequence[FieldEquation], degree: int, low: Tensor, high: Tensor, generator: torch.Generator, count: int = 1
) -> list[Polynomials]:
    """Random polynomials that obey linear rules, found from the rules' residuals alone.

    Args:
        rules: linear in the fields.
        degree: of the polynomials, high enough for the values that the rules give.
        low: of the domain, `(d,)`.
        high: its other corner, `(d,)`.
        generator: source of random numbers.
        count: how many.

    Raises:
        AssertionError: no polynomial of that degree obeys.

    Example:
        >>> import sympy
        >>> from constraints.symbolic.declare import declare
        >>> x = sympy.Symbol("x")
        >>> u = sympy.Function("u")(x)
        >>> wall = declare(sympy.Eq(u.subs(x, 0), 0), fields=[u], domain={x: (0, 1)})
        >>> (field,) = obeying_fields([wall], 3, torch.zeros(1), torch.ones(1), torch.Generator().manual_seed(0))
        >>> abs(field(torch.zeros(1, 1, dtype=torch.float64)).item()) < 1e-12
        True
    """
    fields = len(rules[0].fields)
    field = Polynomials(degree, low, high, fields)
    points = low + (high - low) * torch.rand(4 * degree ** len(low), len(low), generator=generator, dtype=torch.float64)
    state = torch.get_rng_state()

    def residual() -> Tensor:
        torch.set_rng_state(state)  # the same draws each time
        parts = [rule.quantity(field, rule.points(points).reshape(-1, len(low))).detach().flatten() for rule in rules]
        return torch.cat(parts)

    matrix, offset = _affine_map(residual, field.coefficients)
    inverse = torch.linalg.pinv(matrix, rtol=1e-10)
    found = []
    for _ in range(count):
        one = Polynomials(degree, low, high, fields)
        weights = torch.randn(field.coefficients.numel(), generator=generator, dtype=torch.float64)
        for _ in range(2):  # the second mends the rounding of the first
            weights = weights - inverse @ (offset + matrix @ weights)
        size = float((offset + matrix @ weights).abs().max())
        assert size < 1e-8 * max(1.0, float(offset.abs().max())), f"no field of degree {degree} obeys: off by {size}"
        with torch.no_grad():
            one.coefficients.copy_(weights.reshape(one.coefficients.shape))
        found.append(one)
    return found


def check_reach(
    rules: Mapping[str, FieldEquation],
    low: Tensor,
    high: Tensor,
    places: Tensor,
    *,
    degree: int = 5,
    extra: int = 4,
    potentials: int | None = None,
    order: int = 4,
    count: int = 2,
    seed: int = 0,
) -> None:
    """Hard imposes nothing but the rules: random fields that obey are reached, with derivatives up to order 4.

    The network is a polynomial, of which the joined field is an affine function; its coefficients are fitted to the
    field that obeys. Where Hard excludes some fields that obey, the fit leaves an error.

    Args:
        rules: linear rules of the same fields by name, all embedded as Hard.
        low: of the domain, `(d,)`.
        high: its other corner, `(d,)`.
        places: where derivatives are compared, `(n, d)`, the boundary among them.
        degree: of the fields that obey.
        extra: by how much the network's degree is higher.
        potentials: outputs of the network, by default one a field.
        order: of the derivatives that are compared, at most 4; one less a potential's derivative.
        count: how many random fields.
        seed: of their coefficients.

    Raises:
        AssertionError: a field that obeys and is not reached, with the derivative that differs.

    Example:
        >>> import sympy
        >>> from constraints.symbolic.declare import declare
        >>> x = sympy.Symbol("x")
        >>> u = sympy.Function("u")(x)
        >>> slope = declare(sympy.Eq(u.diff(x).subs(x, 0), 0), fields=[u], domain={x: (0, 1)})
        >>> check_reach({"slope": slope}, torch.zeros(1), torch.ones(1), torch.zeros(1, 1))
    """
    d, fields = len(low), len(next(iter(rules.values())).fields)
    low, high, places = low.double(), high.double(), places.double()
    nodes = (1.0 - torch.cos(torch.pi * torch.linspace(0.0, 1.0, degree + extra + 3, dtype=torch.float64))) / 2.0
    points = low + (high - low) * torch.cartesian_prod(*[nodes] * d).reshape(-1, d)
    wanted = [index for index in itertools.product(range(order + 1), repeat=d) if sum(index) <= order]
    derivatives = Derivatives(wanted)
    network = Polynomials(degree + extra, low, high, fields if potentials is None else potentials)
    model = join(network, {name: Hard(rule) for name, rule in rules.items()})
    matrix, offset = _affine_map(lambda: model(points).detach().flatten(), network.coefficients)
    generator = torch.Generator().manual_seed(seed)
    for target in obeying_fields(list(rules.values()), degree, low, high, generator, count):
        truth = target(points).detach().flatten()
        found = torch.linalg.lstsq(matrix, (truth - offset)[:, None], rcond=1e-13, driver="gelsd").solution
        with torch.no_grad():
            network.coefficients.copy_(found.reshape(network.coefficients.shape))
        for index, value, right in zip(wanted, derivatives(model, places), derivatives(target, places), strict=True):
            error = float((value - right).detach().abs().max())
            size = max(1.0, float(right.detach().abs().max()))
            assert error < TOLERANCE * size, (
                f"a field that obeys is not reached: its derivative {index} is {right.detach().flatten().tolist()}, "
                f"that of the nearest field {value.detach().flatten().tolist()}"
            )


def _affine_map(evaluate: Callable[[], Tensor], coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """What evaluates to an affine function of coefficients, as a matrix `(m, n)` and an offset `(m,)`."""
    with torch.no_grad():
        coefficients.zero_()
    offset, columns = evaluate(), []
    for i in range(coefficients.numel()):
        with torch.no_grad():
            coefficients.zero_().view(-1)[i] = 1.0
        columns.append(evaluate() - offset)
    with torch.no_grad():
        coefficients.zero_()
    return torch.stack(columns, dim=1), offset
