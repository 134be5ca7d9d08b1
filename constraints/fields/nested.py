"""Derivatives by reverse mode in reverse mode, for fields that jets cannot pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, UnsupportedError
from constraints.fields.layers import smoothness
from constraints.fields.operators import DifferentialOperator, MultiIndex
from constraints.functional.one_tensor import require_tensor

__all__ = ["nested_derivatives"]


@torch.compiler.disable(reason="torch.compile loses derivatives of derivatives")  # type: ignore[untyped-decorator]
def nested_derivatives(
    field: Callable[[Tensor], Tensor], points: Tensor, wanted: Sequence[DifferentialOperator]
) -> tuple[Tensor, ...]:
    """The wanted derivatives of a field whose value at a point depends on that point alone.

    Args:
        field: `(batch, coordinates)` to `(batch, n)`.
        points: `(batch, coordinates)`.
        wanted: the operators.

    Returns:
        A tensor `(batch, n)` for each of them.

    Raises:
        UnsupportedError: a layer in it is not smooth enough.
        ShapeError: the field does not give one row a point.

    Example:
        >>> identity = DifferentialOperator({(0,): 1.0})
        >>> third = DifferentialOperator({(3,): 1.0})
        >>> [d.item() for d in nested_derivatives(torch.sin, torch.zeros(1, 1), [identity, third])]
        [0.0, -1.0]
    """
    _check_smoothness(field, max(operator.order for operator in wanted))
    graph = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():  # in inference mode all derivatives would be 0
        if points.is_inference():
            points = points.clone()
        points = points if points.requires_grad else points.detach().requires_grad_()
        u = field(points)
        require_tensor("a field", u)
        if u.dim() != 2 or len(u) != len(points):
            raise ShapeError(f"a field needs an output (batch, n) of points (batch, d), got shape {tuple(u.shape)}")
        columns = [_Column(column, points) for column in u.unbind(-1)]
        found = [torch.stack([column.apply(operator) for column in columns], dim=-1) for operator in wanted]
    return tuple(value if graph else value.detach() for value in found)


class _Column:
    """One function, and its derivatives as far as they were asked for."""

    def __init__(self, values: Tensor, points: Tensor) -> None:
        self.values, self.points = values, points
        self.gradients: dict[MultiIndex, Tensor] = {}

    def apply(self, operator: DifferentialOperator) -> Tensor:
        total: Tensor | None = None
        for alpha, c in operator.terms.items():
            more = c * self.derivative(alpha)
            total = more if total is None else total + more
        assert total is not None
        return total

    def derivative(self, alpha: MultiIndex) -> Tensor:
        if not any(alpha):
            return self.values
        last = max(i for i, times in enumerate(alpha) if times)
        before = tuple(times - (i == last) for i, times in enumerate(alpha))
        if before not in self.gradients:
            value = self.derivative(before)
            self.gradients[before] = (
                torch.autograd.grad(value.sum(), self.points, create_graph=True, materialize_grads=True)[0]
                if value.requires_grad
                else torch.zeros_like(self.points)
            )
        return self.gradients[before][:, last]


def _check_smoothness(field: object, order: int) -> None:
    for layer in field.modules() if isinstance(field, nn.Module) else ():
        highest = smoothness(layer)
        if highest is not None and order > highest:
            raise UnsupportedError(
                f"derivatives of order {order} need smooth activations, got `{type(layer).__name__}`, whose "
                f"derivatives mean nothing above order {highest}. Use nn.Tanh, nn.GELU, nn.SiLU or nn.Softplus"
            )
