"""What an emphasis is: a weight for each point of a soft rule, which moves as training goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from constraints.errors import ShapeError, SpecificationError, UnsupportedError

__all__ = ["Emphasis"]

LOOK = 50  # on an accelerator, to look at points is to wait for them: only at each so many steps


class Emphasis(nn.Module, ABC):
    r"""Weights of single points: of `Soft(rule, emphasis=...)` the loss becomes :math:`\frac1B\sum_b w_b \varphi_b`.

    Weights belong to points, so that these must be the same at each step and in the same order: a full batch that is
    not shuffled, a rule that draws none (`draws=0`). Other points are refused. Weights act in training only, carry no
    gradient, and move once a step of the optimiser, at the first evaluation after `advance`: a line search sees one
    loss. `KnowledgeModule` calls `advance`; in a loop of one's own, call it before each step. One process only.

    Args:
        start: multiplier of each point before the first step, >= 0.

    Attributes:
        multiplier: one a point, `(n,)`; none before the first step. Saved, as are the points.

    Raises:
        SpecificationError: a start that is negative or not finite.

    Example:
        >>> from typing import final
        >>> @final
        ... class Worst(Emphasis):
        ...     '''Only the worst point counts.'''
        ...     def move(self, multiplier, loss, size, points):
        ...         return (loss == loss.max()).to(loss)
        >>> from constraints.embeddings import Soft
        >>> from constraints.rules import Bounds
        >>> y = torch.tensor([[-2.0], [-4.0]])
        >>> Soft(Bounds(low=0.0), emphasis=Worst(start=0.0)).penalty(nn.Identity(), y, y)
        tensor(8.)
    """

    multiplier: Tensor
    points: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        if not 0.0 <= start < float("inf"):
            raise SpecificationError(f"`{type(self).__name__}` needs a finite start >= 0, got {start}")
        self.start = float(start)
        self.register_buffer("multiplier", torch.empty(0))
        self.register_buffer("points", torch.empty(0, 0))
        self._due, self._moves = True, 0

    @abstractmethod
    def move(self, multiplier: Tensor, loss: Tensor, size: Tensor, points: Tensor) -> Tensor:
        """The new multipliers, `(n,)`.

        Args:
            multiplier: the old ones, `(n,)`.
            loss: of each point, unweighted, >= 0, `(n,)`.
            size: length of what each point violates, >= 0, `(n,)`.
            points: `(n, d)`.
        """

    def mask(self, multiplier: Tensor) -> Tensor:
        """Weights of multipliers, `(n,)` to `(n,)`, >= 0; by default the same."""
        return multiplier

    @property
    def due(self) -> bool:
        """Whether the multipliers move at the next evaluation."""
        return self._due

    @property
    def weights(self) -> Tensor:
        """What the loss of each point is multiplied by, `(n,)`."""
        return self.mask(self.multiplier)

    def advance(self) -> None:
        """A step of the optimiser begins."""
        self._due = True

    @final
    @torch.no_grad()
    def weigh(self, loss: Tensor, size: Tensor, points: Tensor) -> Tensor:
        """The weights of this step.

        Args:
            loss: of each point, unweighted, `(*batch,)`.
            size: length of what each violates, `(*batch,)`.
            points: `(*batch, d)`.

        Returns:
            `(*batch,)`. What is not finite moves no multiplier.

        Raises:
            ShapeError: not one point for each value.
            SpecificationError: other points than before.
            UnsupportedError: several processes.
        """
        name = type(self).__name__
        if points.dim() != loss.dim() + 1 or points.shape[:-1] != loss.shape:
            raise ShapeError(
                f"`{name}` needs one point for each value, as with `draws=0`, got points {tuple(points.shape)} and "
                f"values {tuple(loss.shape)}"
            )
        flat, rows = loss.detach().reshape(-1), points.detach().reshape(loss.numel(), -1)
        if self.multiplier.numel() and self.multiplier.numel() != flat.numel():
            raise SpecificationError(
                f"`{name}` needs the same points at each step, got {flat.numel()} after {self.multiplier.numel()}"
            )
        if self._due:
            self._require_same(rows)
            old = self.multiplier.to(flat) if self.multiplier.numel() else torch.full_like(flat, self.start)
            new = self.move(old, flat, size.detach().reshape(-1), rows)
            self.multiplier = torch.where(new.isfinite(), new, old)
            self._due = False
        return self.weights.to(loss).reshape(loss.shape)

    def _require_same(self, rows: Tensor) -> None:
        name = type(self).__name__
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if several and torch.distributed.get_world_size() > 1:
            raise UnsupportedError(f"`{name}` needs one process, got {torch.distributed.get_world_size()}")
        if not self.multiplier.numel():
            self.points = rows.clone()
        elif rows.device.type == "cpu" or self._moves % LOOK == 1:
            moved = self.points.to(rows) if self.points.shape == rows.shape else None
            if moved is None or not torch.equal(moved, rows):
                raise SpecificationError(
                    f"`{name}` needs the same points at each step, in the same order, got others: train on a full "
                    f"batch that is not shuffled, with a rule that draws none (`draws=0`)"
                )
        self._moves += 1

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        # How many points there are is only known at the first step: take it from the checkpoint.
        for name in ("multiplier", "points"):
            saved = state_dict.get(prefix + name)
            if saved is not None:
                setattr(self, name, torch.empty_like(saved, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *args)
