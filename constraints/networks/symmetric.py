"""Networks that are symmetric by construction, made of any network."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError, UnsupportedError
from constraints.functional.one_tensor import require_tensor
from constraints.functional.orbits import last_of_orbit
from constraints.functional.precision import at_least_single, forward_in_own_precision, one_precision
from constraints.networks.groups import FiniteGroup, as_module
from constraints.networks.known_groups import Permutations
from constraints.networks.representation import Representation

__all__ = ["Averaged", "Canonicalised"]


@final
class Averaged(nn.Module):
    r"""The mean over a finite group (its Reynolds operator): :math:`\frac1{|G|} \sum_g \rho(g)^{-1} f(g\,x)`.

    Invariant or equivariant to rounding (of a symmetric input the same terms are summed in another order), as smooth as
    the network, and it costs :math:`|G|` evaluations, which are one batch. It holds for networks that treat samples
    alike and without chance: in evaluation mode, then; in training dropout breaks it, and batch normalisation keeps it.
    Autocast is off inside, for the network too: in half precision alike samples get answers that differ visibly.

    Args:
        network: `(batch, ...)` to `(batch, ...)`.
        representation: of a finite group; its actions on outputs must keep means.

    Raises:
        UnsupportedError: a group that is not finite, or actions on outputs that do not keep means.

    Example:
        >>> from constraints.networks import column_shifts
        >>> network = Averaged(nn.Linear(3, 1), Representation(column_shifts(3)))
        >>> x = torch.randn(5, 3)
        >>> torch.allclose(network(x), network(x.roll(1, dims=-1)), atol=1e-6)
        True
    """

    def __init__(self, network: nn.Module, representation: Representation) -> None:
        super().__init__()
        reason = averaging_fails(representation)
        if reason:
            raise UnsupportedError(f"`Averaged` is not possible: {reason}")
        self.network = network
        self.representation = representation

    @forward_in_own_precision
    def forward(self, x: Tensor) -> Tensor:
        """The mean, `(batch, ..., *event)` to what the network gives."""
        group = self.representation.group
        assert isinstance(group, FiniteGroup)
        _require_batch(x, group.event_dim, "Averaged")
        with one_precision("`Averaged`", self.network, x):
            y: Tensor = self.network(group.orbit(x).flatten(0, 1))
        require_tensor("`Averaged`", y)
        y = at_least_single(y).unflatten(0, (len(group), x.shape[0]))
        return _turned_back(y, self.representation).mean(dim=0)


@final
class Canonicalised(nn.Module):
    r"""The network at one member of each orbit: :math:`\rho(g)^{-1} f(g\,x)` where :math:`g\,x` is the orbit's last.

    One evaluation whatever the size of the group, but **discontinuous**: where two members of an orbit are equally
    late, a small change of the input makes the network see another one. The last is found by comparing numbers, which
    is exact, so invariance is too; a `key` orders before that, so that alike inputs get alike poses. Where an input is
    symmetric itself several elements lead to its representative: equivariant outputs are averaged over these.

    Args:
        network: `(batch, ...)` to `(batch, ...)`; deterministic, see `Averaged`.
        representation: of a finite group whose actions are exact, or of all permutations with outputs that stay.
        key: `(batch, ..., *event)` to a number each, `(batch,)`; alone decides but for ties.

    Raises:
        UnsupportedError: a group or actions on outputs without a representative that is known exactly.
        SpecificationError: a key for all permutations, which are sorted.

    Source: Kaba et al., "Equivariance with Learned Canonicalization Functions", ICML 2023, arXiv:2211.06489.

    Example:
        >>> from constraints.networks import column_shifts
        >>> network = Canonicalised(nn.Linear(3, 1), Representation(column_shifts(3)))
        >>> x = torch.randn(5, 3)
        >>> torch.equal(network(x), network(x.roll(1, dims=-1)))
        True
    """

    def __init__(
        self,
        network: nn.Module,
        representation: Representation,
        key: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        reason = canonicalisation_fails(representation)
        if reason:
            raise UnsupportedError(f"`Canonicalised` is not possible: {reason}")
        if key is not None and isinstance(representation.group, Permutations):
            raise SpecificationError("`Canonicalised` needs no key for all permutations: they are sorted")
        self.network = network
        self.representation = representation
        self.key = None if key is None else as_module(key)

    @forward_in_own_precision
    def forward(self, x: Tensor) -> Tensor:
        """What the network gives of the representatives, turned back."""
        group = self.representation.group
        _require_batch(x, group.event_dim, "Canonicalised")
        if isinstance(group, Permutations):
            with one_precision("`Canonicalised`", self.network, x):
                sorted_output: Tensor = self.network(group.canonical(x))
            require_tensor("`Canonicalised`", sorted_output)
            return sorted_output
        assert isinstance(group, FiniteGroup)
        orbit = group.orbit(x)
        keys = None if self.key is None else torch.stack([self._keys(member) for member in orbit])
        representative, leads = last_of_orbit(orbit.flatten(2) if x.dim() > 1 else orbit[..., None], keys)
        with one_precision("`Canonicalised`", self.network, x):
            y: Tensor = self.network(representative.reshape(x.shape))
        require_tensor("`Canonicalised`", y)
        if self.representation.invariant:
            return y
        y = at_least_single(y)
        turned = _turned_back(y.expand(len(group), *y.shape), self.representation)
        weights = leads.to(y) / leads.sum(dim=0)
        return (turned * weights.reshape(*weights.shape, *[1] * (y.dim() - 1))).sum(dim=0)

    def _keys(self, member: Tensor) -> Tensor:
        assert self.key is not None
        keys: Tensor = self.key(member)
        if keys.shape != member.shape[:1]:
            raise ShapeError(f"`Canonicalised` needs one key a sample, ({len(member)},), got shape {tuple(keys.shape)}")
        return keys


def averaging_fails(representation: Representation) -> str:
    """Why a representation cannot be averaged over; empty where it can.

    Example:
        >>> from constraints.networks import Permutations
        >>> averaging_fails(Representation(Permutations(9)))
        'a mean over Permutations is a mean over draws, which is not exact'
    """
    group = representation.group
    if not isinstance(group, FiniteGroup):
        return f"a mean over {type(group).__name__} is a mean over draws, which is not exact"
    return "" if representation.affine else "the actions on outputs do not keep means"


def canonicalisation_fails(representation: Representation) -> str:
    """Why the orbits of a representation have no representative that is known exactly; empty where they have.

    Example:
        >>> from constraints.networks import Permutations, Rotations
        >>> canonicalisation_fails(Representation(Permutations(9)))
        ''
        >>> canonicalisation_fails(Representation(Rotations(3)))
        'no member of an orbit under Rotations is known to represent it'
    """
    group = representation.group
    if isinstance(group, Permutations):
        return "" if representation.invariant else "outputs that are sorted back are not known where inputs tie"
    if not isinstance(group, FiniteGroup):
        return f"no member of an orbit under {type(group).__name__} is known to represent it"
    if not group.exact:
        return "the actions round, so that members of one orbit cannot be told apart from near ones"
    return "" if representation.affine else "the actions on outputs do not keep means"


def _turned_back(y: Tensor, representation: Representation) -> Tensor:
    """Outputs of each element's input, `(size, batch, ...)`, each turned back by its inverse."""
    outputs, group = representation.on_output, representation.group
    if outputs is None:
        return y
    assert isinstance(group, FiniteGroup)
    return torch.stack([outputs[int(back)](part) for part, back in zip(y, group.inverses, strict=True)])


def _require_batch(x: Tensor, event_dim: int, owner: str) -> None:
    if x.dim() <= event_dim:
        raise ShapeError(f"`{owner}` needs a batch of inputs, got one of shape {tuple(x.shape)}")
