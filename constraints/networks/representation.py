"""A group acting on the input and on the output of a function at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError
from constraints.networks.actions import Chosen
from constraints.networks.groups import FiniteGroup, Group, as_module, try_out
from constraints.networks.known_groups import Permutations

__all__ = ["OutputActions", "Representation"]

OutputActions: TypeAlias = Sequence[Callable[[Tensor], Tensor]] | Callable[[nn.Module], nn.Module]


@final
class Representation(nn.Module):
    """How a group acts on inputs, and how on outputs: not at all (invariance), or as well (equivariance).

    Args:
        group: the group, as it acts on inputs.
        on_output: for a `FiniteGroup` the action of each of its elements on outputs, in its order; for any other the
            output's action made of the input's; None where outputs stay.
        example: one output event, for actions that do not know its shape.

    Attributes:
        on_output: the actions on outputs of a finite group; None where outputs stay.
        affine: whether the actions on outputs keep means, as averaging needs; exact ones and matrices do.

    Raises:
        SpecificationError: actions on outputs that are not composed as the group's elements are.

    Example:
        >>> from constraints.networks import sign_flips
        >>> odd = Representation(sign_flips(1, [0]), sign_flips(1, [0]).actions)
        >>> odd.compare(nn.Identity(), torch.tensor([[2.0]]), every=True)       # f(-x), then -f(x)
        tensor([[-2., -2.]])
    """

    def __init__(self, group: Group, on_output: OutputActions | None = None, *, example: Tensor | None = None) -> None:
        super().__init__()
        if not isinstance(group, Group):
            raise SpecificationError(f"`Representation` needs a Group, got {type(group).__name__}")
        if isinstance(group, FiniteGroup) and len(group) == 1:
            raise SpecificationError("`Representation` needs a group of more than the identity, got that alone")
        self.group = group
        self.on_output: nn.ModuleList | None = None
        self.of_element: Callable[[nn.Module], nn.Module] | None = None
        self.affine = True
        self.output_example: Tensor | None = None
        if isinstance(group, FiniteGroup) and on_output is not None:
            if callable(on_output) and not isinstance(on_output, nn.ModuleList):
                on_output = [on_output(action) for action in group.actions]
            self.on_output = nn.ModuleList(as_module(action) for action in on_output)
            self._require_same_table(group, example)
        elif on_output is not None:
            if not callable(on_output) or isinstance(on_output, nn.ModuleList):
                raise SpecificationError(
                    f"`Representation` of a {type(group).__name__} needs a function from the input's action to the "
                    f"output's, got {type(on_output).__name__}"
                )
            self.of_element = on_output

    def _require_same_table(self, group: FiniteGroup, example: Tensor | None) -> None:
        """Refuse actions on outputs that are no homomorphism, tried on random numbers; note whether they are affine."""
        assert self.on_output is not None
        if len(self.on_output) != len(group):
            raise SpecificationError(
                f"`Representation` needs an action on outputs for each of {len(group)} elements, got "
                f"{len(self.on_output)}"
            )
        probe, images = try_out(self.on_output, example, "Representation")
        self.output_example = probe
        for i, action in enumerate(self.on_output):
            for j in range(len(group)):
                gap = (action(images[j]) - images[int(group.table[i, j])]).abs().max()
                if float(gap) > 1e-10 * (1.0 + float(images.abs().max())):
                    raise SpecificationError(
                        f"`Representation` needs actions on outputs that are composed as the group's elements are, got "
                        f"others for element {j} followed by {i}"
                    )
        other = probe.flip(-1) * 3.0 - 1.0
        for i, action in enumerate(self.on_output):
            gap = (action((probe + other) / 2.0) - (images[i] + action(other)) / 2.0).abs().max()
            self.affine = self.affine and float(gap) <= 1e-10 * (1.0 + float(images.abs().max()))

    @property
    def invariant(self) -> bool:
        """Whether outputs stay as they are."""
        return self.on_output is None and self.of_element is None

    def compare(self, function: nn.Module, x: Tensor, *, every: bool) -> Tensor:
        """What a function gives of moved inputs beside its moved outputs, both flat: `(batch, 2 n)`.

        Args:
            function: `(batch, ...)` to `(batch, ...)`; asked once, for `x` and what it is moved to together.
            x: inputs, `(batch, ..., *event)`.
            every: whether by every element but the identity, where the group is finite; else by a random one a sample.
        """
        if x.dim() <= self.group.event_dim:
            raise ShapeError(f"a symmetry needs a batch of inputs, got one of shape {tuple(x.shape)}")
        moves = self._moves(x, every)
        batches: Tensor = function(torch.cat([x, *(on_input(x) for on_input, _ in moves)]))
        here, *there = batches.split(len(x))
        if not here.is_floating_point():
            raise SpecificationError(f"a symmetry needs outputs that are floating-point numbers, got {here.dtype}")
        wanted = [here if on_output is None else on_output(here) for _, on_output in moves]
        parts = [part.reshape(len(x), -1) for part in (*there, *wanted)]
        return torch.cat(parts, dim=1)

    def _moves(self, x: Tensor, every: bool) -> list[tuple[nn.Module, nn.Module | None]]:
        """Actions on inputs and on outputs."""
        group, outputs = self.group, self.on_output
        if isinstance(group, FiniteGroup) and every:
            places = [i for i in range(len(group)) if i != group.identity]
            return [(group.actions[i], None if outputs is None else outputs[i]) for i in places]
        element = group.draw(x)
        if outputs is not None:
            assert isinstance(element, Chosen)
            return [(element, Chosen(list(outputs), element.index))]
        return [(element, None if self.of_element is None else self.of_element(element))]

    def within(self, other: Representation) -> bool:
        """Whether a function that has the other symmetry surely has this one: each of our elements is one of its."""
        mine, its = self.group, other.group
        if isinstance(mine, Permutations) or isinstance(its, Permutations):
            whole = isinstance(its, Permutations) and its.holds(mine)
            return whole and self.invariant and other.invariant
        if not isinstance(mine, FiniteGroup) or not isinstance(its, FiniteGroup):
            return False
        places = mine.places_in(its)
        if places is None or self.invariant != other.invariant:
            return False
        if self.on_output is None or other.on_output is None:
            return True
        assert self.output_example is not None
        probe = self.output_example
        here, there = (probe.to(group.example.device) for group in (mine, its))
        try:
            pairs = [(self.on_output[i](here).cpu(), other.on_output[j](there).cpu()) for i, j in enumerate(places)]
        except (RuntimeError, ShapeError):
            return False
        return all(a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-10, atol=1e-10)) for a, b in pairs)

    def extra_repr(self) -> str:
        """What outputs do."""
        return "outputs stay" if self.invariant else "outputs move along"
