"""Groups that act on inputs and outputs, and finite ones as a list of actions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.networks.actions import Chosen
from constraints.sets.constraint import keep_precision

__all__ = ["FiniteGroup", "Group", "as_module", "try_out"]

LARGEST = 1024  # elements that `generated` makes before it gives up


class Group(nn.Module, ABC):
    """A group acting on tensors `(batch, ..., *event)`.

    Attributes:
        event_dim: how many trailing dimensions an element needs to see.
    """

    event_dim: int = 1

    @abstractmethod
    def draw(self, x: Tensor) -> nn.Module:
        """A random element for each sample of `x`, `(batch, ..., *event)`, as one action on the whole batch."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Group:
        """Move with the module, but keep the precision of the group's own numbers."""
        moved: Group = keep_precision(self, super()._apply, fn, recurse)
        return moved


@final
class FiniteGroup(Group):
    """A group given as the list of its actions; that they form a group is tried out on random numbers.

    An action is a module or function that maps `(*batch, *event)` to the same shape, a sample at a time.

    Args:
        actions: all elements, the identity among them, in any order.
        example: one event, for actions that do not know its shape (those of yours); only its shape is looked at.

    Attributes:
        actions: the elements.
        table: `table[i, j]` is the element that acts as `j` first, then `i`, `(size, size)`.
        identity: which element is the identity.
        inverses: the inverse of each element.
        exact: whether the actions only move numbers and change signs, so that none is rounded.

    Raises:
        SpecificationError: no example, actions that change the shape or see other samples, that are equal, that lack
            the identity or a composition of two.

    Example:
        >>> from constraints.networks import Permutation
        >>> swap = FiniteGroup([Permutation([0, 1]), Permutation([1, 0])])
        >>> swap.table.tolist()
        [[0, 1], [1, 0]]
        >>> swap.orbit(torch.tensor([[1.0, 2.0]]))[:, 0].tolist()
        [[1.0, 2.0], [2.0, 1.0]]
    """

    table: Tensor
    example: Tensor

    def __init__(self, actions: Sequence[Callable[[Tensor], Tensor]], *, example: Tensor | None = None) -> None:
        super().__init__()
        self.actions = nn.ModuleList(as_module(action) for action in actions)
        probe, images = try_out(self.actions, example, "FiniteGroup")
        composed = torch.stack([action(image) for action in self.actions for image in images])
        self.event_dim = probe.dim()
        table = _require_group(images, composed)
        self.identity = int(_match(probe[None], images)[0])
        if self.identity < 0:
            raise SpecificationError(f"`FiniteGroup` needs the identity among its actions, got {len(images)} others")
        self.register_buffer("table", table, persistent=False)
        self.inverses = (table == self.identity).to(torch.uint8).argmax(dim=1).tolist()
        self.register_buffer("example", probe, persistent=False)
        self.exact = torch.equal(composed, images[table.flatten()])

    @classmethod
    def generated(
        cls, generators: Sequence[Callable[[Tensor], Tensor]], *, example: Tensor | None = None
    ) -> FiniteGroup:
        """The group that some actions generate.

        Args:
            generators: some of its elements.
            example: see `FiniteGroup`.

        Raises:
            SpecificationError: more than 1024 elements.

        Example:
            >>> from constraints.networks import Turn
            >>> len(FiniteGroup.generated([Turn(1), Turn(0, flip=True)]))
            8
        """
        probe = _probe(generators, example, "FiniteGroup")
        first = [as_module(action) for action in generators]
        chains: list[list[nn.Module]] = [[]]
        images = [probe]
        for place, chain in enumerate(chains):  # grows as we go
            for generator in first:
                image = generator(images[place])
                if _match(image[None], torch.stack(images))[0] < 0:
                    chains.append([*chain, generator])
                    images.append(image)
            if len(chains) > LARGEST:
                raise SpecificationError(f"`FiniteGroup` needs generators of at most {LARGEST} elements, got more")
        found = [chain[0] if len(chain) == 1 else nn.Sequential(*chain) for chain in chains]
        return cls(found, example=probe)

    def __len__(self) -> int:
        return len(self.actions)

    def orbit(self, x: Tensor) -> Tensor:
        """What every element makes of `x`, `(size, *x.shape)`."""
        return torch.stack([action(x) for action in self.actions])

    def draw(self, x: Tensor) -> nn.Module:
        """A random element of each sample, never the identity."""
        if len(self) == 1:
            return nn.Identity()
        index = torch.randint(len(self) - 1, x.shape[:1], device=x.device)
        return Chosen(list(self.actions), index + (index >= self.identity))

    def places_in(self, other: FiniteGroup) -> list[int] | None:
        """Which element of another group each of ours is; None where some is none of them."""
        ours, theirs = self.example, other.example
        probe = ours if ours.numel() >= theirs.numel() else theirs
        try:
            # Each where its numbers are: one group may have moved to an accelerator with its network.
            mine, found = (group.orbit(probe.to(group.example.device)).cpu() for group in (self, other))
        except (RuntimeError, ShapeError):
            return None  # other shapes: not known to be the same
        if mine.shape[1:] != found.shape[1:]:
            return None
        places = _match(mine, found)
        return None if bool((places < 0).any()) else places.tolist()

    def extra_repr(self) -> str:
        """How many elements."""
        return f"size={len(self)}"


def as_module(action: Callable[[Tensor], Tensor]) -> nn.Module:
    """A module that does what a function does; a module as it is.

    Example:
        >>> as_module(torch.neg)(torch.ones(1))
        tensor([-1.])
    """
    return action if isinstance(action, nn.Module) else _Called(action)


@final
class _Called(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """What the function gives."""
        return self.function(x)


def try_out(actions: Sequence[nn.Module] | nn.ModuleList, example: Tensor | None, owner: str) -> tuple[Tensor, Tensor]:
    """Random numbers of the shape of one event, and what each action makes of them, `(size, *event)`.

    Raises:
        SpecificationError: actions that change the shape or see other samples, or no example where one is needed.

    Example:
        >>> from constraints.networks import SignChange
        >>> probe, images = try_out([SignChange([-1.0])], None, "Example")
        >>> bool((images[0] == -probe).all())
        True
    """
    probe = _probe(actions, example, owner)
    return probe, _images(actions, probe, owner)


def _probe(actions: Sequence[Callable[[Tensor], Tensor]] | nn.ModuleList, example: Tensor | None, owner: str) -> Tensor:
    """Random numbers of the shape of one event."""
    events = [getattr(action, "event", None) for action in actions]
    known: list[tuple[int, ...]] = [event() for event in events if callable(event)]
    shape = tuple(example.shape) if example is not None else max(known, key=len, default=())
    if not actions or 0 in shape or not shape:
        raise SpecificationError(
            f"`{owner}` needs actions, and an example of one event where they do not know its shape, got "
            f"{len(actions)} actions and {'none' if example is None else f'an example of shape {shape}'}"
        )
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _images(actions: Sequence[nn.Module] | nn.ModuleList, probe: Tensor, owner: str) -> Tensor:
    found = []
    batch = torch.stack([probe, probe + 1.0])
    for i, action in enumerate(actions):
        image = action(probe.clone())
        if image.shape != probe.shape or not bool(image.isfinite().all()):
            raise SpecificationError(
                f"`{owner}` needs actions that keep the shape {tuple(probe.shape)} and give finite numbers, got "
                f"{tuple(image.shape)} of action {i}"
            )
        if not _close(action(batch)[0], image):
            raise SpecificationError(f"`{owner}` needs actions that treat each sample alone, got other of action {i}")
        found.append(image)
    return torch.stack(found)


def _require_group(images: Tensor, composed: Tensor) -> Tensor:
    """The table of a set of actions that is a group."""
    size = len(images)
    own = _match(images, images)
    twice = [(int(j), i) for i, j in enumerate(own) if i != j]
    if twice:
        raise SpecificationError(f"`FiniteGroup` needs distinct actions, got {twice[0]} alike")
    table = _match(composed, images).reshape(size, size)
    missing = (table < 0).nonzero().tolist()
    if missing:
        i, j = missing[0]
        raise SpecificationError(
            f"`FiniteGroup` needs a composition of any two actions to be one of its {size}, got {j} followed by {i}, "
            f"which is none; see `FiniteGroup.generated`"
        )
    # A finite set of invertible maps that is closed has the identity; of maps that are not invertible it may not.
    unit = [i for i in range(size) if torch.equal(table[i], torch.arange(size))]
    if not unit or any(len(set(row)) < size for row in table.tolist()):
        raise SpecificationError("`FiniteGroup` needs invertible actions and the identity among them, got others")
    return table


def _match(these: Tensor, those: Tensor) -> Tensor:
    """For each of these the place of the first like it among those, or -1."""
    near = torch.stack([_alike(one, those) for one in these])
    return torch.where(near.any(dim=1), near.to(torch.uint8).argmax(dim=1), -1)


def _alike(one: Tensor, those: Tensor) -> Tensor:
    scale = 1.0 + float(one.abs().max())
    return (those - one).abs().flatten(1).amax(dim=1) <= 1e-10 * scale


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(_alike(one, other[None])[0])
