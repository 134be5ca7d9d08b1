"""The normal equations of a loss that is a sum of squares: every residual's gradient, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from constraints import Squares, UnsupportedError
from constraints.fields import plain_operations
from dkmodels.optim.processes import average_

__all__ = ["AsksSquares", "NormalEquations", "kernel_trace", "normal_equations"]


@runtime_checkable
class AsksSquares(Protocol):
    """An optimiser that needs the loss as sums of squares; a `KnowledgeModule` tells it which they are."""

    def bind_squares(self, module: nn.Module, terms: Callable[[], Sequence[Squares]]) -> None:
        """Be told the module that holds the parameters, and the terms of a step, asked once in it."""
        ...


class NormalEquations(NamedTuple):
    r"""Of the loss :math:`\sum_t w_t \lVert r_t \rVert^2` with Jacobians :math:`J_t` by the parameters.

    Attributes:
        matrix: :math:`\sum_t w_t J_t^\top J_t`, `(p, p)`.
        vector: :math:`\sum_t w_t J_t^\top r_t`, half the gradient, `(p,)`.
        loss: `()`.
    """

    matrix: Tensor
    vector: Tensor
    loss: Tensor


def normal_equations(
    module: nn.Module,
    parameters: Sequence[nn.Parameter],
    terms: Sequence[Squares],
    *,
    dtype: torch.dtype | None = None,
    chunk: int = 1024,
) -> NormalEquations:
    """Put them together, some rows at a time, so that no Jacobian of all rows is ever held.

    Args:
        module: holds all parameters, and every network of which the residuals speak.
        parameters: by which to differentiate, in their order.
        terms: the squares.
        dtype: of the sums; the widest of the parameters by default.
        chunk: rows at a time.

    Raises:
        UnsupportedError: a residual that `torch.func` cannot transform, with the reason.

    Example:
        >>> line = nn.Linear(1, 1)
        >>> x = torch.tensor([[1.0], [2.0], [3.0]])
        >>> found = normal_equations(line, list(line.parameters()), [Squares(lambda z: line(z) - 5.0, x, 1.0)])
        >>> found.matrix
        tensor([[14.,  6.],
                [ 6.,  3.]])
    """
    own = _named(module, parameters)
    size = sum(parameter.numel() for parameter in parameters)
    dtype = dtype or reduce(torch.promote_types, (parameter.dtype for parameter in parameters))
    matrix = torch.zeros(size, size, dtype=dtype, device=parameters[0].device)
    vector, loss = torch.zeros_like(matrix[0]), torch.zeros_like(matrix[0, 0])
    for term in terms:
        for rows in term.rows.detach().split(chunk):
            slopes, residual = _slopes(module, own, term.residual, rows)
            flat, values = slopes.reshape(-1, size).to(dtype), residual.reshape(-1).to(dtype)
            matrix.addmm_(flat.mT, flat, alpha=term.weight)
            vector.addmv_(flat.mT, values, alpha=term.weight)
            loss += term.weight * values.square().sum()
    return NormalEquations(average_(matrix), average_(vector), average_(loss))  # as gradients are averaged


def kernel_trace(
    module: nn.Module, parameters: Sequence[nn.Parameter], terms: Sequence[Squares], *, chunk: int = 1024
) -> Tensor:
    r"""Trace of the neural tangent kernel of weighted residuals, :math:`\sum_t w_t \lVert J_t \rVert_F^2`, `()`.

    It is that of the normal equations' matrix too, which is not built.

    Args:
        module: see `normal_equations`.
        parameters: by which to differentiate.
        terms: the squares; without any it is 0.
        chunk: rows at a time.

    Raises:
        UnsupportedError: see `normal_equations`.

    Example:
        >>> line = nn.Linear(1, 1)
        >>> z = torch.tensor([[1.0], [2.0], [3.0]])
        >>> kernel_trace(line, list(line.parameters()), [Squares(lambda z: line(z) - 5.0, z, 1.0)])
        tensor(17.)
    """
    own = _named(module, parameters)
    trace = torch.zeros((), dtype=parameters[0].dtype, device=parameters[0].device)
    for term in terms:
        for rows in term.rows.detach().split(chunk):
            trace = trace + term.weight * _slopes(module, own, term.residual, rows)[0].square().sum()
    return trace


def _named(module: nn.Module, parameters: Sequence[nn.Parameter]) -> dict[str, Tensor]:
    """Parameters by the names under which `_Residual` knows them."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    missing = [i for i, parameter in enumerate(parameters) if id(parameter) not in names]
    if missing:
        raise UnsupportedError(f"normal equations need parameters of the module, got others at {missing}")
    return {"module." + names[id(parameter)]: parameter.detach() for parameter in parameters}


def _slopes(
    module: nn.Module, own: Mapping[str, Tensor], residual: Callable[[Tensor], Tensor], rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Of each row and residual the gradient, `(n, m, p)`, and the residuals, `(n, m)`."""
    called = _Residual(module, residual)

    def of_row(values: dict[str, Tensor], row: Tensor) -> tuple[Tensor, Tensor]:
        found: Tensor = functional_call(called, values, (row[None],))[0]
        return found, found

    try:
        with plain_operations(), torch.no_grad():
            by_name, found = vmap(jacrev(of_row, has_aux=True), (None, 0))(dict(own), rows)
    except RuntimeError as error:
        raise UnsupportedError(
            f"Gauss and Newton's method needs residuals that `torch.func` can transform, row by row: {error}"
        ) from error
    return torch.cat([by_name[name].reshape(*found.shape, -1) for name in own], dim=2), found


@final
class _Residual(nn.Module):
    """A residual as a module, so that its weights can be put in."""

    def __init__(self, module: nn.Module, residual: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self.residual = module, residual

    def forward(self, rows: Tensor) -> Tensor:
        return self.residual(rows)
