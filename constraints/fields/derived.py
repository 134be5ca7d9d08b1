"""Fields that are derivatives of a network: divergence-free flows, curls, Hamiltonian systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.fields.derivatives import Derivatives
from constraints.fields.operators import DifferentialOperator, partials
from constraints.functional.precision import one_precision

__all__ = ["DerivedField", "hamiltonian", "stream_function"]


@final
class DerivedField(nn.Module):
    r"""Outputs that are linear differential operators of a network's: :math:`u_i = \sum_j L_{ij} N_j`.

    What holds between such derivatives of any function, holds here whatever the network is: :math:`u = \psi_y`,
    :math:`v = -\psi_x` has no divergence. `Derivatives` of it are those of the network, of a higher order, so the sum
    of both orders is at most 4.

    Args:
        network: `N`, `(*batch, d)` to `(*batch, m)`.
        outputs: of each output its operators, by output of the network.

    Raises:
        SpecificationError: no outputs, operators of different coordinates.
        ShapeError: when called, a network of another number of outputs than there are potentials.

    Example:
        >>> from constraints.fields import partials
        >>> dx, dy = partials(2)
        >>> network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> flow = DerivedField(network, [{0: dy}, {0: -dx}])
        >>> v_x, v_y = Derivatives([dx, dy])(flow, torch.rand(3, 2))
        >>> bool(((v_x[:, 0] + v_y[:, 1]).abs() < 1e-6).all())  # the divergence
        True
    """

    def __init__(self, network: nn.Module, outputs: Sequence[Mapping[int, DifferentialOperator]]) -> None:
        super().__init__()
        operators = [operator for output in outputs for operator in output.values()]
        if not operators or not all(outputs) or len({o.coordinates for o in operators}) > 1:
            raise SpecificationError(
                f"`DerivedField` needs operators of the same coordinates for each output, got {list(outputs)}"
            )
        self.network = network
        self.operators = tuple(dict(output) for output in outputs)
        self.coordinates = operators[0].coordinates
        self.potentials = 1 + max(j for output in outputs for j in output)
        zero = (0,) * self.coordinates
        self._value = (DifferentialOperator({zero: 1.0}),)
        self._asked: dict[tuple[DifferentialOperator, ...], tuple[list[DifferentialOperator], Derivatives]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """`(*batch, d)` to `(*batch, n)`."""
        return self.forward_derivatives(self._value, x)[0]

    def forward_derivatives(self, wanted: Sequence[DifferentialOperator], x: Tensor) -> tuple[Tensor, ...]:
        """Of each operator its value on every output, `(*batch, n)` each."""
        key = tuple(wanted)
        if key not in self._asked:
            together = [w * one for w in key for output in self.operators for one in output.values()]
            distinct = list(dict.fromkeys(together))
            self._asked[key] = distinct, Derivatives(distinct)
        distinct, derivatives = self._asked[key]
        with one_precision("`DerivedField`", self.network, x):
            found = dict(zip(distinct, derivatives(self.network, x), strict=True))
        width = found[distinct[0]].shape[-1]
        if width != self.potentials:
            raise ShapeError(f"`DerivedField` needs a network of {self.potentials} outputs, got {width}")
        return tuple(
            torch.stack([_sum([found[w * one][..., j] for j, one in output.items()]) for output in self.operators], -1)
            for w in key
        )


def stream_function(network: nn.Module, *, others: int = 0, coordinates: int = 2) -> DerivedField:
    r"""A plane flow without divergence: :math:`u = \psi_y`, :math:`v = -\psi_x`.

    Args:
        network: gives :math:`\psi`, and behind it what else the model's outputs are (a pressure).
        others: how many there are of these.
        coordinates: of the points; the first two are `x` and `y`, others may follow (time).

    Raises:
        SpecificationError: fewer than two coordinates.

    Example:
        >>> flow = stream_function(nn.Linear(2, 2), others=1)
        >>> flow(torch.zeros(5, 2)).shape  # u, v, p
        torch.Size([5, 3])
    """
    if coordinates < 2 or others < 0:
        raise SpecificationError(
            f"`stream_function` needs coordinates >= 2 and others >= 0, got {coordinates}, {others}"
        )
    dx, dy, *_ = partials(coordinates)
    same = dx**0
    return DerivedField(network, [{0: dy}, {0: -dx}, *({j: same} for j in range(1, others + 1))])


def hamiltonian(network: nn.Module, degrees: int) -> DerivedField:
    r"""The motion :math:`\dot q = \partial H/\partial p`, :math:`\dot p = -\partial H/\partial q` of a learnt energy.

    Args:
        network: gives `H` of `(q, p)`, `(*batch, 2 degrees)` to `(*batch, 1)`.
        degrees: of freedom, >= 1.

    Raises:
        SpecificationError: fewer than one degree of freedom.

    Source: Greydanus, Dzamba and Yosinski, "Hamiltonian neural networks", NeurIPS 2019, arXiv:1906.01563.

    Example:
        >>> motion = hamiltonian(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), 1)
        >>> motion(torch.zeros(5, 2)).shape
        torch.Size([5, 2])
    """
    if degrees < 1:
        raise SpecificationError(f"`hamiltonian` needs degrees >= 1, got {degrees}")
    d = partials(2 * degrees)
    return DerivedField(network, [*({0: one} for one in d[degrees:]), *({0: -one} for one in d[:degrees])])


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(list(parts)).sum(dim=0)
